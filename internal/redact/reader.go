package redact

import (
	"io"
	"sync/atomic"
)

const (
	// readSize is how much is asked of the source at once: as much as a record
	// of TLS and a usual frame of HTTP/2 hold.
	readSize = 16 << 10

	// minRoom is what is free at least when the source is asked.
	minRoom = readSize / 4

	// maxEmptyReads bounds how often in a row a source may return nothing
	// without an error, as bufio does.
	maxEmptyReads = 100
)

// Reader replaces the secrets in a stream. Read must not be called by two
// goroutines at once; Close and Count may be called at any time.
type Reader struct {
	src   io.ReadCloser
	scan  scanner
	count atomic.Int64

	buf   []byte
	base  int64 // the offset of buf[0] in the stream
	start int   // buf[start:ready] is to be handed out
	ready int   // buf[ready:end] may be the beginning of a secret
	end   int
	err   error // what src said last; sticky
}

// Reader returns a Reader of what r gives; closing it closes r. It hands on at
// once what r returned, except for a last part that may be the beginning of a
// secret. At the end of r, or when r fails, that part is no secret and follows.
//
// There is no timer: a message that ends with the first byte of a pattern, say a
// frame of gRPC, is complete only when the next one comes. Text that ends with a
// line end or a brace does not wait.
func (s *Set) Reader(r io.ReadCloser) *Reader {
	return &Reader{src: r, scan: scanner{set: s}}
}

// Read waits for r only while it has nothing to give.
func (r *Reader) Read(p []byte) (int, error) {
	if r.scan.set.auto == nil {
		return r.src.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for r.start == r.ready && r.err == nil {
		r.fill()
	}
	n := copy(p, r.buf[r.start:r.ready])
	r.start += n
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}

// Close closes the source. It touches nothing else, so that it can end a Read
// that waits.
func (r *Reader) Close() error { return r.src.Close() }

// Count returns how many runs of bytes were replaced so far; see Set.Bytes.
func (r *Reader) Count() int { return int(r.count.Load()) }

// fill reads once and decides what can be handed out.
func (r *Reader) fill() {
	r.makeRoom()
	n, err := r.readOnce()
	r.scan.scan(r.buf[r.end:r.end+n], r.base+int64(r.end))
	r.end += n
	settled := r.end
	if r.err = err; err == nil {
		settled = int(r.scan.settled(r.base+int64(r.end)) - r.base)
	}
	begun := r.scan.blank(r.buf[r.ready:settled], r.base+int64(r.ready))
	r.count.Add(int64(begun))
	r.ready = settled
}

func (r *Reader) readOnce() (int, error) {
	for range maxEmptyReads {
		if n, err := r.src.Read(r.buf[r.end:]); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// makeRoom is called when all was handed out but what waits. What is moved is
// less than what was handed out since the last move, or the buffer is doubled:
// a source that gives single bytes does not make this quadratic.
func (r *Reader) makeRoom() {
	held := r.end - r.start
	buf := r.buf
	switch {
	case held > 0 && len(buf)-r.end >= minRoom:
		return
	case len(buf) == 0:
		buf = make([]byte, readSize)
	case held > len(buf)/2:
		buf = make([]byte, 2*len(buf))
	}
	copy(buf, r.buf[r.start:r.end])
	r.base += int64(r.start)
	r.buf, r.start, r.ready, r.end = buf, 0, 0, held
}
