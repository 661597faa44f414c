package result

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
)

const (
	// maxFindings bounds the list of each kind in a report: enough to see what it
	// is about, too little to fill a record.
	maxFindings = 8

	// farApart is added to the number of a word where no phrase goes on: more than
	// any gap.
	farApart = 1 << 10
)

// finder matches the phrases in one pass over the words of a text.
type finder struct {
	dict   *dictionary
	word   int // the number of the current word, over all texts
	states [][maxSteps]state
	hit    func(from, to int)
}

// state is how far a phrase was matched: up to a word, from a place in the text.
type state struct{ word, from int }

func newFinder(d *dictionary) *finder {
	return &finder{dict: d, word: farApart, states: make([][maxSteps]state, d.phrases)}
}

// scan looks for the phrases in b.
func (f *finder) scan(b []byte, hit func(from, to int)) {
	f.hit = hit
	f.word += farApart
	for i := 0; i < len(b); {
		c := wordByte[b[i]]
		if c != 0 {
			i = f.take(b, i)
			continue
		}
		if sentenceEnd(b, i) {
			f.word += farApart
		}
		i++
	}
}

// wordByte is the small letter or digit that an ASCII byte is, 1 for the
// beginning of another character, and 0 for what is between words.
var wordByte = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			t[c] = byte(c)
		case 'A' <= c && c <= 'Z':
			t[c] = byte(c) + 'a' - 'A'
		case c >= utf8.RuneSelf:
			t[c] = 1
		}
	}
	return t
}()

func sentenceEnd(b []byte, i int) bool {
	c := b[i]
	return (c == '.' || c == '!' || c == '?') && (i+1 == len(b) || b[i+1] == ' ' || b[i+1] == '\n')
}

// take reads the word at b[i] and returns the place behind it. Apostrophes are
// left out of words.
func (f *finder) take(b []byte, from int) int {
	var word [maxWord + 1]byte
	var h uint32
	n, i := 0, from
	for i < len(b) {
		c, size := wordByte[b[i]], 1
		if c < 2 {
			if c, size = foldAt(b[i:]); c == 0 || c == '\'' && n == 0 {
				break
			}
		}
		i += size
		if c == '\'' {
			continue
		}
		word[min(n, maxWord)] = c
		h = addHash(h, c)
		n++
	}
	if n == 0 { // a character that is no letter
		_, size := utf8.DecodeRune(b[from:])
		return from + size
	}
	f.word++
	if n <= maxWord {
		if e := f.dict.find(h, word[:n]); e != nil {
			f.step(e.uses, b, from, i)
		}
	}
	return i
}

// foldAt folds the first character of b; 0 is between words.
func foldAt(b []byte) (byte, int) {
	if b[0] < utf8.RuneSelf && b[0] != '\'' {
		return 0, 1
	}
	r, n := utf8.DecodeRune(b)
	c := fold(r)
	if c < utf8.RuneSelf && c != '\'' {
		c = wordByte[c]
	}
	return c, n
}

// step takes the phrases further in which the word b[from:to] has a place.
func (f *finder) step(uses []use, b []byte, from, to int) {
	for _, u := range uses {
		s := &f.states[u.phrase]
		begin := from - len(u.before)
		if u.step > 0 {
			last := s[u.step-1]
			if f.word-last.word > u.gap+1 {
				continue
			}
			begin = last.from
		}
		if u.before != "" && !endsWithFold(b[:from], u.before) {
			continue
		}
		if !u.last {
			s[u.step] = state{f.word, begin}
			continue
		}
		if u.colon && !startsWith(b[to:], ":") || u.closed && !startsWith(b[to:], "> ") {
			continue
		}
		*s = [maxSteps]state{}
		f.hit(begin, to)
	}
}

// startsWith reports whether b starts with one of the bytes in set.
func startsWith(b []byte, set string) bool {
	return len(b) > 0 && bytes.IndexByte([]byte(set), b[0]) >= 0
}

func endsWithFold(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && bytes.EqualFold(b[len(b)-len(suffix):], []byte(suffix))
}

// reporter looks through texts and collects what it finds.
type reporter struct {
	finder                 *finder
	text                   []byte // the current one
	instructions, pictures []string
	// The methods as values, made once: a result can have many thousand strings.
	phrase  func(from, to int)
	picture func(address string)
	message func(smuggled string)
}

func newReporter() *reporter {
	r := &reporter{finder: newFinder(phrases)}
	r.phrase = func(from, to int) { report(&r.instructions, string(r.text[from:to])) }
	r.picture = func(address string) { report(&r.pictures, address) }
	r.message = func(smuggled string) { report(&r.instructions, "hidden: "+smuggled) }
	return r
}

// find reports phrases and pictures in a text that goes out.
func (r *reporter) find(text []byte) {
	r.text = text
	r.finder.scan(text, r.phrase)
	pictures(text, r.picture)
}

// report adds a finding in ASCII, short, and once.
func report(list *[]string, s string) {
	if len(*list) >= maxFindings {
		return
	}
	if s = argument.Shown(s); !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}
