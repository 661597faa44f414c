package result

import (
	"bytes"
	"unicode"
)

// edge stands for the character before a text and behind it.
const edge rune = -1

// belongs reports whether the hidden character r is what its script or emoji
// needs between the two characters beside it. before is the last one that was
// kept and after the next one of the text. Where after counts it must be one that
// stays, so that a second look finds the same neighbours.
func belongs(r, before, after rune) bool {
	if hiddenKind(r) == selector {
		return selects(r, before, after)
	}
	if !stays(after) {
		return false
	}
	switch r {
	case '\r': // alone it overwrites the line
		return after == '\n'
	case 0x200D: // zero width joiner: emoji families, Indic conjuncts, the last letter of a Persian abbreviation
		return emojiPart(before) && emoji(after) || joins(before) && (joins(after) || !letter(after))
	case 0x200C: // zero width non-joiner: Persian, Indic scripts
		return joins(before) && joins(after)
	case 0x200B: // zero width space: words in scripts without spaces
		return unspaced(before) && unspaced(after)
	case 0x200E, 0x200F, 0x061C: // implicit direction marks, beside right-to-left text
		return stays(before) && (rightToLeft(before) || rightToLeft(after))
	case 0x034F: // grapheme joiner between the points of a Hebrew letter
		return unicode.Is(unicode.Hebrew, before) && unicode.Is(unicode.Hebrew, after)
	case 0x180E: // Mongolian vowel separator
		return mongolian(before) && mongolian(after)
	case 0x2800: // blank cell between braille
		return braille(before) && braille(after)
	}
	return false
}

// stays reports what is kept in every place, or becomes a line break there.
func stays(r rune) bool {
	return r == edge || r == '\t' || lineBreak(r) || hiddenKind(r) == shown
}

// lineBreak reports what ends a line. All but CR LF become a line feed.
func lineBreak(r rune) bool {
	return '\n' <= r && r <= '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
}

// selects reports whether before has a form that the selector r chooses.
func selects(r, before, after rune) bool {
	switch {
	case r == 0xFE0E || r == 0xFE0F: // text or emoji form
		if '0' <= before && before <= '9' || before == '#' || before == '*' {
			return after == 0x20E3 // keycap
		}
		return emoji(before) || before == '©' || before == '®' || before == '™' || before == 'ℹ'
	case r == 0xFE00 && (0x2200 <= before && before <= 0x22FF || unicode.Is(unicode.Myanmar, before)): // slanted operators, dotted letters
		return true
	case 0xFE00 <= r && r <= 0xFE02, 0xE0100 <= r && r < 0xE0120: // forms of ideographs in names; those registered are far fewer than 32 each
		return unicode.Is(unicode.Han, before)
	case 0x180B <= r && r <= 0x180F:
		return mongolian(before)
	}
	return false
}

// blackFlag is what the flag of a part of a country begins with.
const blackFlag = 0x1F3F4

// flags are the tag sequences of the three such flags that exist: England,
// Scotland, Wales. Any other sequence could be a message.
var flags = [][]byte{tags("gbeng"), tags("gbsct"), tags("gbwls")}

func tags(region string) []byte {
	var out []rune
	for _, c := range region {
		out = append(out, 0xE0000+c)
	}
	return []byte(string(append(out, 0xE007F)))
}

// flag returns the length of the tags at the start of b that complete a flag, else 0.
func flag(b []byte) int {
	for _, f := range flags {
		if bytes.HasPrefix(b, f) {
			return len(f)
		}
	}
	return 0
}

// emoji approximates Extended_Pictographic, which package unicode lacks, by the
// blocks that hold all of it. Skin tones are no picture of their own.
func emoji(r rune) bool {
	return 0x1F000 <= r && r <= 0x1FAFF && !skinTone(r) || 0x2190 <= r && r <= 0x2BFF && unicode.In(r, unicode.So, unicode.Sm) ||
		r == 0x203C || r == 0x2049 || r == 0x3030 || r == 0x303D || r == 0x3297 || r == 0x3299
}

func skinTone(r rune) bool { return 0x1F3FB <= r && r <= 0x1F3FF }

// emojiPart is what may stand before a joiner: an emoji, its skin tone or form.
func emojiPart(r rune) bool { return emoji(r) || skinTone(r) || r == 0xFE0F }

// joining are the scripts in which joiners spell words.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya,
	unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar, unicode.Balinese, unicode.Javanese,
}

func joins(r rune) bool { return r > 0x600 && letter(r) && unicode.In(r, joining...) }

func letter(r rune) bool { return unicode.In(r, unicode.L, unicode.M) }

// unspaced reports letters of scripts that put no spaces between words. Chinese
// and Japanese put nothing there.
func unspaced(r rune) bool {
	return r > 0xE00 && letter(r) && unicode.In(r, unicode.Khmer, unicode.Thai, unicode.Lao, unicode.Myanmar, unicode.Tibetan, unicode.Javanese, unicode.Balinese, unicode.Tai_Tham)
}

func rightToLeft(r rune) bool {
	return r > 0x590 && unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

func mongolian(r rune) bool { return unicode.Is(unicode.Mongolian, r) && letter(r) }

func braille(r rune) bool { return 0x2801 <= r && r <= 0x28FF }
