package words

// alphabet is a set of bytes.
type alphabet [256]bool

func letters(s string) *alphabet {
	var a alphabet
	for i := range len(s) {
		a[s[i]] = true
	}
	return &a
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

var (
	alnum         = letters(digits + lower + upper)
	urlSafe       = letters(digits + lower + upper + "-_")
	standard      = letters(digits + lower + upper + "+/")
	anyBase64     = letters(digits + lower + upper + "+/-_")
	hexLower      = letters(digits + "abcdef")
	upperAlnum    = letters(digits + upper)
	escapedBase64 = letters(digits + lower + upper + "+/%")
	withDots      = letters(digits + lower + upper + "-_.")
)

const (
	// maxBody bounds how far a body is followed: its beginning decides.
	maxBody = 256
	// minDistinct keeps fillers out: xxxx…, 0000…, abab…. The shortest bodies have
	// sixteen characters, and random ones hardly ever have fewer than six different.
	minDistinct = 4
	// minSplitChanges is one change between lower case, upper case, digits and signs in
	// so many characters. Random text changes at every second one, words written
	// together hardly ever.
	minSplitChanges = 5
)

// body is what stands behind the prefix of a token.
type body struct {
	of       *alphabet
	min, max int // how many; max 0 is no end
	digits   int // at least so many of them are digits
	mixed    bool
}

// match reports whether s begins with the body, and how long its decisive part is.
// split is for text that was joined: then words follow without a space, so there
// is no end to see, and the body must look random.
func (b body) match(s string, split bool) (n int, ok bool) {
	end := 0
	for end < len(s) && end < maxBody && b.of[s[end]] {
		end++
	}
	if end < b.min || !split && b.max > 0 && end > b.max {
		return 0, false
	}
	if split {
		end = b.min
	}
	c := count(s[:end])
	ok = c.distinct >= minDistinct && c.digits >= b.digits && (!b.mixed || c.upper > 0 && c.lower > 0 && c.digits > 0) &&
		(!split || c.changes*minSplitChanges >= end && c.digits > 0)
	return end, ok
}

// counts say what a string is made of.
type counts struct{ digits, upper, lower, distinct, changes int }

func count(s string) (c counts) {
	var seen [256]bool
	last := -1
	for i := range len(s) {
		class := 3
		switch b := s[i]; {
		case isDigit(b):
			class = 0
			c.digits++
		case isUpper(b):
			class = 1
			c.upper++
		case isLower(b):
			class = 2
			c.lower++
		}
		if !seen[s[i]] {
			seen[s[i]] = true
			c.distinct++
		}
		if last >= 0 && class != last {
			c.changes++
		}
		last = class
	}
	return c
}

// run is how many bytes at the start of s are in a, up to limit.
func (a *alphabet) run(s string, limit int) int {
	n := 0
	for n < len(s) && n < limit && a[s[n]] {
		n++
	}
	return n
}
