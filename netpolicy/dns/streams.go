package dns

import (
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/mcprun/mcprun/internal/accept"
)

// streams are the connections over TCP that a container holds to its stub. A
// client that reads nothing must hold up neither an answer nor the end of the
// stub: the library sets no time limit for writing, and waits for every handler.
type streams struct {
	net.Listener

	mu   sync.Mutex
	open map[*stream]struct{} // nil once closed
}

func newStreams(l net.Listener) *streams {
	return &streams{Listener: netutil.LimitListener(accept.Listener{Listener: l}, maxStreams), open: map[*stream]struct{}{}}
}

// Accept returns the next connection.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	st := &stream{c, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		c.Close()
		return nil, net.ErrClosed
	}
	s.open[st] = struct{}{}
	return st, nil
}

// cut closes every connection, also one in which somebody writes.
func (s *streams) cut() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	s.Listener.Close()
	for st := range open {
		st.Conn.Close()
	}
}

type stream struct {
	net.Conn
	of *streams
}

func (s *stream) Write(b []byte) (int, error) {
	s.SetWriteDeadline(time.Now().Add(streamTimeout))
	return s.Conn.Write(b)
}

func (s *stream) Close() error {
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}
