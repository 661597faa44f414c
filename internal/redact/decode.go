package redact

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrEncoding is returned for a body in which secrets cannot be seen.
	ErrEncoding = errors.New("content encoding cannot be decoded")
	// ErrBomb is what reading a body ends with that decodes to more than it may.
	ErrBomb = errors.New("body decodes to too much")
)

const (
	// maxRatio is how many bytes one byte may become. Text becomes 3 to 20 times
	// as long, long lists of nearly the same entries 100 times; deflate can do 1032.
	maxRatio = 200

	// ratioGrace is decoded before the ratio counts: a small body that is all
	// the same is harmless.
	ratioGrace = 1 << 20
)

// Decode returns body without its Content-Encoding, of at most limit bytes. It
// reads nothing: what is wrong with the data is an error of Read. Closing the
// result closes body. The caller drops Content-Encoding and Content-Length.
//
// A body without encoding is returned as it is, and is not bounded. Any encoding
// but gzip and deflate, and more than one, is ErrEncoding: the response must be
// refused, since nothing can be redacted in it.
func Decode(body io.ReadCloser, encoding string, limit int64) (io.ReadCloser, error) {
	var open func(*bufio.Reader) (io.Reader, error)
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		open = func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case "deflate":
		open = openDeflate
	default:
		return nil, fmt.Errorf("%w: %q", ErrEncoding, encoding)
	}
	packed := &countingReader{r: body}
	return &decoder{body: body, packed: packed, src: bufio.NewReader(packed), open: open, limit: limit}, nil
}

// openDeflate reads what HTTP calls deflate. RFC 9110 8.4.1.2 says zlib, "Note:
// Some non-conformant implementations send the "deflate" compressed data without
// the zlib wrapper." A raw stream that looks like zlib would begin with a stored
// block with padding that is not zero, which no encoder writes.
func openDeflate(r *bufio.Reader) (io.Reader, error) {
	const method, deflated, checkModulus = 0x0f, 8, 31 // RFC 1950 2.2
	head, err := r.Peek(2)
	if err != nil && len(head) > 0 {
		return flate.NewReader(r), nil // too short for zlib
	}
	if err != nil {
		return nil, err
	}
	if head[0]&method == deflated && (uint(head[0])<<8|uint(head[1]))%checkModulus == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

// decoder opens the encoding at the first Read, since opening reads: a stream
// whose first byte is not there yet must not hold up the response's header.
type decoder struct {
	body   io.Closer
	packed *countingReader
	src    *bufio.Reader // of packed
	open   func(*bufio.Reader) (io.Reader, error)
	plain  io.Reader // nil until the first Read
	limit  int64
	given  int64
	err    error // sticky
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	if d.plain == nil {
		if d.plain, d.err = d.open(d.src); d.err != nil {
			return 0, d.err
		}
	}
	n, err := d.plain.Read(p)
	d.err = err
	if left := max(d.limit-d.given, 0); int64(n) > left {
		n = int(left)
		d.err = fmt.Errorf("%w: more than %d bytes", ErrBomb, d.limit)
	}
	d.given += int64(n)
	if d.given > ratioGrace && d.given/maxRatio > d.packed.n {
		d.err = fmt.Errorf("%w: %d bytes out of %d", ErrBomb, d.given, d.packed.n)
	}
	return n, d.err
}

func (d *decoder) Close() error { return d.body.Close() }

// countingReader counts what was read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
