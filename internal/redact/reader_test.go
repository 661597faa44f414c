package redact

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// pipe returns a Reader and a function that writes to its source. The write
// returns when the Reader has taken all of it; nothing else is ever there.
func pipe(t *testing.T, secrets ...string) (*Reader, func(string)) {
	t.Helper()
	pr, pw := io.Pipe()
	t.Cleanup(func() { pw.Close() })
	write := func(s string) {
		go io.WriteString(pw, s)
	}
	return mustNew(t, secrets...).Reader(pr), write
}

// readOnce returns what a single Read gives.
func readOnce(t *testing.T, r io.Reader) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestReadReturnsAtOnce writes once and reads once: with nothing more to come a
// Read that waited would never return.
func TestReadReturnsAtOnce(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"no secret", "hello, you!", "hello, you!"},
		{"one byte", "x", "x"},
		{"a whole secret", "a " + token, "a " + stars(26)},
		{"a beginning that went on otherwise", "a ghp_Zm9!", "a ghp_Zm9!"},
		{"a beginning at the end waits", "a ghp_Z", "a "},
		{"only the beginning waits", "ghp_ghp_", "ghp_"},
		{"the first byte waits", "hello g", "hello "},
		{"a secret and a beginning", token + "gh", stars(26)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, write := pipe(t, token)
			write(test.in)
			if got := readOnce(t, r); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestHeldBytesFollow(t *testing.T) {
	r, write := pipe(t, token)
	write("a ghp_Zm9v")
	if got := readOnce(t, r); got != "a " {
		t.Fatalf("got %q", got)
	}
	write("!")
	if got := readOnce(t, r); got != "ghp_Zm9v!" {
		t.Errorf("got %q", got)
	}
}

// TestReplacedBytesDoNotWait has a secret that ends as another begins: its bytes
// are replaced in any case.
func TestReplacedBytesDoNotWait(t *testing.T) {
	r, write := pipe(t, "abcdefgh", "abcdefghijkl", "ghghghghgh")
	write("<abcdefgh")
	if got := readOnce(t, r); got != "<********" {
		t.Fatalf("got %q", got)
	}
	write("ghghghgh>")
	if got := readOnce(t, r); got != "********>" {
		t.Fatalf("got %q", got)
	}
	if n := r.Count(); n != 1 {
		t.Errorf("got count %d; one run went out in two parts", n)
	}
}

// TestServerSentEvents is a stream as an agent's upstream sends it: each event
// must arrive before the next one is written.
func TestServerSentEvents(t *testing.T) {
	r, write := pipe(t, token)
	for _, event := range []string{
		"event: message\ndata: {\"step\":1}\n\n",
		": keep-alive\n\n",
		"data: your token is " + token + "\n\n",
		"data: [DONE]\n\n",
	} {
		write(event)
		if got, want := readOnce(t, r), strings.ReplaceAll(event, token, stars(26)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	write("data: " + token[:10])
	if got := readOnce(t, r); got != "data: " {
		t.Fatalf("got %q", got)
	}
	write(token[10:] + "\n\n")
	if got, want := readOnce(t, r), stars(26)+"\n\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if n := r.Count(); n != 2 {
		t.Errorf("got count %d, want 2", n)
	}
}

var errBroken = errors.New("connection reset")

func TestEndOfSource(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string
		err  error
		want string
	}{
		{"clean", "a " + token, nil, "a " + stars(26)},
		{"with a beginning held", "a ghp_Zm9", nil, "a ghp_Zm9"},
		{"broken", "a " + token + " b", errBroken, "a " + stars(26) + " b"},
		{"broken with a beginning held", "a ghp_Zm9", errBroken, "a ghp_Zm9"},
		{"empty", "", nil, ""},
		{"empty and broken", "", errBroken, ""},
	} {
		sources := map[string]func(io.Reader) io.Reader{
			"error alone":     func(r io.Reader) io.Reader { return r },
			"error with data": iotest.DataErrReader,
			"single bytes":    iotest.OneByteReader,
		}
		for how, wrap := range sources {
			t.Run(test.name+", "+how, func(t *testing.T) {
				src := io.Reader(strings.NewReader(test.in))
				if test.err != nil {
					src = io.MultiReader(src, iotest.ErrReader(test.err))
				}
				r := mustNew(t, token).Reader(io.NopCloser(wrap(src)))
				got, err := io.ReadAll(r)
				if string(got) != test.want || err != test.err {
					t.Errorf("got %q, %v; want %q, %v", got, err, test.want, test.err)
				}
				if n, again := r.Read(make([]byte, 1)); n != 0 || again == nil {
					t.Errorf("after the end: got %d, %v", n, again)
				}
			})
		}
	}
}

// TestReaderConforms includes reads into small buffers.
func TestReaderConforms(t *testing.T) {
	in := strings.Repeat("some text "+token+"\n", 2000)
	want := strings.Repeat("some text "+stars(26)+"\n", 2000)
	r := mustNew(t, token).Reader(io.NopCloser(strings.NewReader(in)))
	if err := iotest.TestReader(r, []byte(want)); err != nil {
		t.Error(err)
	}
	if n := r.Count(); n != 2000 {
		t.Errorf("got count %d, want 2000", n)
	}
}

func TestEmptySetReader(t *testing.T) {
	r := mustNew(t).Reader(io.NopCloser(strings.NewReader(token)))
	if got, err := io.ReadAll(r); string(got) != token || err != nil || r.Count() != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSourceWithoutProgress(t *testing.T) {
	r := mustNew(t, token).Reader(io.NopCloser(emptyReader{}))
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.ErrNoProgress {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("into nothing: got %d, %v", n, err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestCloseEndsRead(t *testing.T) {
	r, write := pipe(t, token)
	write("ghp_") // held, so that Read goes on waiting
	done := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	r.Close()
	if err := <-done; err != io.ErrClosedPipe && err != nil {
		t.Errorf("got %v", err)
	}
}

// TestHeldMemoryIsBounded sends nearly all of the longest pattern in single
// bytes: all of it waits, and the buffer stays within a small multiple.
func TestHeldMemoryIsBounded(t *testing.T) {
	const longest = 6 * MaxSecret // "\u0001" for each byte
	in := strings.Repeat(`\u0001`, MaxSecret)[:longest-1]
	src := iotest.OneByteReader(strings.NewReader(in + "!" + in + `1`))
	r := mustNew(t, strings.Repeat("\x01", MaxSecret)).Reader(io.NopCloser(src))
	got, err := io.ReadAll(r)
	if want := in + "!" + stars(longest); string(got) != want || err != nil {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	if len(r.buf) > 4*longest {
		t.Errorf("the buffer grew to %d", len(r.buf))
	}
}

// TestManyOccurrencesWait holds many found secrets inside one that may come.
func TestManyOccurrencesWait(t *testing.T) {
	inner := "12345678"
	outer := strings.Repeat("-"+inner, 1000)
	set := mustNew(t, inner, outer)
	for _, test := range []struct {
		end   string
		want  string
		count int
	}{
		{"", stars(len(outer)), 1},
		{"x", strings.Repeat("-"+stars(8), 999) + "-" + inner[:7] + "x", 999},
	} {
		in := outer
		if test.end != "" {
			in = outer[:len(outer)-1] + test.end
		}
		r := set.Reader(io.NopCloser(iotest.HalfReader(strings.NewReader(in))))
		got, err := io.ReadAll(r)
		if string(got) != test.want || err != nil || r.Count() != test.count {
			t.Errorf("got %d bytes, %v, count %d; want count %d", len(got), err, r.Count(), test.count)
		}
	}
}

func TestReaderKeepsLength(t *testing.T) {
	in := bytes.Repeat([]byte(token[:20]+token+" "), 5000)
	got, err := io.ReadAll(mustNew(t, token).Reader(io.NopCloser(bytes.NewReader(in))))
	if err != nil || len(got) != len(in) || bytes.Contains(got, []byte(token)) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(in), err)
	}
}

// pieces gives one string at each read, after what has to happen before it.
type pieces struct{ all []func() string }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.all) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.all[0]())
	p.all = p.all[1:]
	return n, nil
}

func (p *pieces) Close() error { return nil }

// A stream that was open before a secret was known once showed it.
func TestFollow(t *testing.T) {
	none, one, two := &Set{}, mustNew(t, "secret-number-one"), mustNew(t, "secret-number-one", "secret-number-two")
	now := none
	say := func(s string, set *Set) func() string { return func() string { now = set; return s } }
	r := Follow(func() (*Set, error) { return now, nil }, &pieces{[]func() string{
		say("a secret-number-one before it is one; ", none),
		say("b secret-number-one; ", one),
		say("c secret-num", one), say("ber-two; ", two), // begun under the old set
		say("d secret-number-t", two), say("wo; ", two),
		say("e secret-number-one", two),
	}})
	got, err := io.ReadAll(r)
	stars := strings.Repeat("*", len("secret-number-one"))
	want := "a secret-number-one before it is one; b " + stars + "; c " + stars + "; d " + stars + "; e " + stars
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	broken := errors.New("broken")
	r = Follow(func() (*Set, error) { return nil, broken }, &pieces{[]func() string{say("text", none)}})
	if got, err := io.ReadAll(r); !errors.Is(err, broken) || len(got) > 0 {
		t.Errorf("with a set that cannot be had: %q, %v", got, err)
	}
}
