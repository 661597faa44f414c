package command

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/lock"
)

// checkText judges the text before a parser sees it.
func checkText(text string, limit int) argument.Finding {
	switch {
	case len(text) > limit:
		return tooLong()
	case strings.TrimSpace(text) == "":
		return refuse("command.empty", "the command is empty", "name a program")
	}
	wide, nested := false, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' || c == '\t':
		case c < 0x20 || c == 0x7f:
			return refuse("command.control", fmt.Sprintf("the command has the control character %#02x, which terminals and shells obey in different ways", c), "take it out")
		case c >= utf8.RuneSelf:
			wide = true
		case c == '(' || c == '{' || c == '[' || c == '`' || c == '!':
			nested++
		}
	}
	if nested > maxNested {
		return refuse("command.depth", fmt.Sprintf("the command has more than %d brackets", maxNested), "split it")
	}
	if wide {
		return checkWide(text)
	}
	return argument.Passed
}

// checkWide judges characters outside ASCII. Words in other languages are fine;
// what cannot be seen, or is ASCII to a program that normalises, is not.
func checkWide(text string) argument.Finding {
	if !utf8.ValidString(text) {
		return refuse("command.utf8", "the command is not valid UTF-8", "write it in UTF-8")
	}
	for _, r := range text {
		if r < utf8.RuneSelf {
			continue
		}
		if kind := lock.Hidden(r); kind != "" {
			return refuse("command.invisible", fmt.Sprintf("the command has the %s character %U", kind, r), "take it out")
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return refuse("command.invisible", fmt.Sprintf("the command has the white space %U, which a shell takes for part of a word", r), "write a plain space")
		}
		if becomesASCII(r) {
			return refuse("command.lookalike", fmt.Sprintf("the command has %U, which some programs read as ASCII", r), "write the ASCII character if that is meant")
		}
	}
	return argument.Passed
}

// becomesASCII: full-width letters, circled digits and the like are ASCII after
// NFKC, which curl applies to host names and frameworks to all they get. Marks
// with a space in their mapping (´) and letters such as ª in words are let go.
func becomesASCII(r rune) bool {
	if unicode.In(r, unicode.Mn, unicode.Sk) {
		return false
	}
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	if norm.NFKC.QuickSpan(b[:n]) == n {
		return false
	}
	mapped := norm.NFKC.String(string(r))
	return strings.IndexFunc(mapped, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
