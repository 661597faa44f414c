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
	now   func() (*Set, error) // nil: the set stays
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

// Follow is Reader with the secrets that now returns for each piece as it comes: a
// stream may be open long before the secret that it echoes is first used. An error
// of now ends the stream. What waited when the set changed is searched again.
func Follow(now func() (*Set, error), r io.ReadCloser) *Reader {
	return &Reader{src: r, scan: scanner{set: &Set{}}, now: now}
}

// Read waits for r only while it has nothing to give.
func (r *Reader) Read(p []byte) (int, error) {
	if r.scan.set.auto == nil && r.now == nil {
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
	if uerr := r.update(); uerr != nil {
		r.err, r.end = uerr, r.ready // what could not be searched goes nowhere
		return
	}
	if r.scan.set.auto == nil {
		r.end += n
		r.ready, r.err = r.end, err
		return
	}
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

// update takes the set that holds now, and searches what waits once more.
func (r *Reader) update() error {
	if r.now == nil {
		return nil
	}
	set, err := r.now()
	if err != nil || set == r.scan.set {
		return err
	}
	waits, at := r.buf[r.ready:r.end], r.base+int64(r.ready)
	if len(waits) > 0 {
		r.count.Add(int64(r.scan.blank(waits, at)))
	}
	r.scan = scanner{set: set}
	if set.auto != nil {
		r.scan.scan(waits, at)
	}
	return nil
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
