package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/netpolicy"
)

// serve carries one connection from its first byte to its record of close.
func (w *Way) serve(client *net.TCPConn) {
	if w.cfg.Fake {
		w.serveFake(client)
		return
	}
	c := &conn{way: w, client: client, rules: w.now(), began: time.Now()}
	if !c.place() || !c.join() {
		c.end()
		return
	}
	switch {
	case c.decision.Protocol == netpolicy.TCP:
		c.tunnel(nil)
		c.end()
	case c.decision.Protocol == netpolicy.HTTP:
		w.toWeb.give(&webConn{Conn: c.counted(client), conn: c}, nil)
	case c.decision.Inspect:
		h, ok := c.greet()
		if !ok {
			c.end()
			return
		}
		w.toWeb.give(&webConn{Conn: c.counted(replay(client, h.raw)), conn: c}, w.leafConfig(c.dest.Host))
	default:
		if h, ok := c.greet(); ok {
			c.tunnel(h.raw)
		}
		c.end()
	}
}

// destination is what a connection was meant for: with TPROXY, and with a route
// that makes every address local, that is the accepted socket's own address.
func destination(c *net.TCPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// aim finds where the connection was meant to go.
func (c *conn) aim() {
	to := destination(c.client)
	w := c.way
	c.dest = netpolicy.Dest{Host: netpolicy.LiteralHost(to.Addr()), Port: to.Port(), Own: w.cfg.Own, InFlight: tools(w.cfg.InFlight())}
	if host, ok := w.cfg.Names.Host(to.Addr()); ok {
		c.dest.Host = host
	}
}

// place finds that and which rules allow it.
func (c *conn) place() bool {
	c.aim()
	c.decision = c.rules.policy.Connect(c.dest)
	if !c.decision.Allowed() {
		c.refuse(c.decision.Reason)
		return false
	}
	if !c.way.spend(0) {
		c.refuse(netpolicy.ReasonBudget)
		return false
	}
	var ok bool
	if c.rule, ok = c.rules.admit(c.decision.Rules); !ok {
		c.refuse(netpolicy.ReasonLimit)
		return false
	}
	c.admitted = true
	c.paid.Store(true)
	return true
}

// join puts the connection on the list of those that are cut from outside. The
// call that it was allowed for may have ended since it was judged, or the rules have
// changed; from now on either cuts it.
func (c *conn) join() bool {
	if err := c.way.enter(c); err != nil {
		c.refuse(reasonOf(err))
		return false
	}
	if c.toolBound() && !c.allowedFor(c.way.cfg.InFlight()) {
		c.refuse(netpolicy.ReasonTool)
		return false
	}
	if !c.survives(c.way.now()) {
		c.refuse(netpolicy.ReasonClosed)
		return false
	}
	return true
}

// refuse records why and ends the connection with a reset.
func (c *conn) refuse(r netpolicy.Reason) {
	c.way.deny(c.event(r))
	reset(c.client)
}

// greet reads the client's first message, which must name the host that was asked
// for in the clear.
func (c *conn) greet() (hello, bool) {
	h, err := peekHello(c.client)
	if err != nil {
		e := c.event(netpolicy.ReasonProtocol)
		e.note = err.Error()
		c.way.deny(e)
		reset(c.client)
		return h, false
	}
	// A connection to an address has no name that could be compared, so only tcp
	// rules take one. Where TLS ends here a hidden name leads nowhere: each request
	// says what it asks for.
	reason, ok := netpolicy.CheckHello(c.dest, h.name, h.ech && !c.decision.Inspect)
	switch {
	case ok && h.name != "":
		return h, true
	case reason == netpolicy.ReasonECH:
		c.refuseHello(reason, alertAccessDenied, "Chromium: see docs/egress.md")
	default:
		c.refuseHello(netpolicy.ReasonSNI, alertUnrecognizedName, "it asks for "+shown(h.name))
	}
	return h, false
}

func (c *conn) refuseHello(r netpolicy.Reason, code byte, note string) {
	e := c.event(r)
	e.note = note
	c.way.deny(e)
	c.client.SetWriteDeadline(time.Now().Add(time.Second))
	c.client.Write(alert(code))
	c.client.Close() // not a reset: the alert says why
}

// tunnel carries the connection unread, after what was already read of it.
func (c *conn) tunnel(first []byte) {
	up, err := c.way.dial(c.way.open, c)
	if err != nil {
		return // dial has recorded why
	}
	c.opened(up.RemoteAddr().String())
	outcome := c.splice(up, first)
	c.closed(outcome)
}

const (
	// maxAddresses bounds how many addresses of a name are tried.
	maxAddresses = 4
	// maxSYNs is how often the kernel asks an address again that does not answer: it
	// gives up after 3 s, or after 7 s from Linux 6.5 on, which asks four times more.
	// A time limit in this process would cost each connection a timer.
	maxSYNs = 1
)

// upstream dials with the kernel's own time limit.
var upstream = net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
	cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_SYNCNT, maxSYNs) })
	return errors.Join(cerr, err)
}}

// dial resolves the host, judges its addresses and dials one that is allowed.
// Nothing but an address that was judged is ever dialled.
func (w *Way) dial(ctx context.Context, c *conn) (*net.TCPConn, error) {
	addrs, err := w.resolve(ctx, c.dest.Host)
	if err != nil {
		w.fail(c.allowed(), "resolving the name: "+err.Error())
		reset(c.client)
		return nil, err
	}
	allowed, reason := w.judge(addrs, c.decision.Grant)
	if len(allowed) == 0 {
		c.dest.Addr = addrs[0] // so that the lines to add open it
		e := c.event(reason)
		e.resolved = addrs
		w.deny(e)
		reset(c.client)
		return nil, errors.New(reason.Sentence())
	}
	up, err := w.dialOne(ctx, allowed, c.dest.Port)
	if err != nil {
		w.fail(c.allowed(), err.Error())
		reset(c.client)
		return nil, err
	}
	if !c.pair(up) {
		return nil, w.closedCause()
	}
	return up, nil
}

// dialOne dials the addresses in turn until one answers. They were judged.
func (w *Way) dialOne(ctx context.Context, addrs []netip.Addr, port uint16) (*net.TCPConn, error) {
	if w.cfg.Fake {
		return nil, errFake // nothing comes here; if it did it would end here
	}
	var errs []error
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		up, err := upstream.DialTCP(ctx, "tcp", netip.AddrPort{}, netip.AddrPortFrom(a, port))
		if err == nil {
			return up, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (w *Way) closedCause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		return w.cause
	}
	return ErrClosed
}

// judge keeps the addresses that the grant opens, and says why the first of the
// others is not.
func (w *Way) judge(addrs []netip.Addr, grant netpolicy.Grant) (allowed []netip.Addr, why netpolicy.Reason) {
	for _, a := range addrs {
		reason, ok := netpolicy.CheckAddress(a, grant, w.cfg.Own)
		switch {
		case ok:
			allowed = append(allowed, a)
		case why == "":
			why = reason
		}
	}
	return allowed, why
}

func reasonOf(err error) netpolicy.Reason {
	if errors.Is(err, errTooMany) {
		return netpolicy.ReasonLimit
	}
	return netpolicy.ReasonClosed
}
