package egress

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// spliceChunk is how much is carried before counters and limits are looked at:
	// large enough that looking costs nothing, small enough that a limit cuts in
	// mid-stream and not at the end.
	spliceChunk = 1 << 20
	// idleLimit ends a connection on which nothing moved in either direction.
	idleLimit = 30 * time.Minute
)

// errOverBytes is the end of a connection whose rule has a budget of bytes.
var errOverBytes = errors.New("the rule's bytes are used up")

// splice carries bytes both ways until one side fails or both have said all, and
// returns how it ended. Linux moves them without a copy through this process.
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

// carry copies from src to dst and closes dst's sending side at the end.
func (c *conn) carry(dst, src *net.TCPConn, count *atomic.Int64) error {
	for {
		n := c.limits().reserve(spliceChunk)
		if n == 0 {
			return errOverBytes
		}
		src.SetReadDeadline(time.Now().Add(idleLimit))
		moved, err := io.CopyN(dst, src, n)
		count.Add(moved)
		c.limits().giveBack(n - moved)
		if errors.Is(err, io.EOF) {
			return dst.CloseWrite()
		}
		if err != nil {
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
