package words

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/lock"
)

// Text bounds a text and what it is made of. The zero value accepts only the
// empty text.
type Text struct {
	MaxBytes int
	MaxRunes int  // 0 is as many as the bytes hold
	Lines    bool // accepts line breaks and tabs
}

// Validate returns nil or what is wrong with the bounds.
func (t Text) Validate() error {
	if t.MaxBytes <= 0 || t.MaxRunes < 0 {
		return errors.New("max: a text needs a bound above 0")
	}
	return nil
}

// Judge says whether value is a text within the bounds, without control
// characters and characters that a reader does not see.
func (t Text) Judge(value string) argument.Finding {
	switch {
	case len(value) > t.MaxBytes:
		return refuse("text.long", fmt.Sprintf("the text has %d bytes; at most %d", len(value), t.MaxBytes), "shorten it")
	case !utf8.ValidString(value):
		return refuse("text.utf8", "the text is not valid UTF-8", "write it in UTF-8")
	case t.MaxRunes > 0 && utf8.RuneCountInString(value) > t.MaxRunes:
		return refuse("text.long", fmt.Sprintf("the text has more than %d characters", t.MaxRunes), "shorten it")
	}
	previous := ' '
	for _, r := range value {
		if 0x20 <= r && r < 0x7f {
			previous = r
			continue
		}
		if f := t.judgeRune(r, previous); f.Verdict != argument.Pass {
			return f
		}
		previous = r
	}
	return argument.Passed
}

// judgeRune judges what is not plain ASCII.
func (t Text) judgeRune(r, previous rune) argument.Finding {
	if r == '\n' || r == '\r' || r == '\t' {
		if t.Lines {
			return argument.Passed
		}
		return refuse("text.line", "the text has a line break or a tab", "write it on one line")
	}
	kind := lock.Hidden(r)
	switch {
	case kind == "" || joins(r) && previous >= utf8.RuneSelf && lock.Hidden(previous) == "":
		return argument.Passed
	case kind == "control":
		return refuse("text.control", fmt.Sprintf("the text has the control character %U", r), "take it out")
	}
	return refuse("text.invisible", fmt.Sprintf("the text has the %s character %U", kind, r), "take it out")
}

// joins reports the invisible characters that emoji, Persian and Indian writing
// need. They pass only one at a time and behind a character outside ASCII, where
// they belong.
func joins(r rune) bool { return r == 0x200C || r == 0x200D || r == 0xFE0E || r == 0xFE0F }

// NotOption refuses a value that a program might take for an option. Programs that
// take options by another sign (+, /, @file) need a check of their own.
type NotOption struct{}

// Judge says whether value begins with anything but a dash.
func (NotOption) Judge(value string) argument.Finding {
	trimmed := strings.TrimLeftFunc(value, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || lock.Hidden(r) == "invisible" && r != softHyphen
	})
	first, _ := utf8.DecodeRuneInString(trimmed)
	// The other dashes become a plain one where a program maps its arguments to an
	// old code page (CVE-2024-4577), or a person's editor had made them of it.
	if first == '-' || first == softHyphen || first == 0x2212 || first == 0xFE63 || first == 0xFF0D || 0x2010 <= first && first <= 0x2015 {
		return refuse("word.option", "the value begins with a dash, so a program may take it for an option", "begin with another character")
	}
	return argument.Passed
}

const softHyphen = 0x00AD
