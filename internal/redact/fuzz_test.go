package redact

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

const (
	fuzzMaxText    = 1 << 10 // the naive way is slow
	fuzzMaxSecrets = 4
)

// naive replaces by comparing every pattern at every place.
func naive(text []byte, patterns []string) (out []byte, runs int) {
	out = bytes.Clone(text)
	before := false
	for i, covered := range naiveCovered(text, patterns) {
		if covered {
			out[i] = '*'
		}
		if covered && !before {
			runs++
		}
		before = covered
	}
	return out, runs
}

func naiveCovered(text []byte, patterns []string) []bool {
	covered := make([]bool, len(text))
	for i := range text {
		for _, p := range patterns {
			if bytes.HasPrefix(text[i:], []byte(p)) {
				for j := range len(p) {
					covered[i+j] = true
				}
			}
		}
	}
	return covered
}

// naiveSettled tells how many bytes of text need not wait: all before the first
// suffix that is a proper prefix of a pattern, and those that are replaced anyway.
func naiveSettled(text []byte, patterns []string) int {
	n := 0
	for n < len(text) && !slices.ContainsFunc(patterns, func(p string) bool {
		return len(p) > len(text)-n && strings.HasPrefix(p, string(text[n:]))
	}) {
		n++
	}
	for covered := naiveCovered(text, patterns); n < len(text) && covered[n]; n++ {
	}
	return n
}

// fuzzSecrets cuts data into secrets. Its first byte says which letters they are
// made of: few letters make them overlap.
func fuzzSecrets(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	mask, data := data[0], data[1:]
	var list []string
	for len(data) >= MinSecret && len(list) < fuzzMaxSecrets {
		n := min(MinSecret+int(data[0])%32, len(data))
		secret := bytes.Clone(data[:n])
		if mask != 0xff {
			for i := range secret {
				secret[i] = 'a' + secret[i]&mask%26
			}
		}
		list = append(list, string(secret))
		data = data[n:]
	}
	return list
}

// fuzzText makes text of a script: parts of patterns, and bytes as they are.
func fuzzText(script []byte, patterns []string) []byte {
	var text []byte
	for len(script) >= 3 && len(text) < fuzzMaxText {
		op, which, size := script[0], int(script[1]), int(script[2])
		if len(patterns) == 0 || op%4 == 0 {
			text = append(text, script[:3]...)
		} else {
			p := patterns[which%len(patterns)]
			switch cut := size % len(p); op % 4 {
			case 1:
				text = append(text, p...)
			case 2:
				text = append(text, p[:cut]...)
			case 3:
				text = append(text, p[cut:]...)
			}
		}
		script = script[3:]
	}
	return append(text, script...)
}

// chunked gives data in pieces of the sizes it is told, over and over.
type chunked struct {
	data  []byte
	sizes []byte
	next  int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(c.data)
	if len(c.sizes) > 0 {
		n = 1 + int(c.sizes[c.next%len(c.sizes)])
		c.next++
	}
	n = copy(p, c.data[:min(n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\xff"+token), []byte("\x01\x00\x00 hello \x02\x00\x09"), []byte{3})
	f.Add([]byte("\x01\x08abababab\x08abababbb\x08aababababbabab"), []byte("\x01\x00\x00\x02\x01\x03\x03\x02\x05\x01\x02\x00"), []byte{0, 1, 2})
	f.Add([]byte("\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("\x01\x00\x00\x01\x01\x00\x02\x00\x03"), []byte{0})
	f.Add([]byte("\xffpa ss/w+rd\"\\\n\x00\xffxx"), []byte("\x01\x00\x00\x01\x01\x00\x01\x02\x00\x01\x03\x00\x01\x04\x00\x01\x05\x00"), []byte{7, 30})
	f.Add([]byte("\xff000000\u07ab"), []byte("\xff000000\u07ab"), []byte{0xff}) // letters of two bytes
	f.Fuzz(func(t *testing.T, secretData, script, sizes []byte) {
		secrets := fuzzSecrets(secretData)
		set := mustNew(t, secrets...)
		var patterns []string
		for _, s := range secrets {
			patterns = append(patterns, forms(s)...)
		}
		slices.Sort(patterns)
		patterns = slices.Compact(patterns)
		text := fuzzText(script[:min(len(script), fuzzMaxText)], patterns)
		want, runs := naive(text, patterns)

		got := bytes.Clone(text)
		if n := set.Bytes(got); !bytes.Equal(got, want) || n != runs {
			t.Errorf("Bytes of %q: got %q, %d; want %q, %d", text, got, n, want, runs)
		}
		checkNothingLeft(t, got, patterns)

		r := set.Reader(io.NopCloser(&chunked{data: text, sizes: sizes}))
		got, err := io.ReadAll(r)
		if !bytes.Equal(got, want) || err != nil || r.Count() != runs {
			t.Errorf("Reader of %q: got %q, %v, %d; want %q, %d", text, got, err, r.Count(), want, runs)
		}
		if len(patterns) > 0 {
			checkHeld(t, set, &chunked{data: text, sizes: sizes}, patterns)
		}
	})
}

// checkNothingLeft: with '*' in a secret, the filler may spell it.
func checkNothingLeft(t *testing.T, out []byte, patterns []string) {
	t.Helper()
	for _, p := range patterns {
		if !strings.Contains(p, "*") && bytes.Contains(out, []byte(p)) {
			t.Errorf("%q is left in %q", p, out)
		}
	}
}

// checkHeld compares after every chunk what waits.
func checkHeld(t *testing.T, set *Set, src *chunked, patterns []string) {
	t.Helper()
	text := src.data
	r := set.Reader(io.NopCloser(src))
	for {
		r.fill()
		if r.err != nil {
			return
		}
		r.start = r.ready // all is read
		seen := text[:len(text)-len(src.data)]
		if got, want := int(r.base)+r.ready, naiveSettled(seen, patterns); got != want {
			t.Fatalf("of %q %d bytes are given, want %d", seen, got, want)
		}
	}
}
