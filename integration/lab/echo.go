package lab

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// TCP is an echo server. Put at an address that must not be reached, it is a
// trap: Conns stays empty.
type TCP struct {
	Addr netip.AddrPort

	mu    sync.Mutex
	open  map[net.Conn]bool // nil once the server is closed
	conns record[Conn]
}

// Conn is one connection that was accepted.
type Conn struct {
	Remote netip.AddrPort
	Bytes  []byte // the first maxBody that came
	Open   bool
}

// TCPEcho sends back what comes, at an address and port of net. The address may
// be 0.0.0.0 or [::]: every one that no other server has.
func (l *Lab) TCPEcho(addr string) *TCP {
	l.t.Helper()
	s := &TCP{Addr: l.addrPort(addr), open: map[net.Conn]bool{}}
	listener, err := l.Listen(Net, "tcp", addr)
	l.must(err, "serving at %s", addr)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if s.keep(conn) {
				all.Go(func() { s.serve(conn) })
			}
		}
	})
	l.t.Cleanup(func() {
		listener.Close()
		s.Cut()
		s.mu.Lock()
		s.open = nil
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

// keep remembers an open connection; false means that the server is closed.
func (s *TCP) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		conn.Close()
		return false
	}
	s.open[conn] = true
	return true
}

// Cut closes every open connection, from this side.
func (s *TCP) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}

func (s *TCP) serve(conn net.Conn) {
	at := s.conns.add(Conn{Remote: remote(conn.RemoteAddr()), Open: true})
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
		s.conns.change(at, func(c *Conn) { c.Open = false })
	}()
	for buf := make([]byte, maxBody); ; {
		n, err := conn.Read(buf)
		s.conns.change(at, func(c *Conn) { c.Bytes = grow(c.Bytes, buf[:n]) })
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Conns lists the connections that were accepted.
func (s *TCP) Conns() []Conn {
	return s.conns.all(func(c Conn) Conn { c.Bytes = slices.Clone(c.Bytes); return c })
}

// UDP is an echo server for datagrams.
type UDP struct {
	Addr netip.AddrPort

	seen record[Datagram]
}

// Datagram is one that came.
type Datagram struct {
	Remote netip.AddrPort
	Bytes  []byte
}

// UDPEcho sends back each datagram, at an address and port of net.
func (l *Lab) UDPEcho(addr string) *UDP {
	l.t.Helper()
	s := &UDP{Addr: l.addrPort(addr)}
	conn, err := l.ListenPacket(Net, "udp", addr)
	l.must(err, "serving at %s", addr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, maxBody); ; {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // what became of an answer, not of the socket
			}
			s.seen.add(Datagram{Remote: remote(from), Bytes: slices.Clone(buf[:n])})
			conn.WriteTo(buf[:n], from)
		}
	}()
	l.t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return s
}

// Datagrams lists what came.
func (s *UDP) Datagrams() []Datagram {
	return s.seen.all(func(d Datagram) Datagram { d.Bytes = slices.Clone(d.Bytes); return d })
}
