// Package accept takes connections from a listener for as long as it is open.
//
// An accept can fail for a reason that passes: the process has no file
// descriptor left, or the peer is gone already. Giving up then would leave a
// listener that the kernel still answers for, and nobody else; so it is tried
// again. It bounds nothing by itself: how many connections there may be is for
// the caller to say.
package accept

import (
	"errors"
	"net"
	"time"
)

const (
	// firstPause and longestPause are between two tries that fail: soon enough for a
	// client to wait, and no busy loop while files are short.
	firstPause, longestPause = 5 * time.Millisecond, 200 * time.Millisecond
)

// Next calls accept until it brings a connection or the listener is closed, which
// is the only error it returns.
func Next[C any](accept func() (C, error)) (C, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		c, err := accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		time.Sleep(pause)
	}
}

// Listener is a listener whose Accept is Next.
type Listener struct{ net.Listener }

// Accept returns the next connection, or that the listener is closed.
func (l Listener) Accept() (net.Conn, error) { return Next(l.Listener.Accept) }
