package result

import "unicode/utf8"

// hidden is a kind of character that lock.Hidden calls hidden. The kinds are the
// same, and a test holds every code point against it; this one takes a few
// comparisons where lock.Hidden looks into a dozen tables.
type hidden uint8

const (
	shown hidden = iota
	control
	bidiControl
	tag
	selector
	privateUse
	noncharacter
	invisible
	escape  // a whole sequence
	invalid // a byte that is no UTF-8
	hiddenKinds
)

var hiddenNames = [hiddenKinds]string{
	control: "control", bidiControl: "bidi control", tag: "tag", selector: "variation selector", privateUse: "private use",
	noncharacter: "noncharacter", invisible: "invisible", escape: "escape", invalid: "invalid",
}

func hiddenKind(r rune) hidden {
	switch {
	case r < 0x20 || 0x7F <= r && r < 0xA0:
		return control
	case r < 0xAD, 0x3165 <= r && r < 0xE000: // ASCII, ideographs, Hangul
		return shown
	case r < 0x2000:
		return hiddenLow(r)
	case r < 0x3165:
		return hiddenMiddle(r)
	case r <= 0xF8FF:
		return privateUse
	case r <= 0xFFFF:
		return hiddenHigh(r)
	}
	return hiddenBeyond(r)
}

func hiddenLow(r rune) hidden {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x180E:
		return invisible
	case r == 0x61C:
		return bidiControl
	case 0x180B <= r && r <= 0x180D, r == 0x180F:
		return selector
	}
	return shown
}

func hiddenMiddle(r rune) hidden {
	switch {
	case r == 0x200E, r == 0x200F, 0x202A <= r && r <= 0x202E, 0x2066 <= r && r <= 0x2069:
		return bidiControl
	case 0x200B <= r && r <= 0x200D, r == 0x2028, r == 0x2029, 0x2060 <= r && r <= 0x206F, r == 0x2800, r == 0x3164:
		return invisible
	}
	return shown
}

func hiddenHigh(r rune) hidden {
	switch {
	case 0xFDD0 <= r && r <= 0xFDEF, 0xFFFE <= r:
		return noncharacter
	case 0xFE00 <= r && r <= 0xFE0F:
		return selector
	case r == 0xFEFF, r == 0xFFA0, 0xFFF0 <= r && r <= 0xFFFB:
		return invisible
	}
	return shown
}

func hiddenBeyond(r rune) hidden {
	switch {
	case r&0xFFFE == 0xFFFE:
		return noncharacter
	case 0x13430 <= r && r <= 0x1343F, 0x1BCA0 <= r && r <= 0x1BCA3, 0x1D173 <= r && r <= 0x1D17A:
		return invisible
	case r < 0xE0000:
		return shown
	case r <= 0xE007F:
		return tag
	case 0xE0100 <= r && r <= 0xE01EF:
		return selector
	case r <= 0xE0FFF:
		return invisible
	case r >= 0xF0000:
		return privateUse
	}
	return shown
}

// ordinary marks the bytes that need no look: printable ASCII, tab, line feed.
var ordinary = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = true
	}
	table['\n'], table['\t'] = true, true
	return table
}()

// suspect returns the next place in b from i on where a hidden character is.
func suspect(b []byte, i int) int {
	for i < len(b) {
		if ordinary[b[i]] {
			i++
			continue
		}
		if b[i] < utf8.RuneSelf {
			return i
		}
		if 0xE4 <= b[i] && b[i] <= 0xEC && i+2 < len(b) && b[i+1]&0xC0 == 0x80 && b[i+2]&0xC0 == 0x80 {
			i += 3 // U+4000 to U+CFFF: ideographs and Hangul, nothing hidden
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || hiddenKind(r) != shown {
			return i
		}
		i += n
	}
	return i
}
