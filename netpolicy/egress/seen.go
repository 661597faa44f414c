package egress

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// maxSeen bounds the destinations kept of one server; a program that makes up
// names must not cost the daemon memory. The record has them all.
const maxSeen = 1024

// Destination is one place that a server reached or tried to reach since the
// daemon started.
type Destination struct {
	Host     string
	Port     uint16
	Protocol string
	Allowed  bool
	Reason   netpolicy.Reason // of a refusal
	Count    int64
	Sent     int64 // bytes from the server
	Received int64 // bytes to it
	First    time.Time
	Last     time.Time
	Add      string // the lines of server.yaml that would allow it
	Note     string
}

// Seen is what all servers reached or tried to reach, for people to look at. The
// record is what counts: this is lost with the daemon.
type Seen struct {
	mu      sync.Mutex
	servers map[mcprun.ServerName]map[destinationKey]*Destination
	now     func() time.Time
}

type destinationKey struct {
	host, protocol string
	reason         netpolicy.Reason
	port           uint16
}

// NewSeen returns an empty one.
func NewSeen() *Seen {
	return &Seen{servers: make(map[mcprun.ServerName]map[destinationKey]*Destination), now: time.Now}
}

// Drop forgets a server that there will never be again.
func (s *Seen) Drop(server mcprun.ServerName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.servers, server)
}

func (s *Seen) add(server mcprun.ServerName, e event, v mcprun.Verdict, sent, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.entry(server, e, v)
	d.Count++
	d.Last = s.now()
	d.Sent += sent
	d.Received += received
}

func (s *Seen) traffic(server mcprun.ServerName, e event, sent, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.entry(server, e, mcprun.Allow)
	d.Sent += sent
	d.Received += received
	d.Last = s.now()
}

// entry finds the destination of an event, making it; the caller holds mu.
func (s *Seen) entry(server mcprun.ServerName, e event, v mcprun.Verdict) *Destination {
	all := s.servers[server]
	if all == nil {
		all = make(map[destinationKey]*Destination)
		s.servers[server] = all
	}
	k := destinationKey{e.host, e.protocol, e.reason, e.port}
	if k.host == "" && e.addr.IsValid() {
		k.host, k.port = e.addr.Addr().String(), e.addr.Port()
	}
	if all[k] == nil && len(all) >= maxSeen {
		k = destinationKey{host: "(others)", reason: e.reason}
	}
	if all[k] == nil {
		all[k] = &Destination{Host: k.host, Port: k.port, Protocol: k.protocol, Allowed: v == mcprun.Allow, Reason: k.reason, First: s.now(), Add: e.suggest, Note: e.note}
	}
	return all[k]
}

// Of lists a server's destinations: what was refused first, then by host and port.
func (s *Seen) Of(server mcprun.ServerName) []Destination {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Destination
	for _, d := range slices.Collect(maps.Values(s.servers[server])) {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Destination) int {
		return cmp.Or(compareBool(a.Allowed, b.Allowed), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
