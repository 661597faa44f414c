package gate

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/mcprun/mcprun/lock"
)

// maxSpaces and maxBlankLines bound the white space inside a text. Tables and
// code samples in real descriptions stay under half of each; more of it serves
// to push what follows off the screen of the one who reviews.
const (
	maxSpaces     = 32
	maxBlankLines = 8
)

// hiddenText says what in s is not seen, or "". Joiners, marks and selectors are
// let through where their script needs them and they cannot add up to a message:
// single, and between the characters that they belong to.
func hiddenText(s string) string {
	if plain(s) {
		return ""
	}
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		kind := lock.Hidden(runes[i])
		if kind == "" {
			continue
		}
		if n := flag(runes[i:]); n > 0 && at(runes, i-1) == 0x1F3F4 { // after the black flag
			i += n - 1
			continue
		}
		if !belongs(runes, i) {
			return fmt.Sprintf("%s character U+%04X", kind, runes[i])
		}
	}
	return ""
}

// plain is the quick answer for almost every string: printable ASCII and line feeds.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 && c != '\n' || c >= 0x7F {
			return false
		}
	}
	return true
}

// belongs reports whether the hidden character at i is ordinary in its place.
func belongs(runes []rune, i int) bool {
	before, after := at(runes, i-1), at(runes, i+1)
	switch r := runes[i]; r {
	case '\n', '\t', 0x2028, 0x2029: // line breaks; padding counts them
		return true
	case '\r':
		return after == '\n' // alone it overwrites the line
	case 0x200D: // zero width joiner: emoji families, Indic conjuncts
		return emojiPart(before) && emoji(after) || joins(before) && joins(after)
	case 0x200C: // zero width non-joiner: Persian, Indic scripts
		return joins(before) && joins(after)
	case 0x200B: // zero width space: words in scripts without spaces
		return unspaced(before) && unspaced(after)
	case 0x200E, 0x200F, 0x061C: // implicit direction marks, beside right-to-left text
		return (rightToLeft(before) || rightToLeft(after)) && lock.Hidden(before) == "" && lock.Hidden(after) == ""
	case 0xFE0E, 0xFE0F: // text or emoji form
		if '0' <= before && before <= '9' || before == '#' || before == '*' {
			return after == 0x20E3 // keycap
		}
		return emoji(before) || before == '©' || before == '®' || before == '™' || before == 'ℹ'
	case 0x2800: // blank braille cell
		return braille(before) || braille(after)
	}
	return false
}

func at(runes []rune, i int) rune {
	if i < 0 || i >= len(runes) {
		return 0
	}
	return runes[i]
}

// flag returns the length of the tag sequence at the start of runes if it is the
// tail of one of the three flags that exist (England, Scotland, Wales), else 0.
func flag(runes []rune) int {
	for _, region := range []string{"gbeng", "gbsct", "gbwls"} {
		n := len(region)
		if len(runes) <= n || runes[n] != 0xE007F {
			continue
		}
		same := true
		for i, c := range region {
			same = same && runes[i] == 0xE0000+c
		}
		if same {
			return n + 1
		}
	}
	return 0
}

// emoji approximates Extended_Pictographic, which package unicode lacks, by the
// blocks that hold all of it.
func emoji(r rune) bool {
	return 0x1F000 <= r && r <= 0x1FAFF && r != 0x1F3FB || 0x2190 <= r && r <= 0x2BFF && unicode.In(r, unicode.So, unicode.Sm) ||
		r == 0x203C || r == 0x2049 || r == 0x3030 || r == 0x303D || r == 0x3297 || r == 0x3299
}

// emojiPart is what may stand before a joiner: an emoji, its skin tone or form.
func emojiPart(r rune) bool {
	return emoji(r) || 0x1F3FB <= r && r <= 0x1F3FF || r == 0xFE0F
}

// joins reports letters and marks of the scripts in which joiners spell words.
func joins(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi,
		unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala) &&
		unicode.In(r, unicode.L, unicode.M)
}

// unspaced reports letters of scripts that put no spaces between words.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Khmer, unicode.Thai, unicode.Lao, unicode.Myanmar, unicode.Tibetan, unicode.Han, unicode.Hiragana, unicode.Katakana) &&
		unicode.In(r, unicode.L, unicode.M)
}

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

func braille(r rune) bool { return 0x2801 <= r && r <= 0x28FF }

// padding says how s pushes text out of sight, or "".
func padding(s string) string {
	spaces, breaks := 0, 0
	for _, r := range s {
		switch {
		case r == '\n' || r == 0x2028 || r == 0x2029 || r == '\v' || r == '\f' || r == 0x85:
			breaks++
			spaces = 0
		case blank(r):
			spaces++
		default:
			if spaces > maxSpaces {
				return fmt.Sprintf("text after %d spaces; at most %d", spaces, maxSpaces)
			}
			if breaks > maxBlankLines+1 {
				return fmt.Sprintf("text after %d blank lines; at most %d", breaks-1, maxBlankLines)
			}
			spaces, breaks = 0, 0
		}
	}
	return ""
}

// blank reports what leaves no ink: spaces of all widths, the blank braille cell
// and the Hangul fillers.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Zs, r) || strings.ContainsRune("\u2800\u3164\u115F\u1160\uFFA0", r)
}
