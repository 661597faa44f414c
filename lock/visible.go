package lock

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRun is the longest run of spaces that Visible shows as it is. Longer runs
// push text off the screen, so they are counted instead.
const maxRun = 8

// Hidden names the kind of character that a reader does not see or that changes
// how the text around it is shown: "control", "bidi control", "tag",
// "variation selector", "private use", "noncharacter" or "invisible". For all
// other characters it is "". It judges the character alone: a joiner inside an
// emoji is hidden too, though harmless there.
func Hidden(r rune) string {
	switch {
	case unicode.IsControl(r):
		return "control"
	case r < 0x7F:
		return ""
	case r == 0x061C, r == 0x200E, r == 0x200F, 0x202A <= r && r <= 0x202E, 0x2066 <= r && r <= 0x2069:
		return "bidi control"
	case 0xE0000 <= r && r <= 0xE007F:
		return "tag"
	case 0xFE00 <= r && r <= 0xFE0F, 0xE0100 <= r && r <= 0xE01EF, 0x180B <= r && r <= 0x180D, r == 0x180F:
		return "variation selector"
	case unicode.Is(unicode.Co, r):
		return "private use"
	case 0xFDD0 <= r && r <= 0xFDEF, r&0xFFFE == 0xFFFE:
		return "noncharacter"
	case visibleFormat(r):
		return ""
	case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point), r == 0x2800:
		// 0x2800 is the braille cell without dots: a letter to Unicode, a gap to the eye.
		return "invisible"
	}
	return ""
}

// visibleFormat reports the format characters that do have a shape: the signs
// that Arabic, Syriac and Kaithi put before numbers.
func visibleFormat(r rune) bool {
	return unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// Visible returns s with every hidden character, every look-alike and every long
// run of spaces replaced by a mark such as ⟨U+202E⟩, so that printing it shows
// all of it and commands no terminal. Right-to-left letters are kept: a terminal
// may still reorder the line that they stand in.
func Visible(s string) string {
	var b strings.Builder
	for piece := range Marked(s, maxRun) {
		b.WriteString(piece)
	}
	return b.String()
}

// Marked goes through s as Visible shows it, piece by piece: what stands there, and
// marks, for which the second value is true. Runs of more than run spaces are counted.
func Marked(s string, run int) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		fake, plain := lookalikes(s), 0
		for i := 0; i < len(s); {
			mark, n := markAt(s[i:], run, fake)
			if mark == "" {
				i += n
				continue
			}
			if plain < i && !yield(s[plain:i], false) || !yield(mark, true) {
				return
			}
			i += n
			plain = i
		}
		if plain < len(s) {
			yield(s[plain:], false)
		}
	}
}

// markAt returns the mark for what s begins with, "" where it is shown as it is, and
// how many bytes that is.
func markAt(s string, run int, fake func(rune) bool) (mark string, n int) {
	if n := spaces(s); n > run {
		return fmt.Sprintf("⟨%d×U+0020⟩", n), n
	}
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return fmt.Sprintf("⟨byte %02X⟩", s[0]), n
	case Hidden(r) != "", r != ' ' && unicode.Is(unicode.Zs, r), fake(r), wideForm(r),
		r == '⟨' && strings.HasPrefix(s[n:], "U+"): // a text cannot fake a mark
		return fmt.Sprintf("⟨U+%04X⟩", r), n
	}
	return "", n
}

func spaces(s string) int {
	return len(s) - len(strings.TrimLeft(s, " "))
}

// wideForm reports the second copies of ASCII: full-width and mathematical letters.
func wideForm(r rune) bool {
	return 0xFF01 <= r && r <= 0xFF5E || 0x1D400 <= r && r <= 0x1D7FF
}

// twins lists the Cyrillic, Greek and Armenian letters that look like ASCII
// ones in common fonts (from Unicode TR39's confusables, the exact shapes only).
const twins = "асеорхуіјѕһԁԛԝАВЕКМНОРСТХІЈЅԌԚԜӀ" + "οαιυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օոսՕՍ" + "ıɡɑ"

// lookalikes returns a test for the letters of s that pass for ASCII: twins in a
// text that has no other letter of their script, which real Russian or Greek
// text soon has.
func lookalikes(s string) func(rune) bool {
	if isASCII(s) {
		return func(rune) bool { return false }
	}
	scripts := []*unicode.RangeTable{unicode.Cyrillic, unicode.Greek, unicode.Armenian}
	real := make([]bool, len(scripts))
	for word := range strings.FieldsSeq(s) {
		for _, r := range word {
			for i, table := range scripts {
				if unicode.Is(table, r) && !strings.ContainsRune(twins, r) {
					real[i] = true
				}
			}
		}
	}
	return func(r rune) bool {
		if r < 0x80 || !strings.ContainsRune(twins, r) {
			return false
		}
		for i, table := range scripts {
			if unicode.Is(table, r) {
				return !real[i]
			}
		}
		return true
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
