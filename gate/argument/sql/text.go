package sql

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
)

// maxText is the longest text. Longer SQL is data, which belongs into parameters;
// and the C stack of the PostgreSQL parser is sized by it (see stackSize).
const maxText = 32 << 10

var foundOdd = hold("sql.odd", "it has a character that looks like white space or like nothing and that the database reads otherwise",
	"write it with plain spaces")

// legible wants text that every reader takes for the same characters: C programs
// stop at a NUL, and drivers differ about bytes that are no UTF-8.
func legible(text string) argument.Finding {
	switch {
	case len(text) > maxText:
		return refuse("sql.length", "it is longer than 32 KiB", "send shorter SQL")
	case !readable(text):
		return refuse("sql.text", "it has control characters or is not UTF-8", "send plain text")
	}
	return argument.Passed
}

func readable(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// odd is a character outside ASCII that is white space or invisible. Both engines
// take it for a letter.
func odd(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.IsSpace(r) ||
		unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// plain is text as a human reads it: odd white space is a space, what is
// invisible is nothing.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case !odd(r):
			return r
		case unicode.IsSpace(r) || unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
			return ' '
		}
		return -1
	}, text)
}

// lowerASCII is how SQLite folds names; other letters keep their case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
