// Package egress is the only way out of one container: it accepts every
// connection that a program in it makes, judges where it was meant to go, and
// carries it there or refuses it.
//
// A connection is known by name, since the name stub gives each allowed name an
// address of its own (netpolicy/dns). The name is resolved here, outside of the
// container, the address is judged, and exactly that address is dialled.
//
// What it does not protect: behind an allowed host without inspection anything
// may stand (another site of the same provider, a relay); what an allowed host is
// sent, it has; and how often and when something is asked can carry a message.
package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/accept"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/netpolicy/dns"
	"github.com/mcprun/mcprun/netpolicy/netns"
	"github.com/mcprun/mcprun/netpolicy/nft"
)

// Mode is how connections reach the daemon's listeners.
type Mode uint8

const (
	// Ports opens one listener for each port of a rule. Connections to other ports
	// are refused by the kernel, and not seen. It needs no netfilter.
	Ports Mode = iota
	// Transparent hands every connection, to whatever port, to one listener.
	Transparent
)

func (m Mode) String() string {
	if m == Transparent {
		return "transparent (nftables TPROXY)"
	}
	return "one listener a port (no nftables TPROXY: attempts at other ports are refused unseen)"
}

// Recorder is the record.
type Recorder interface{ Append(*audit.Record) error }

// Flight is one tool call that the server is working on.
type Flight struct {
	Tool mcprun.ToolName
	Call mcprun.CallID
}

// Resolver asks for the addresses of a name, as net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a way out is made of. All fields but Roots, Credentials and Watch must be set.
type Config struct {
	Server   mcprun.ServerName
	Instance string
	Policy   netpolicy.Policy
	Mode     Mode
	Names    *dns.Names
	Record   Recorder
	Seen     *Seen
	InFlight func() []Flight
	// Spend takes bytes from what the server has left, all of them or none; with 0 it
	// says whether anything is left. nil is no bound.
	Spend    func(n int64) bool
	Resolver Resolver
	Own      func(netip.Addr) bool // whether an address is the host's own
	Log      *slog.Logger

	Roots       *x509.CertPool // whom upstream servers are verified against; nil: the system's
	Credentials Credentials    // the zero value: none

	// Fake keeps everything here: every name exists, every connection is answered by
	// the daemon itself, and nothing leaves, whatever the policy allows. It is for
	// learning alone. Names must be a table of this life's.
	Fake bool
	// Watch is told of each attempt of a server that is watched to learn what it needs,
	// in no order, by many at a time. nil: it is not watched.
	Watch func(Attempt)
}

// Way is the way out of one instance. It is open until Close.
type Way struct {
	cfg       Config
	ns        *netns.NS
	authority *Authority // nil without an inspected rule
	stub      *dns.Server
	watcher   *nft.Watcher
	listeners []net.Listener
	web       *http.Server
	toWeb     *handover
	buffers   buffers
	redaction redaction
	rules     atomic.Pointer[ruleSet]
	changing  sync.Mutex // held by the one change of rules under way
	ports     []uint16   // at which a listener stands
	addresses addressCache

	open context.Context // until Close: what is being resolved or dialled ends with it
	shut context.CancelFunc

	mu       sync.Mutex
	conns    map[*conn]struct{}    // of the container's
	requests map[*request]struct{} // that are being made
	kept     map[*kept]struct{}    // to upstream hosts, for the next request
	noisy    map[netpolicy.Reason]*noise
	cause    error // set once by Close
	wg       sync.WaitGroup
}

// transparentPort is where the one listener of each family stands. A server
// cannot take it: below 1024 a capability in the host's user namespace is needed.
const transparentPort = 1

// maxConnections bounds what one container can hold open at a time.
const maxConnections = 512

// Open makes the namespace, its listeners and its rules. The container is to be
// started after it returned, so that no program runs before the listeners stand.
func Open(cfg Config) (_ *Way, err error) {
	w := &Way{cfg: cfg, conns: make(map[*conn]struct{}), kept: make(map[*kept]struct{}), requests: make(map[*request]struct{}), noisy: make(map[netpolicy.Reason]*noise)}
	w.rules.Store(w.newRules(cfg.Policy, nil))
	w.open, w.shut = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			w.Close(err)
		}
	}()
	if cfg.Policy.Inspects() || cfg.Fake {
		if w.authority, err = NewAuthority(cfg.Instance, time.Now()); err != nil {
			return nil, err
		}
	}
	if w.ns, err = netns.New(); err != nil {
		return nil, err
	}
	w.startWeb()
	if err := w.listen(); err != nil {
		return nil, err
	}
	if cfg.Mode == Transparent {
		if err := nft.Apply(w.ns.Fd(), nft.Rules(transparentPort)); err != nil {
			return nil, err
		}
		if w.watcher, err = nft.Watch(w.ns.Fd()); err != nil {
			return nil, err
		}
		w.wg.Go(w.watchRefused)
	}
	return w, nil
}

var anyAddress = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}

func (w *Way) listen() (err error) {
	if err := w.listenAt(w.cfg.Policy.Ports()); err != nil {
		return err
	}
	w.stub, err = dns.Serve(w.ns, w.cfg.Names, w, w.denyName)
	return err
}

// listenAt opens the listeners that are missing for connections to these ports.
func (w *Way) listenAt(ports []uint16) error {
	if w.cfg.Mode == Transparent {
		ports = []uint16{transparentPort}
	} else if w.cfg.Fake {
		ports = slices.Concat(ports, fakePorts)
	}
	for _, port := range ports {
		if slices.Contains(w.ports, port) {
			continue
		}
		for _, a := range anyAddress {
			ln, err := w.ns.ListenTCP(netip.AddrPortFrom(a, port), w.cfg.Mode == Transparent)
			if err != nil {
				return err
			}
			if err := w.keepListener(ln); err != nil {
				return err
			}
		}
		w.ports = append(w.ports, port)
	}
	return nil
}

// keepListener puts a listener on the list of those that Close closes.
func (w *Way) keepListener(ln *net.TCPListener) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		ln.Close()
		return w.cause
	}
	w.listeners = append(w.listeners, ln)
	w.wg.Go(func() { w.accept(ln) })
	return nil
}

func (w *Way) accept(ln *net.TCPListener) {
	for {
		c, err := accept.Next(ln.AcceptTCP)
		if err != nil {
			return // closed
		}
		w.wg.Go(func() { w.serve(c) })
	}
}

// Namespace is the path of the namespace, for the container's spec.
func (w *Way) Namespace() string { return w.ns.Path() }

// Authority is the certificate authority that the container is to trust; nil if
// nothing is inspected.
func (w *Way) Authority() *Authority { return w.authority }

// ErrClosed is the cause of a way that was closed without one.
var ErrClosed = errors.New("the way out is closed")

// Close ends the way out: no connection is taken any more and every open one is
// cut, now. It may be called again; the first cause stays.
func (w *Way) Close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	w.mu.Lock()
	first := w.cause == nil
	if first {
		w.cause = cause
	}
	open := slices.Collect(maps.Keys(w.conns))
	idle := slices.Collect(maps.Keys(w.kept))
	listeners := w.listeners
	w.mu.Unlock()
	if !first {
		return
	}
	w.shut()
	for _, ln := range listeners {
		ln.Close()
	}
	for _, c := range open {
		c.cut()
	}
	for _, k := range idle {
		k.TCPConn.Close()
	}
	if w.stub != nil {
		w.stub.Close()
	}
	if w.watcher != nil {
		w.watcher.Close()
	}
	if w.web != nil {
		w.web.Close()
		for _, l := range w.now().limits {
			l.web.close()
		}
	}
	w.ns.Close()
}

// Wait returns when every connection has ended and is recorded; Close comes first.
func (w *Way) Wait() { w.wg.Wait() }

// enter takes a connection into the list of those that Close cuts.
func (w *Way) enter(c *conn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		return w.cause
	}
	if len(w.conns) >= maxConnections {
		return errTooMany
	}
	w.conns[c] = struct{}{}
	return nil
}

var errTooMany = errors.New("too many connections")

func (w *Way) leave(c *conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

// Recheck cuts connections, and ends requests, that were allowed for a tool of
// which no call is in flight any more.
func (w *Way) Recheck() {
	w.mu.Lock()
	var bound []*conn
	for c := range w.conns {
		if c.toolBound() {
			bound = append(bound, c)
		}
	}
	requests := slices.Collect(maps.Keys(w.requests))
	w.mu.Unlock()
	if len(bound)+len(requests) == 0 {
		return
	}
	flights := w.cfg.InFlight()
	for _, c := range bound {
		if !c.allowedFor(flights) {
			c.why.Store(&toolOver)
			c.cut()
		}
	}
	for _, q := range requests {
		if !q.allowedFor(flights) {
			w.over(q, toolOver)
			q.cancel()
		}
	}
}

// toolOver is why something ends that a tool was allowed.
var toolOver = "no call of its tools is in flight any more"

// conn is one connection of the container's, with its other side once there is one.
type conn struct {
	way      *Way
	client   *net.TCPConn
	rules    *ruleSet // those that it was judged by
	dest     netpolicy.Dest
	decision netpolicy.Decision
	rule     int // the one of those that allow it that pays for it
	admitted bool
	paid     atomic.Bool // its first request's part of the rate is taken
	began    time.Time
	sent     atomic.Int64 // bytes from the container
	received atomic.Int64
	why      atomic.Pointer[string] // of a cut that is not the client's or the upstream's

	mu       sync.Mutex
	upstream []net.Conn
	isCut    bool
}

// pair adds an upstream connection that ends with this one.
func (c *conn) pair(u net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		u.Close()
		return false
	}
	c.upstream = append(c.upstream, u)
	return true
}

// cut ends both sides at once, the client's with a reset.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return
	}
	c.isCut = true
	reset(c.client)
	for _, u := range c.upstream {
		u.Close()
	}
}

func (c *conn) limits() *ruleLimits { return c.rules.limits[c.rule] }

// end cuts what is left of it and takes it off the lists.
func (c *conn) end() {
	c.cut()
	c.way.leave(c)
	if c.admitted {
		c.limits().open.Add(-1)
	}
}

// reset ends a connection so that its peer knows at once.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

func (c *conn) toolBound() bool {
	for _, i := range c.decision.Rules {
		if len(c.rules.policy.At(i).Tools) == 0 {
			return false
		}
	}
	return len(c.decision.Rules) > 0
}

func (c *conn) allowedFor(flights []Flight) bool {
	d := c.dest
	d.InFlight = tools(flights)
	return c.rules.policy.Connect(d).Allowed()
}

func tools(flights []Flight) []mcprun.ToolName {
	out := make([]mcprun.ToolName, len(flights))
	for i, f := range flights {
		out[i] = f.Tool
	}
	return out
}

func ptr[T any](v T) *T { return &v }
