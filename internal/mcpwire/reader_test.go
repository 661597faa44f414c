package mcpwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll notes what every call of Line returned, up to the final error.
func readAll(r *Reader) []string {
	var got []string
	for {
		line, err := r.Line()
		var long *TooLongError
		switch {
		case err == nil:
			got = append(got, string(line))
		case errors.As(err, &long):
			got = append(got, err.Error())
		default:
			return append(got, err.Error())
		}
	}
}

func TestReader(t *testing.T) {
	tests := []struct {
		name, in string
		max      int
		want     []string
	}{
		{"lines", "a\nbc\n", 10, []string{"a", "bc", "EOF"}},
		{"one carriage return goes", "a\r\nb\r\r\n", 10, []string{"a", "b\r", "EOF"}},
		{"blank lines are skipped", "\n \t\r\na\n\r\n", 10, []string{"a", "EOF"}},
		{"a cut line is not delivered", "a\nbc", 10, []string{"a", "unexpected EOF"}},
		{"a cut blank line is nothing", "a\n \r", 10, []string{"a", "EOF"}},
		{"exactly max", "abc\nd\n", 3, []string{"abc", "d", "EOF"}},
		{"the line end does not count", "abc\r\nd\n", 3, []string{"abc", "d", "EOF"}},
		{"one more", "abcd\ne\n", 3, []string{"a line of 4 bytes; at most 3", "e", "EOF"}},
		{"far more", strings.Repeat("x", 99999) + "\r\ne\n", 3, []string{"a line of 100000 bytes; at most 3", "e", "EOF"}},
		{"too long twice", "abcd\nabcde\ne\n", 3, []string{"a line of 4 bytes; at most 3", "a line of 5 bytes; at most 3", "e", "EOF"}},
		{"too long and cut", strings.Repeat("x", 99999), 3, []string{"unexpected EOF"}},
		{"no bound allows nothing", "a\n", 0, []string{"a line of 1 bytes; at most 0", "EOF"}},
		{"a negative bound allows nothing", "a\n", -9, []string{"a line of 1 bytes; at most 0", "EOF"}},
		{"empty", "", 10, []string{"EOF"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, src := range map[string]io.Reader{
				"at once":                 strings.NewReader(tt.in),
				"by the byte":             iotest.OneByteReader(strings.NewReader(tt.in)),
				"data and error together": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				if d := cmp.Diff(tt.want, readAll(NewReader(src, tt.max))); d != "" {
					t.Errorf("%s: -want +got\n%s", how, d)
				}
			}
		})
	}
}

func TestReaderKeepsItsFinalError(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)), 10)
	if line, err := r.Line(); string(line) != "a" || err != nil {
		t.Fatalf("Line = %q, %v; want a", line, err)
	}
	for range 2 {
		if line, err := r.Line(); line != nil || err != broken {
			t.Fatalf("Line = %q, %v; want the error of the source", line, err)
		}
	}
	r = NewReader(strings.NewReader("half"), 10)
	for _, want := range []error{io.ErrUnexpectedEOF, io.EOF, io.EOF} {
		if _, err := r.Line(); err != want {
			t.Fatalf("error %v, want %v", err, want)
		}
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestReaderGivesUpOnNoProgress(t *testing.T) {
	if _, err := NewReader(emptyReader{}, 10).Line(); err != io.ErrNoProgress {
		t.Fatalf("error %v, want %v", err, io.ErrNoProgress)
	}
}

// probe is a source that looks at the reader's buffer whenever it is asked for
// more: what it holds then is what an idle session holds.
type probe struct {
	src  io.Reader
	r    *Reader
	held []int
}

func (p *probe) Read(b []byte) (int, error) {
	n, err := p.src.Read(b)
	if n == 0 {
		p.held = append(p.held, len(p.r.buf))
	}
	return n, err
}

func TestReaderShrinksAfterALargeLine(t *testing.T) {
	const large = 1 << 20
	in := "small\n" + strings.Repeat("x", large) + "\n"
	for _, rest := range []string{"", "half a line"} {
		p := &probe{src: strings.NewReader(in + rest)}
		p.r = NewReader(p, 2*large)
		for _, want := range []int{5, large} {
			if line, err := p.r.Line(); len(line) != want || err != nil {
				t.Fatalf("%d bytes, %v; want %d", len(line), err, want)
			}
		}
		p.r.Line()
		if len(p.held) != 1 || p.held[0] != smallBuffer {
			t.Errorf("buffers held while idle: %d, want one of %d", p.held, smallBuffer)
		}
	}
}

func TestReaderNeverHoldsMoreThanItsBound(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("x", 1<<20)+"\nok\n"), 8000)
	var most int
	for {
		line, err := r.Line()
		most = max(most, len(r.buf))
		if err == io.EOF {
			break
		}
		if err == nil && string(line) != "ok" {
			t.Fatalf("line %q", line)
		}
	}
	if most > 8002 {
		t.Errorf("buffer of %d bytes for lines of 8000", most)
	}
}

func TestAppendingToALineSparesTheNext(t *testing.T) {
	r := NewReader(strings.NewReader("a\nb\n"), 10)
	line, _ := r.Line()
	_ = append(line, "XXXX"...)
	if next, err := r.Line(); string(next) != "b" || err != nil {
		t.Fatalf("Line = %q, %v; want b", next, err)
	}
}

// chunks hands out at most n bytes a time.
type chunks struct {
	src io.Reader
	n   int
}

func (c chunks) Read(b []byte) (int, error) { return c.src.Read(b[:min(len(b), c.n)]) }

// However the input is cut into reads, the lines are those of bytes.Split, and
// the bytes returned and dropped account for all of it.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nbc\r\n\n\r\nlonger\nx"), uint16(3), uint8(1))
	f.Add(append(bytes.Repeat([]byte("y"), 9000), "\nz\n"...), uint16(8500), uint8(200))
	f.Add(append(bytes.Repeat([]byte("y"), 9000), "\r\nz\n"...), uint16(8999), uint8(255))
	f.Fuzz(func(t *testing.T, in []byte, limit uint16, size uint8) {
		var want []string
		parts := strings.Split(string(in), "\n")
		for _, part := range parts[:len(parts)-1] {
			line := strings.TrimSuffix(part, "\r")
			switch {
			case len(line) > int(limit):
				want = append(want, (&TooLongError{Dropped: len(part), Max: int(limit)}).Error())
			case strings.TrimLeft(line, " \t\r") != "":
				want = append(want, line)
			}
		}
		end := io.EOF
		last := parts[len(parts)-1]
		if strings.TrimLeft(last, " \t\r") != "" || len(last) > int(limit)+1 {
			end = io.ErrUnexpectedEOF
		}
		want = append(want, end.Error())
		got := readAll(NewReader(chunks{bytes.NewReader(in), int(size) + 1}, int(limit)))
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("-want +got\n%s", d)
		}
	})
}
