package result

import "unicode/utf8"

// shorten cuts t to what takes at most room bytes inside a JSON string. The cut
// is between two characters, and what only makes sense before the next one goes too.
func (t *text) shorten(room int) {
	i := 0
	for i < len(t.plain) {
		r, n := utf8.DecodeRune(t.plain[i:])
		if room -= quotedSize(r, n); room < 0 {
			break
		}
		i += n
	}
	kept := t.plain[:i]
	for len(kept) > 0 {
		r, n := utf8.DecodeLastRune(kept)
		if r == '\n' || r == '\t' || hiddenKind(r) == shown {
			break
		}
		kept = kept[:len(kept)-n]
	}
	t.cut = len(t.plain) - len(kept)
	t.plain = kept
	t.requote()
}

// quotedSize is how long a character of n bytes is in what jsontext writes.
func quotedSize(r rune, n int) int {
	switch {
	case r == '"', r == '\\', '\b' <= r && r <= '\r' && r != '\v':
		return len(`\n`)
	case r < 0x20:
		return len(`\u0000`)
	case r == utf8.RuneError:
		return len("\uFFFD")
	}
	return n
}
