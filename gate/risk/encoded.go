package risk

import (
	"math"
	"strings"
)

const (
	// longRun is how long a text of base64 or hex letters without a break is before it
	// counts: longer than digests (128 in hex, 88 in base64) and identifiers.
	longRun = 200
	// packedBits is the entropy of a byte from which a long run counts, in bits: base64
	// of anything packed has nearly 6, words written together less than 4.5, and a
	// path or a name in camel case not more than 5.
	packedBits = 5.2
	// hexBits is the same for hex, of which 4 is the most.
	hexBits = 3.5
	// manyEscapes is how many escapes (%41, \x41, \u0041, &#65;) hide a text.
	manyEscapes = 24
)

// EncodedText says how a text is encoded that a reader cannot read; "" if it is not.
// A picture in a data: address is not meant to be read, and is still told of.
func EncodedText(s string) string {
	if len(s) < manyEscapes*3 {
		return ""
	}
	if run := longestRun(s); len(run) >= longRun {
		bits := entropy(run)
		switch {
		case isHex(run) && bits >= hexBits:
			return "hex"
		case !isHex(run) && bits >= packedBits:
			return "base64, or packed"
		}
	}
	if n := escapes(s); n >= manyEscapes && n*8 >= len(s) {
		return "escapes"
	}
	return ""
}

// longestRun returns the longest part of s that holds nothing but letters of base64
// in either alphabet.
func longestRun(s string) (best string) {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && inBase64(s[i]) {
			continue
		}
		if i-start > len(best) {
			best = s[start:i]
		}
		start = i + 1
	}
	return best
}

func inBase64(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '+' || b == '/' || b == '-' || b == '_' || b == '='
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// entropy is that of the bytes of s, in bits.
func entropy(s string) float64 {
	var count [256]int
	for i := range len(s) {
		count[s[i]]++
	}
	bits := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// escapes counts the ways of writing a letter by its number.
func escapes(s string) (n int) {
	for i := 0; i+2 < len(s); i++ {
		switch {
		case s[i] == '%' && isHex(s[i+1:i+3]),
			s[i] == '\\' && (s[i+1] == 'x' || s[i+1] == 'u') && isHex(s[i+2:i+3]),
			s[i] == '&' && s[i+1] == '#':
			n++
		}
	}
	return n
}
