package redact

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

type packer interface {
	io.WriteCloser
	Flush() error
}

func newRaw(w io.Writer) packer {
	f, _ := flate.NewWriter(w, flate.BestSpeed) // fails for an unknown level only
	return f
}

func newZlib(w io.Writer) packer { return zlib.NewWriter(w) }
func newGzip(w io.Writer) packer { return gzip.NewWriter(w) }

func pack(t testing.TB, newPacker func(io.Writer) packer, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := newPacker(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func TestDecode(t *testing.T) {
	text := strings.Repeat("some text with "+token+"\n", 100)
	zipped := pack(t, newGzip, text)
	for _, test := range []struct {
		name     string
		encoding string
		in       string
		want     string
		err      error
	}{
		{"none", "", text, text, nil},
		{"identity", "identity", text, text, nil},
		{"gzip", "gzip", zipped, text, nil},
		{"x-gzip", "x-gzip", zipped, text, nil},
		{"case and space", " GZip ", zipped, text, nil},
		{"two members", "gzip", zipped + zipped, text + text, nil},
		{"zlib", "deflate", pack(t, newZlib, text), text, nil},
		{"raw deflate", "deflate", pack(t, newRaw, text), text, nil},
		{"raw deflate of nothing", "deflate", "\x03\x00", "", nil},
		{"raw deflate with padding", "deflate", "\x08\x01\x00\xfe\xffx\x03\x00", "x", nil},
		{"no body, gzip", "gzip", "", "", nil},
		{"no body, deflate", "deflate", "", "", nil},
		{"cut gzip", "gzip", zipped[:len(zipped)-1], text, io.ErrUnexpectedEOF},
		{"cut header", "gzip", zipped[:5], "", io.ErrUnexpectedEOF},
		{"cut deflate", "deflate", "\x78", "", io.ErrUnexpectedEOF},
		{"not gzip", "gzip", text, "", gzip.ErrHeader},
		{"wrong checksum", "gzip", zipped[:len(zipped)-8] + "12345678", text, gzip.ErrChecksum},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Decode(body(test.in), test.encoding, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %d bytes, %v; want %d, %v", len(got), err, len(test.want), test.err)
			}
			if n, again := r.Read(make([]byte, 1)); n != 0 || again == nil {
				t.Errorf("after the end: got %d, %v", n, again)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, encoding := range []string{"br", "zstd", "compress", "gzip, gzip", "gzip,identity", "gzip;q=1", "dcb", ",", "none"} {
		if r, err := Decode(body("x"), encoding, math.MaxInt64); r != nil || !errors.Is(err, ErrEncoding) {
			t.Errorf("%q: got %v, %v; want ErrEncoding", encoding, r, err)
		}
	}
}

func TestDecodeBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 8<<20)
	ordinary := strings.Repeat("Steps to reproduce: open the page and wait.\n", 100)
	for _, test := range []struct {
		name   string
		packed string
		limit  int64
		given  int // at most; exactly where err is nil
		err    error
		reason string
	}{
		{"exactly the limit", pack(t, newGzip, ordinary), 4400, 4400, nil, ""},
		{"one byte more", pack(t, newGzip, ordinary), 4399, 4399, ErrBomb, "more than 4399 bytes"},
		{"no limit set", pack(t, newGzip, ordinary), 0, 0, ErrBomb, "more than 0 bytes"},
		{"negative limit", pack(t, newGzip, ordinary), -1, 0, ErrBomb, "more than -1 bytes"},
		{"largest limit", pack(t, newGzip, ordinary), math.MaxInt64, 4400, nil, ""},
		{"small and all the same", pack(t, newGzip, zeros[:ratioGrace]), 1 << 30, ratioGrace, nil, ""},
		{"ratio", pack(t, newGzip, zeros), 1 << 30, 2 << 20, ErrBomb, "bytes out of"},
		{"ratio, in many members", strings.Repeat(pack(t, newGzip, zeros[:1<<19]), 16), 1 << 30, 2 << 20, ErrBomb, "bytes out of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Decode(body(test.packed), "gzip", test.limit)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, r)
			if !errors.Is(err, test.err) || n > int64(test.given) || err == nil && n != int64(test.given) {
				t.Fatalf("got %d bytes, %v; want %d, %v", n, err, test.given, test.err)
			}
			if err != nil && !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %q, want %q in it", err, test.reason)
			}
		})
	}
}

// TestDecodedStream is a stream of events in gzip, flushed after each: it must
// be decoded, redacted and handed on before the next event is written.
func TestDecodedStream(t *testing.T) {
	for encoding, newPacker := range map[string]func(io.Writer) packer{"gzip": newGzip, "deflate": newZlib} {
		pr, pw := io.Pipe()
		decoded, err := Decode(pr, encoding, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		r := mustNew(t, token).Reader(decoded)
		events := make(chan string)
		go func() {
			w := newPacker(pw)
			for event := range events {
				io.WriteString(w, event)
				w.Flush()
			}
		}()
		for _, event := range []string{"data: 1\n\n", "data: " + token + "\n\n", "data: 3\n\n"} {
			events <- event
			want := strings.ReplaceAll(event, token, stars(26))
			got := make([]byte, len(want))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
				t.Fatalf("%s: got %q, %v; want %q", encoding, got, err, want)
			}
		}
		close(events)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
			t.Errorf("%s: the body was not closed: %v", encoding, err)
		}
	}
}

// TestDecodeReadsNothing: the response's header must go out before its body is there.
func TestDecodeReadsNothing(t *testing.T) {
	pr, _ := io.Pipe() // a Read would wait for ever
	for _, encoding := range []string{"gzip", "deflate"} {
		if _, err := Decode(pr, encoding, 1); err != nil {
			t.Error(err)
		}
	}
}
