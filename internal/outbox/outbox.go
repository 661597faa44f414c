// Package outbox writes messages to a peer that may be slow or may never read,
// without making anybody wait: a message goes out at once where the kernel takes
// it, else into a bounded queue. A peer that lets the queue fill is cut off.
package outbox

import (
	"errors"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxQueued bounds what waits for one peer: two of the largest messages.
const MaxQueued = 32 << 20

var (
	// ErrFull is the cause of a box that was closed since its peer does not read.
	ErrFull = errors.New("the peer does not read what it is sent")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the connection is closed")
)

// Conn is what a Box writes to: a pipe or a socket that the poller watches.
type Conn interface {
	io.WriteCloser
	syscall.Conn
}

// Box is the sending side of one peer. Send may be called concurrently.
type Box struct {
	conn Conn
	raw  syscall.RawConn

	mu     sync.Mutex
	queue  [][]byte
	queued int
	busy   bool // a goroutine is emptying the queue
	err    error
}

// New returns a Box that owns conn.
func New(conn Conn) (*Box, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Box{conn: conn, raw: raw}, nil
}

// Send hands over one whole message and never blocks. The bytes are the
// caller's again when it returns. An error is final.
func (b *Box) Send(msg []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if !b.busy {
		n, err := b.tryWrite(msg)
		if err != nil {
			return b.fail(err)
		}
		if msg = msg[n:]; len(msg) == 0 {
			return nil
		}
	}
	if b.queued+len(msg) > MaxQueued {
		return b.fail(ErrFull)
	}
	b.queue = append(b.queue, append([]byte(nil), msg...))
	b.queued += len(msg)
	if !b.busy {
		b.busy = true
		go b.drain()
	}
	return nil
}

// tryWrite writes what the kernel takes now.
func (b *Box) tryWrite(msg []byte) (n int, err error) {
	cerr := b.raw.Write(func(fd uintptr) bool {
		for {
			if n, err = unix.Write(int(fd), msg); err != unix.EINTR {
				return true
			}
		}
	})
	if cerr != nil {
		return 0, cerr
	}
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

// drain writes the queue, waiting for the peer, and ends when it is empty.
func (b *Box) drain() {
	for {
		b.mu.Lock()
		if b.err != nil || len(b.queue) == 0 {
			b.queue, b.busy = nil, false
			b.mu.Unlock()
			return
		}
		msg := b.queue[0]
		b.queue = b.queue[1:]
		b.mu.Unlock()
		_, err := b.conn.Write(msg)
		b.mu.Lock()
		b.queued -= len(msg)
		if err != nil {
			b.fail(err)
		}
		b.mu.Unlock()
	}
}

// fail ends the box; the caller holds mu.
func (b *Box) fail(err error) error {
	if b.err == nil {
		b.err = err
		b.conn.Close()
	}
	return b.err
}

// Close ends the box and its connection; what is queued is dropped.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail(ErrClosed)
	return nil
}
