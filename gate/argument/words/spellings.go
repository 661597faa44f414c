package words

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/mcprun/mcprun/lock"
)

// spelling says what was done to the value before it was read.
type spelling uint8

const (
	asIs spelling = iota
	joined
	percent
	base64ed
	hexed
)

// said ends a sentence with how the secret was written.
func (s spelling) said() string {
	switch s {
	case joined:
		return ", split by spaces or invisible characters"
	case percent:
		return ", percent-encoded"
	case base64ed:
		return ", in base64"
	case hexed:
		return ", in hex"
	}
	return ""
}

const (
	// minBase64 is the shortest run that is decoded: the shortest tokens have 20 bytes
	// and more, which are 27 characters.
	minBase64 = 24
	// minHexPairs is the same for hex.
	minHexPairs = 18
	// minWrapped is the shortest line behind which base64 goes on in the next one.
	// PEM has 64, MIME 76.
	minWrapped = 40
	// maxHexGap is how much may stand between two hex digits and the next two: ", 0x".
	maxHexGap = 4
	// maxStray is how many pairs before a run may be letters of a word ("a67 68 70"),
	// so that the run is read from each of them.
	maxStray = 4
)

// spellings yields the value and the texts that a simple reader would make of it.
// Each is at most as long as the value, and their number is bounded except for
// that of runs, which share one value's length.
func spellings(value string) iter.Seq[text] {
	return func(yield func(text) bool) {
		if !yield(text{plain: value}) {
			return
		}
		spaced, hidden, escaped := survey(value)
		if hidden {
			value = withoutHidden(value)
			if !yield(text{plain: value, how: joined}) {
				return
			}
		}
		if spaced && !yield(withoutSpace(value)) {
			return
		}
		if escaped && !yield(text{plain: unescape(value), how: percent}) {
			return
		}
		_ = base64Runs(value, yield) && hexRuns(value, yield)
	}
}

// survey says in one look which spellings there are to try.
func survey(value string) (spaced, hidden, escaped bool) {
	for i := range len(value) {
		switch c := value[i]; {
		case c >= utf8.RuneSelf:
			hidden = hidden || hasHidden(value[i:])
			return spaced || strings.ContainsAny(value[i:], " \t\r\n"), hidden, escaped || strings.Contains(value[i:], "%")
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			spaced = true
		case c < 0x20 || c == 0x7f:
			hidden = true
		case c == '%':
			escaped = true
		}
	}
	return spaced, hidden, escaped
}

func hasHidden(s string) bool { return strings.ContainsFunc(s, takenOut) }

// takenOut reports characters that split a word for a program and not for a
// reader. White space is another matter.
func takenOut(r rune) bool {
	switch {
	case r == ' ' || r == '\t' || r == '\n' || r == '\r':
		return false
	case 0x21 <= r && r < 0x7f:
		return false
	}
	return lock.Hidden(r) != "" || r == 0x00A0 || 0x2000 <= r && r <= 0x200A || r == 0x202F || r == 0x205F || r == 0x3000
}

func withoutHidden(s string) string {
	return strings.Map(func(r rune) rune {
		if takenOut(r) {
			return -1
		}
		return r
	}, s)
}

// withoutSpace remembers where the spaces were: a token begins a word there, and
// is only of interest if there was one inside.
func withoutSpace(s string) text {
	out, gap := make([]byte, 0, len(s)), make([]bool, 0, len(s))
	last := false
	for i := range len(s) {
		if c := s[i]; c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			last = true
			continue
		}
		out, gap = append(out, s[i]), append(gap, last)
		last = false
	}
	return text{plain: string(out), how: joined, gap: gap}
}

// unescape decodes what can be decoded and leaves the rest.
func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue[s[i+1]] >= 0 && hexValue[s[i+2]] >= 0 {
			out = append(out, byte(hexValue[s[i+1]]<<4|hexValue[s[i+2]]))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// hexValue and base64Value hold the value of each digit, -1 for other bytes.
// base64Value knows both alphabets.
var hexValue, base64Value = values("0123456789abcdef", "0123456789ABCDEF"), values(upper+lower+digits+"+/", upper+lower+digits+"-_")

func values(alphabets ...string) (v [256]int8) {
	for i := range v {
		v[i] = -1
	}
	for _, a := range alphabets {
		for i := range len(a) {
			v[a[i]] = int8(i)
		}
	}
	return v
}

// base64Runs yields what each run of base64 decodes to, from each of its first
// four characters: what stands before it may be of the alphabet as well.
func base64Runs(s string, yield func(text) bool) bool {
	for i := 0; i < len(s); {
		if base64Value[s[i]] < 0 {
			i++
			continue
		}
		end, digits := base64Run(s[i:])
		i += end
		if len(digits) < minBase64 {
			continue
		}
		for offset := range 4 {
			if !yield(text{plain: decodeBase64(digits[offset:]), how: base64ed}) {
				return false
			}
		}
	}
	return true
}

// base64Run returns the run at the start of s without its line breaks, and where
// it ends.
func base64Run(s string) (end int, digits string) {
	n := anyBase64.run(s, len(s))
	if n < minWrapped || n == len(s) || s[n] != '\n' && s[n] != '\r' {
		return n, s[:n]
	}
	var b strings.Builder
	for line := n; ; {
		b.WriteString(s[n-line : n])
		next := n
		for next < len(s) && (s[next] == '\n' || s[next] == '\r') {
			next++
		}
		if line < minWrapped || next == n || next == len(s) || base64Value[s[next]] < 0 {
			return n, b.String()
		}
		line = anyBase64.run(s[next:], len(s))
		n = next + line
	}
}

func decodeBase64(digits string) string {
	out := make([]byte, 0, len(digits)/4*3+2)
	var bits, have uint
	for i := range len(digits) {
		bits, have = bits<<6|uint(base64Value[digits[i]]), have+6
		if have >= 8 {
			have -= 8
			if b := byte(bits >> have); b != 0 { // UTF-16 becomes ASCII
				out = append(out, b)
			}
		}
	}
	return string(out)
}

// hexRuns yields what each run of hex digits decodes to; between two pairs there
// may be a space, a colon, a comma, \x or 0x. A run of odd length is read from its
// second digit as well.
func hexRuns(s string, yield func(text) bool) bool {
	for i := 0; i+1 < len(s); {
		if hexValue[s[i]] < 0 || hexValue[s[i+1]] < 0 {
			i++
			continue
		}
		end, plain := hexRun(s[i:])
		if len(plain) >= minHexPairs {
			_, second := hexRun(s[i+1:])
			if !yield(text{plain: plain, how: hexed}) || !yield(text{plain: second, how: hexed}) {
				return false
			}
		}
		if len(plain) <= maxStray {
			end = 1
		}
		i += end
	}
	return true
}

// hexRun decodes the pairs at the start of s.
func hexRun(s string) (end int, plain string) {
	var out []byte
	for i := 0; i+1 < len(s) && hexValue[s[i]] >= 0 && hexValue[s[i+1]] >= 0; {
		out = append(out, byte(hexValue[s[i]]<<4|hexValue[s[i+1]]))
		i += 2
		end = i
		i += hexGap(s[i:])
	}
	return end, string(out)
}

func hexGap(s string) (n int) {
	for n < len(s) && n < maxHexGap {
		switch c := s[n]; {
		case strings.IndexByte(" :,\n\r\t\\", c) >= 0:
			n++
		case (c == 'x' || c == '0' && n+1 < len(s) && s[n+1] == 'x') && n < 3:
			n++
			if c == '0' {
				n++
			}
		default:
			return n
		}
	}
	return n
}
