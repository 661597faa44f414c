package words

import (
	"math"
	"strings"
)

const (
	// minPacked is the shortest run that counts as packed: longer than the digests
	// that people paste in base64 (SHA-512 has 88 characters).
	minPacked = 96
	// minPackedHex is the same for hex: SHA-512 has 128 digits.
	minPackedHex = 130
	// minEscapes is how many percent escapes count as packed: a sentence in a query
	// has a few, a name in Japanese twenty.
	minEscapes = 64
	// maxWeighed bounds the work: the first part of a long value says how it is made.
	maxWeighed = 64 << 10
)

// Entropy says how densely a value is packed, for a score and not for a verdict:
// the entropy of its bytes (0 to 8 bits each), and the encoding of its longest
// packed run: "base64", "gzip" (inside base64), "hex", "percent", or "" for none.
// With an encoding, the bits are those of the run: near 6 for base64, near 4 for
// hex; text in a language has 4 to 4.5.
func Entropy(value string) (bits float64, encoding string) {
	value = value[:min(len(value), maxWeighed)]
	run := longest(value, anyBase64)
	if len(run) >= minPackedHex && strings.Trim(run, "0123456789abcdefABCDEF") == "" {
		return shannon(run), "hex"
	}
	if len(run) >= minPacked && isPacked(run) {
		if strings.HasPrefix(run, "H4sI") {
			return shannon(run), "gzip"
		}
		return shannon(run), "base64"
	}
	if strings.Count(value, "%") >= minEscapes && strings.Count(value, "%")*6 >= len(value) {
		return shannon(value), "percent"
	}
	return shannon(value), ""
}

// isPacked: base64 of anything changes between its kinds of characters all the
// time; paths and words written together do not.
func isPacked(run string) bool {
	c := count(run)
	return c.upper > 0 && c.lower > 0 && c.digits > 0 && c.changes*3 >= len(run)
}

// longest returns the longest run of s over a.
func longest(s string, a *alphabet) (run string) {
	for i := 0; i < len(s); i++ {
		n := a.run(s[i:], len(s))
		if n > len(run) {
			run = s[i : i+n]
		}
		i += n
	}
	return run
}

// shannon is the entropy of the bytes of s in bits each.
func shannon(s string) (bits float64) {
	var seen [256]int
	for i := range len(s) {
		seen[s[i]]++
	}
	for _, n := range seen {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
