package egress

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

// idleLimit ends a connection on which nothing moved in either direction: after
// half of it at the earliest, since the limit is not moved on with every byte.
const idleLimit = 30 * time.Minute

// errOverBytes is the end of a connection whose rule, or whose server, has a budget of
// bytes.
var errOverBytes = errors.New("the bytes that are left are used up")

// splice carries bytes both ways until one side fails or both have said all, and
// returns how it ended.
func (c *conn) splice(up *net.TCPConn, first []byte) (outcome string) {
	if len(first) > 0 {
		if !c.limits().spend(int64(len(first))) || !c.way.spend(len(first)) {
			return outcomeLimit
		}
		if _, err := up.Write(first); err != nil {
			return outcomeUpstream
		}
		c.sent.Add(int64(len(first)))
	}
	back := make(chan error, 1)
	go func() { back <- c.carry(c.client, up, &c.received) }()
	err := c.carry(up, c.client, &c.sent)
	return c.outcome(errors.Join(err, <-back))
}

// carry copies from src to dst and closes dst's sending side at the end; an error
// ends the other direction too. It reads and writes: splice(2), which would keep
// the bytes in the kernel, was measured to take twice the time for a small answer
// and a fifth more for a large one.
func (c *conn) carry(dst, src *net.TCPConn, count *atomic.Int64) (err error) {
	defer func() {
		if err != nil {
			c.cut()
		}
	}()
	buf := make([]byte, smallBuffer)
	defer func() { c.way.buffers.Put(buf) }()
	var idle deadline
	for {
		before := c.sent.Load() + c.received.Load()
		idle.extend(src)
		n, err := src.Read(buf)
		if n > 0 {
			if !c.limits().spend(int64(n)) || !c.way.spend(n) {
				return errOverBytes
			}
			count.Add(int64(n))
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if n == len(buf) && n == smallBuffer {
			buf = c.way.buffers.Get() // much is coming
		}
		switch {
		case errors.Is(err, io.EOF):
			return dst.CloseWrite()
		case isTimeout(err) && c.sent.Load()+c.received.Load() > before: // the other direction is alive
		case err != nil:
			return err
		}
	}
}

// deadline is a time limit for reading that is moved on now and then, since a
// timer costs more than a small read.
type deadline struct{ at time.Time }

func (d *deadline) extend(c net.Conn) {
	if now := time.Now(); d.at.Sub(now) < idleLimit/2 {
		d.at = now.Add(idleLimit)
		c.SetReadDeadline(d.at)
	}
}

// How a connection ended, as the record says it.
const (
	outcomeDone     = "closed"
	outcomeLimit    = "cut: limit"
	outcomeCut      = "cut"
	outcomeUpstream = "failed"
)

func (c *conn) outcome(err error) string {
	switch {
	case errors.Is(err, errOverBytes):
		return outcomeLimit
	case c.why.Load() != nil || c.way.isClosed():
		return outcomeCut
	}
	return outcomeDone
}

func (w *Way) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause != nil
}

// counted is a client's connection whose bytes are counted, for what is read in
// this process, and paid for from what the server has left. What they cost a rule is for
// each request's own to say.
type counted struct {
	net.Conn
	c *conn
}

func (c *conn) counted(n net.Conn) net.Conn { return &counted{n, c} }

func (k *counted) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	if !k.c.way.spend(n) {
		return 0, k.over()
	}
	k.c.sent.Add(int64(n))
	return n, err
}

// over ends the connection: what it goes on with would not be paid for.
func (k *counted) over() error {
	k.c.why.CompareAndSwap(nil, ptr(netpolicy.ReasonBudget.Sentence()))
	k.c.cut()
	return errOverBytes
}

func (k *counted) Write(b []byte) (int, error) {
	if !k.c.way.spend(len(b)) {
		return 0, k.over()
	}
	n, err := k.Conn.Write(b)
	k.c.received.Add(int64(n))
	return n, err
}
