package result

import "unicode/utf8"

const (
	// minSmuggled is how many characters in a row make a hidden message; fewer are
	// remains of emoji and ideographs.
	minSmuggled = 4

	// maxSmuggled is how much of it is looked at: enough for a sentence.
	maxSmuggled = 256
)

// cleaner copies a text without what is hidden in it.
type cleaner struct {
	in      []byte
	at      int // the next byte to look at
	mark    int // in[mark:at] is kept and not yet in out
	out     []byte
	changed bool
	removed *[hiddenKinds]int
	found   func(smuggled string)
}

// clean returns text without hidden characters, which is text itself if there
// are none. What it returns it returns again unchanged.
func clean(text []byte, removed *[hiddenKinds]int, found func(string)) (out []byte, changed bool) {
	first := suspect(text, 0)
	if first == len(text) {
		return text, false
	}
	c := cleaner{in: text, at: first, removed: removed, found: found}
	for c.at < len(text) {
		c.hidden()
		c.at = suspect(text, c.at)
	}
	if !c.changed {
		return text, false
	}
	return append(c.out, text[c.mark:]...), true
}

// hidden deals with the hidden character at c.at and what belongs to it.
func (c *cleaner) hidden() {
	rest := c.in[c.at:]
	r, n := utf8.DecodeRune(rest)
	kind := hiddenKind(r)
	switch {
	case r == utf8.RuneError && n == 1:
		c.replace(n, "", invalid)
	case lineBreak(r) && !belongs(r, c.before(), after(rest[n:])):
		c.replace(n, "\n", kind)
	case r == esc || 0x80 <= r && r < 0xA0:
		c.sequence(rest)
	case kind == tag:
		c.tags(rest)
	case belongs(r, c.before(), after(rest[n:])):
		c.at += n
	case r == 0x2800: // a gap to the eye
		c.replace(n, " ", kind)
	case kind == selector:
		c.selectors(rest)
	default:
		c.replace(n, "", kind)
	}
}

func (c *cleaner) sequence(rest []byte) {
	n := sequence(rest)
	if _, first := utf8.DecodeRune(rest); n == first {
		c.replace(n, "", control)
		return
	}
	c.replace(n, "", escape)
}

// tags keeps the tags of a flag and removes all others, which spell ASCII.
func (c *cleaner) tags(rest []byte) {
	if n := flag(rest); n > 0 && c.before() == blackFlag {
		c.at += n
		return
	}
	c.run(rest, tag, func(r rune) (byte, bool) { return byte(r - 0xE0000), 0xE0020 <= r && r < 0xE007F })
}

// selectors removes a run of selectors, which can spell bytes: the first sixteen
// and then the others are 0 to 255.
func (c *cleaner) selectors(rest []byte) {
	c.run(rest, selector, func(r rune) (byte, bool) {
		if r >= 0xE0100 {
			return byte(r - 0xE0100 + 16), true
		}
		return byte(r - 0xFE00), r >= 0xFE00
	})
}

// run removes the characters of one kind at the start of rest and hands on what
// they spell.
func (c *cleaner) run(rest []byte, kind hidden, spells func(rune) (byte, bool)) {
	var message []byte
	n, count := 0, 0
	for n < len(rest) {
		r, size := utf8.DecodeRune(rest[n:])
		if hiddenKind(r) != kind {
			break
		}
		if b, ok := spells(r); ok && len(message) < maxSmuggled {
			message = append(message, b)
		}
		n, count = n+size, count+1
	}
	c.removed[kind] += count - 1 // replace counts one
	c.replace(n, "", kind)
	if len(message) >= minSmuggled {
		c.found(string(message))
	}
}

// replace puts s in the place of the next n bytes.
func (c *cleaner) replace(n int, s string, kind hidden) {
	c.changed = true
	c.removed[kind]++
	c.out = append(append(c.out, c.in[c.mark:c.at]...), s...)
	c.at += n
	c.mark = c.at
}

// before is the last character that was kept.
func (c *cleaner) before() rune {
	kept := c.in[c.mark:c.at]
	if len(kept) == 0 {
		kept = c.out
	}
	if len(kept) == 0 {
		return edge
	}
	r, _ := utf8.DecodeLastRune(kept)
	return r
}

func after(rest []byte) rune {
	if len(rest) == 0 {
		return edge
	}
	r, n := utf8.DecodeRune(rest)
	if r == utf8.RuneError && n == 1 {
		return 0 // goes, like NUL
	}
	return r
}
