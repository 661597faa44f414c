package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/netpolicy/netns"
	"github.com/mcprun/mcprun/netpolicy/nft"
	"github.com/miekg/dns"
)

const (
	// maxQuestions bounds what is answered at a time; a flood beyond it is dropped,
	// and its sender waits, not the daemon.
	maxQuestions = 64
	// timeToLive of an answer: addresses never change, so a container may keep them.
	timeToLive = 60
	// maxStreams bounds the connections over TCP at a time, of each family: each takes
	// a file of the daemon's. What comes above it waits for one to end.
	maxStreams = 16
	// streamTimeout bounds a connection on which nothing is asked.
	streamTimeout = 5 * time.Second
	// closeTimeout bounds the wait for answers that are being made when the stub is
	// closed: a kill does not wait for a container. Each takes microseconds.
	closeTimeout = 50 * time.Millisecond
	// streamQuestions bounds the questions of one connection.
	streamQuestions = 128
)

// Allowed says which names exist for a container.
type Allowed interface{ Name(netpolicy.Host) bool }

// Server answers on port 53 of a namespace, whatever address is asked.
type Server struct {
	names   *Names
	allowed Allowed
	denied  func(name string, why netpolicy.Reason)
	room    chan struct{}
	servers []*dns.Server
	streams []*streams
	wg      sync.WaitGroup
}

// Serve opens port 53 over UDP and TCP for both families inside ns and answers
// until Close. denied is told of each name that does not exist.
func Serve(ns *netns.NS, names *Names, allowed Allowed, denied func(name string, why netpolicy.Reason)) (*Server, error) {
	s := &Server{names: names, allowed: allowed, denied: denied, room: make(chan struct{}, maxQuestions)}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if err := s.listen(ns, netip.AddrPortFrom(a, nft.DNSPort)); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) listen(ns *netns.NS, at netip.AddrPort) error {
	// The library answers over UDP from the address that was asked: it reads which
	// that was from the packet.
	packets, err := ns.ListenUDP(at)
	if err != nil {
		return err
	}
	s.start(&dns.Server{PacketConn: packets, Handler: s})
	stream, err := ns.ListenTCP(at, false)
	if err != nil {
		return err
	}
	streams := newStreams(stream)
	s.streams = append(s.streams, streams)
	s.start(&dns.Server{Listener: streams, Handler: s, MaxTCPQueries: streamQuestions,
		IdleTimeout: func() time.Duration { return streamTimeout }, ReadTimeout: streamTimeout, WriteTimeout: streamTimeout})
	return nil
}

func (s *Server) start(d *dns.Server) {
	ready := make(chan struct{})
	d.NotifyStartedFunc = func() { close(ready) }
	s.servers = append(s.servers, d)
	failed := make(chan error, 1)
	s.wg.Go(func() { failed <- d.ActivateAndServe() })
	select {
	case <-ready:
	case <-failed:
	}
}

// Close ends it: every connection at once, whatever its other side does.
func (s *Server) Close() error {
	for _, t := range s.streams {
		t.cut()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	for _, d := range s.servers {
		errs = append(errs, d.ShutdownContext(ctx))
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// ServeDNS answers one question. What is malformed, is no question, or holds more
// than one, the library has refused before.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	default:
		return
	}
	if a := s.answer(q); a != nil {
		w.WriteMsg(a)
	}
}

func (s *Server) answer(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg)
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || q.Question[0].Qclass != dns.ClassINET {
		return a.SetRcode(q, dns.RcodeRefused)
	}
	question := q.Question[0]
	a.SetReply(q)
	a.RecursionAvailable = true
	// The name is folded before any use, so its capitals carry nothing further.
	host, err := netpolicy.ParseHost(question.Name)
	if _, literal := host.Addr(); err != nil || literal {
		s.denied(shown(question.Name), netpolicy.ReasonName)
		a.Rcode = dns.RcodeNameError
		return a
	}
	if !s.allowed.Name(host) {
		s.denied(host.String(), netpolicy.ReasonHost)
		a.Rcode = dns.RcodeNameError
		return a
	}
	if question.Qtype != dns.TypeA {
		return a // it exists, and has nothing of this type: clients go on with A
	}
	addr, err := s.names.Address(host)
	if err != nil {
		s.denied(host.String(), netpolicy.ReasonLimit)
		a.Rcode = dns.RcodeServerFailure
		return a
	}
	a.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: timeToLive},
		A:   net.IP(addr.AsSlice()),
	}}
	return a
}

// maxShown bounds what is repeated of a name that does not exist.
const maxShown = 128

func shown(name string) string {
	if len(name) > 1 {
		name = name[:len(name)-1] // the dot at the end
	}
	return name[:min(len(name), maxShown)]
}
