package egress

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

// idleLimit ends a connection on which nothing moved in either direction.
const idleLimit = 30 * time.Minute

// errOverBytes is the end of a connection whose rule has a budget of bytes.
var errOverBytes = errors.New("the rule's bytes are used up")

// splice carries bytes both ways until one side fails or both have said all, and
// returns how it ended.
func (c *conn) splice(up *net.TCPConn, first []byte) (outcome string) {
	if len(first) > 0 {
		if !c.limits().spend(int64(len(first))) {
			return outcomeLimit
		}
		if _, err := up.Write(first); err != nil {
			return outcomeUpstream
		}
		c.sent.Add(int64(len(first)))
	}
	done := make(chan error, 2)
	go func() { done <- c.carry(up, c.client, &c.sent) }()
	go func() { done <- c.carry(c.client, up, &c.received) }()
	err := <-done
	if err != nil {
		c.cut()
	}
	if second := <-done; err == nil {
		err = second
	}
	return c.outcome(err)
}

// carry copies from src to dst and closes dst's sending side at the end. It reads
// and writes: splice(2), which would keep the bytes in the kernel, was measured to
// take twice the time for a small answer and a fifth more for a large one.
func (c *conn) carry(dst, src *net.TCPConn, count *atomic.Int64) error {
	buf := c.way.buffers.Get()
	defer c.way.buffers.Put(buf)
	for {
		before := c.sent.Load() + c.received.Load()
		src.SetReadDeadline(time.Now().Add(idleLimit))
		n, err := src.Read(buf)
		if n > 0 {
			if !c.limits().spend(int64(n)) {
				return errOverBytes
			}
			count.Add(int64(n))
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return werr
			}
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

// counted is a client's connection whose bytes are counted and bounded, for what
// is read in this process.
type counted struct {
	net.Conn
	c *conn
}

func (c *conn) counted(n net.Conn) net.Conn { return &counted{n, c} }

func (k *counted) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	k.c.sent.Add(int64(n))
	return n, k.bound(n, err)
}

func (k *counted) Write(b []byte) (int, error) {
	if err := k.bound(len(b), nil); err != nil {
		return 0, err
	}
	n, err := k.Conn.Write(b)
	k.c.received.Add(int64(n))
	return n, err
}

func (k *counted) bound(n int, err error) error {
	if k.c.limits().spend(int64(n)) {
		return err
	}
	k.c.why.CompareAndSwap(nil, ptr(netpolicy.ReasonLimit.Sentence()))
	k.c.cut()
	return errOverBytes
}
