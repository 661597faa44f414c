package result

import "unicode/utf8"

// The introducers of ECMA-48, as ESC and a letter or as one control character
// of the upper range, which terminals take in UTF-8 too.
const (
	esc = 0x1B
	bel = 0x07

	ss2 = 0x8E // the next character comes from another set
	ss3 = 0x8F
	dcs = 0x90 // a string for the terminal follows
	sos = 0x98
	csi = 0x9B // parameters and one final byte follow
	st  = 0x9C // ends a string
	osc = 0x9D
	pm  = 0x9E
	apc = 0x9F
)

// sequence returns the length of the escape sequence at the start of b, which is
// ESC or a control character of the upper range; at least that character.
func sequence(b []byte) int {
	r, n := utf8.DecodeRune(b)
	if r == esc {
		if len(b) < 2 || b[1] < 0x20 || b[1] > 0x7E {
			return n // in front of something else it does nothing
		}
		if r, n = rune(b[1])+0x40, 2; r < 0x80 || r > 0x9F { // ESC and @ to _ are 0x80 to 0x9F
			return shortSequence(b)
		}
	}
	switch r {
	case csi:
		return n + controlEnd(b[n:])
	case ss2, ss3:
		if n < len(b) && 0x20 < b[n] && b[n] < 0x7F { // not the letter that it looks like: an arrow or function key
			return n + 1
		}
	case dcs, sos, osc, pm, apc:
		return n + stringLength(b[n:], r == osc)
	}
	return n
}

// shortSequence is ESC, bytes from space to /, and a final byte: a character set, a reset.
func shortSequence(b []byte) int {
	i := 1
	for i < len(b) && 0x20 <= b[i] && b[i] < 0x30 {
		i++
	}
	if i < len(b) && 0x30 <= b[i] && b[i] < 0x7F {
		return i + 1
	}
	return 1 // unfinished: the text behind ESC is text
}

// controlEnd returns the length of what follows CSI. If there is no final byte,
// what a terminal would wait with is gone and the rest is text.
func controlEnd(b []byte) int {
	i := 0
	for i < len(b) && 0x20 <= b[i] && b[i] < 0x40 {
		i++
	}
	if i < len(b) && 0x40 <= b[i] && b[i] < 0x7F {
		return i + 1
	}
	return i
}

// stringLength returns the length of a string for the terminal with its end, or
// 0 if it is not ended as it should: then a reader sees what it holds. It stops
// at any other control character, so that no byte is read often.
func stringLength(b []byte, oneLine bool) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == bel, r == st:
			return i + n
		case r == esc && i+1 < len(b) && b[i+1] == '\\':
			return i + 2
		case !oneLine && (r == '\n' || r == '\r' || r == '\t'):
		case r < 0x20, 0x7F <= r && r < 0xA0:
			return 0
		}
		i += n
	}
	return 0
}
