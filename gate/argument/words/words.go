// Package words judges arguments that are neither a path nor a URL: git
// references, mail addresses, choices, patterns, numbers, lines of text, and text
// that must not carry a secret. Each kind is a value with a Judge method:
// (value, rule) → finding. The zero value of each is its strictest form.
//
// What it does not protect: a word is judged as it stands, not as a tool that
// pastes it into a command, a query or a page would have it read; [NotOption]
// keeps it from being an option, and no more.
//
// [Secrets] finds tokens whose shape is known, in the clear, split by white space
// or invisible characters, or encoded once. It does not find passwords, tokens
// without a shape, and what is encoded twice, reversed, enciphered or spread over
// several calls; [Entropy] only says that something is packed. A known shape may
// be a false alarm or an expired token: nobody is asked.
package words

import "github.com/mcprun/mcprun/gate/argument"

// maxHint is how many choices a hint lists; more is no help.
const maxHint = 5

func refuse(rule, reason, hint string) argument.Finding {
	return argument.Finding{Rule: rule, Reason: reason, Hint: hint}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isAlnum(c byte) bool { return isDigit(c) || isUpper(c) || isLower(c) }
