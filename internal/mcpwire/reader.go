package mcpwire

import (
	"bytes"
	"fmt"
	"io"
)

const (
	// smallBuffer is what a silent session holds: most messages fit into it.
	smallBuffer = 4 << 10

	// keepBuffer is the largest buffer kept between lines. A session of medium
	// lines then allocates nothing, and an idle one stays small.
	keepBuffer = 16 << 10

	// maxEmptyReads bounds how often in a row a reader may return nothing
	// without an error, as bufio does.
	maxEmptyReads = 100
)

// TooLongError reports a line that was dropped because it was longer than the
// reader's bound. The next call of Line goes on with the line after it.
type TooLongError struct {
	Dropped int // bytes of the line, without its "\n"
	Max     int
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("a line of %d bytes; at most %d", e.Dropped, e.Max)
}

// Reader splits a stream into lines. It must not be used by two goroutines at
// once. A sender that never ends its line is never reported: memory is bounded,
// time is not.
type Reader struct {
	src      io.Reader
	max      int
	buf      []byte
	start    int // buf[start:end] was read and not yet handed out
	scanned  int // buf[start:scanned] holds no "\n"
	end      int
	dropping bool  // inside a line that is too long
	dropped  int   // bytes of that line already gone
	err      error // what src said last; sticky
}

// NewReader returns a Reader of lines of at most limit bytes, not counting the line
// end ("\n" or "\r\n").
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{src: r, max: max(limit, 0)}
}

// Line returns the next line that is not blank, without its end. The slice is
// valid until the next call.
//
// A *TooLongError concerns one line only; any other error is final. A last line
// that lacks its "\n" was cut off: it is not returned, and the error is
// io.ErrUnexpectedEOF where a clean end gives io.EOF.
func (r *Reader) Line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.scanned:r.end], '\n'); i >= 0 {
			line, err := r.take(r.scanned + i)
			if err != nil || len(bytes.TrimLeft(line, " \t\r")) > 0 {
				return line, err
			}
			continue
		}
		r.scanned = r.end
		if r.err != nil {
			return nil, r.finish()
		}
		if r.dropping || r.end-r.start > r.max+len("\r") {
			r.dropping = true
			r.dropped += r.end - r.start
			r.start, r.scanned = r.end, r.end
		}
		r.fill()
	}
}

// take consumes the line whose "\n" is at buf[nl].
func (r *Reader) take(nl int) ([]byte, error) {
	raw := r.buf[r.start:nl:nl]
	r.start, r.scanned = nl+1, nl+1
	line := bytes.TrimSuffix(raw, []byte("\r"))
	if r.dropping || len(line) > r.max {
		err := &TooLongError{Dropped: r.dropped + len(raw), Max: r.max}
		r.dropping, r.dropped = false, 0
		return nil, err
	}
	return line, nil
}

// finish tells how the stream ended, and forgets what is left of it.
func (r *Reader) finish() error {
	rest := bytes.TrimLeft(r.buf[r.start:r.end], " \t\r")
	cut := r.dropping || len(rest) > 0
	r.buf, r.start, r.scanned, r.end, r.dropping = nil, 0, 0, 0, false
	if r.err == io.EOF && cut {
		return io.ErrUnexpectedEOF
	}
	return r.err
}

// fill makes room and reads once.
func (r *Reader) fill() {
	unread := r.end - r.start
	full := max(smallBuffer, r.max+len("\r\n")) // Line keeps less than this unread
	switch {
	case len(r.buf) == 0, len(r.buf) > keepBuffer && unread <= smallBuffer/2:
		r.move(make([]byte, smallBuffer))
	case unread > 0 && r.end < len(r.buf):
	case unread < len(r.buf)/2, len(r.buf) == full:
		r.move(r.buf)
	default:
		r.move(make([]byte, min(2*len(r.buf), full)))
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// move puts the unread bytes at the start of buf.
func (r *Reader) move(buf []byte) {
	n := copy(buf, r.buf[r.start:r.end])
	r.buf, r.start, r.scanned, r.end = buf, 0, n, n
}
