package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mcprun/mcprun"
)

// maxRules bounds a policy: each connection is held against each rule, and each
// rule against each other once.
const maxRules = 256

// Policy is the list of rules of one server; it never changes. The zero Policy
// denies everything.
type Policy struct {
	rules []Rule
}

// NewPolicy checks rules and takes a copy. It returns all faults, each a Fault
// whose key begins with egress[i].
//
// Two rules about the same host and port must agree on what is spoken there,
// whether it is inspected and which addresses are opened: otherwise nobody could
// say before the first byte how to treat a connection, the laxer rule would undo
// the other one unnoticed, and one rule could open the address for the requests of
// another.
func NewPolicy(rules []Rule) (Policy, error) {
	if len(rules) > maxRules {
		return Policy{}, fmt.Errorf("%d egress rules; at most %d", len(rules), maxRules)
	}
	var errs []error
	for i, r := range rules {
		for _, f := range r.Faults() {
			f.Key = fmt.Sprintf("egress[%d].%s", i, f.Key)
			errs = append(errs, f)
		}
		for j, other := range rules[:i] {
			if f, bad := disagree(r, other, j); bad {
				f.Key = fmt.Sprintf("egress[%d].%s", i, f.Key)
				errs = append(errs, f)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Policy{}, err
	}
	return Policy{copyRules(rules)}, nil
}

func disagree(r, other Rule, j int) (Fault, bool) {
	if r.Port != other.Port || !r.Host.overlaps(other.Host) {
		return Fault{}, false
	}
	what := fmt.Sprintf("egress[%d] is about the same host and port, and there it is different", j)
	switch {
	case r.Protocol != other.Protocol:
		return Fault{"protocol", what, "use one protocol, or hosts that do not overlap"}, true
	case r.Inspect != other.Inspect:
		return Fault{"inspect", what, "inspect in both, or use hosts that do not overlap"}, true
	case r.Grant.Private != other.Grant.Private:
		return Fault{"private", what, "write the same in both, or use hosts that do not overlap"}, true
	case !slices.Equal(r.Grant.Networks, other.Grant.Networks):
		return Fault{"networks", what, "write the same in both, or use hosts that do not overlap"}, true
	case r.ReadsRequests() && r.Limits.Connections != other.Limits.Connections: // requests of both share connections
		return Fault{"limits", what, "write the same connections in both"}, true
	}
	return Fault{}, false
}

// copyRules copies the lists as well: a policy must not change behind its back.
func copyRules(rules []Rule) []Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		r := &rules[i]
		r.Methods, r.Paths = slices.Clone(r.Methods), slices.Clone(r.Paths)
		r.Grant.Networks, r.Tools = slices.Clone(r.Grant.Networks), slices.Clone(r.Tools)
	}
	return rules
}

// Rules returns a copy of the rules, in their order.
func (p Policy) Rules() []Rule { return copyRules(p.rules) }

// At returns one rule; its lists are the policy's own and must not be changed.
func (p Policy) At(i int) Rule { return p.rules[i] }

// About returns a copy of the rules about a host and port, in their order.
func (p Policy) About(h Host, port uint16) []Rule {
	var out []Rule
	for _, r := range p.rules {
		if r.Host.Match(h) && r.Port == port {
			out = append(out, r)
		}
	}
	return copyRules(out)
}

// Inspects reports whether any rule ends TLS at our proxy.
func (p Policy) Inspects() bool {
	return slices.ContainsFunc(p.rules, func(r Rule) bool { return r.Inspect })
}

// Ports returns the ports that some rule is about, sorted, each once.
func (p Policy) Ports() []uint16 {
	var ports []uint16
	for _, r := range p.rules {
		ports = append(ports, r.Port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// String says all of the policy on one line.
func (p Policy) String() string { return list(p.rules, Rule.String) }

// Dest is where a server wants to connect.
type Dest struct {
	Host Host // the name it asked for, or the address that it dialled without one
	Port uint16
	// Addr is what the name resolved to; the zero Addr before that, and where Host is
	// an address itself. Own tells this machine's own addresses; without it every
	// address counts as one, as in CheckAddress.
	Addr     netip.Addr
	Own      func(netip.Addr) bool
	InFlight []mcprun.ToolName // the tools that are being called right now
}

// addr is the address that would be dialled, as far as it is known.
func (d Dest) addr() netip.Addr {
	if a, literal := d.Host.Addr(); literal {
		return a
	}
	return d.Addr
}

// Decision is what a Policy says of a destination or a request. The zero value
// denies.
type Decision struct {
	Rules    []int    // which rules allow it, by their place in the policy
	Protocol Protocol // what all of these rules say is spoken
	Inspect  bool     // whether they inspect it
	Grant    Grant    // which addresses they open
	Reason   Reason   // why it was denied
}

// Allowed reports whether any rule allows it.
func (d Decision) Allowed() bool { return len(d.Rules) > 0 }

func deny(r Reason) Decision { return Decision{Reason: r} }

// allow makes the decision that the rules with these indices allow. They agree on
// all that is taken from the first: NewPolicy saw to it.
func (p Policy) allow(rules []int) Decision {
	first := p.rules[rules[0]]
	grant := Grant{first.Grant.Private, slices.Clone(first.Grant.Networks)}
	return Decision{Rules: rules, Protocol: first.Protocol, Inspect: first.Inspect, Grant: grant}
}

// Name reports whether a name may be resolved at all: whether some rule is about
// it, whatever its port and tools. An address is no name.
func (p Policy) Name(h Host) bool {
	if _, literal := h.Addr(); literal {
		return false
	}
	return slices.ContainsFunc(p.rules, func(r Rule) bool { return r.Host.Match(h) })
}

// Connect judges a connection: by its host, port and tools, and by its address
// where that is known. No address may be dialled that was not judged, here or by
// CheckAddress with the decision's grant.
func (p Policy) Connect(d Dest) Decision {
	if r, never := neverReached(d); never {
		return deny(r)
	}
	best := furthest{reason: ReasonHost}
	if _, literal := d.Host.Addr(); literal {
		best.reason = ReasonLiteral
	}
	var allowed []int
	for i, r := range p.rules {
		if steps, why := r.connect(d); why != "" {
			best.reach(steps, why)
		} else {
			allowed = append(allowed, i)
		}
	}
	if len(allowed) == 0 {
		return deny(best.reason)
	}
	return p.allow(allowed)
}

// neverReached names what no rule can allow by its own name, whatever the rules.
func neverReached(d Dest) (Reason, bool) {
	addr, literal := d.Host.Addr()
	switch {
	case d.Host.IsZero():
		return ReasonName, true
	case d.Host.isLocalhost():
		return ReasonLoopback, true
	case literal && d.Addr.IsValid() && d.Addr != addr:
		return ReasonAddress, true // an address resolves to nothing else
	case literal && Classify(addr).never():
		r, _ := CheckAddress(addr, Grant{}, nil)
		return r, true
	}
	return "", false
}

// connect says why the rule does not allow d, and how many steps it got.
func (r Rule) connect(d Dest) (steps int, why Reason) {
	switch {
	case !r.Host.Match(d.Host):
		return 0, ReasonHost
	case r.Port != d.Port:
		return 1, ReasonPort
	case len(r.Tools) > 0 && !slices.ContainsFunc(d.InFlight, func(t mcprun.ToolName) bool { return slices.Contains(r.Tools, t) }):
		return 2, ReasonTool
	}
	if addr := d.addr(); addr.IsValid() {
		if reason, ok := CheckAddress(addr, r.Grant, d.Own); !ok {
			return 3, reason
		}
	}
	return 4, ""
}

// furthest keeps the reason of the rule that came nearest to allowing: that one
// helps most.
type furthest struct {
	steps  int
	reason Reason
}

func (f *furthest) reach(steps int, why Reason) {
	if steps > f.steps {
		f.steps, f.reason = steps, why
	}
}

// Request judges one request on a connection that Connect allowed, where requests
// are read: path must be what CanonicalPath returned, upgrade says that the
// request asks for a WebSocket.
func (p Policy) Request(d Dest, method, path string, upgrade bool) Decision {
	c := p.Connect(d)
	if !c.Allowed() {
		return c
	}
	if canonical, err := CanonicalPath(path); err != nil || canonical != path {
		return deny(ReasonPath)
	}
	best := furthest{reason: ReasonProtocol}
	var allowed []int
	for _, i := range c.Rules {
		if steps, why := p.rules[i].request(method, path, upgrade); why != "" {
			best.reach(steps, why)
		} else {
			allowed = append(allowed, i)
		}
	}
	if len(allowed) == 0 {
		return deny(best.reason)
	}
	return p.allow(allowed)
}

func (r Rule) request(method, path string, upgrade bool) (steps int, why Reason) {
	switch {
	case !r.ReadsRequests():
		return 0, ReasonProtocol
	case !slices.ContainsFunc(r.Paths, func(p PathPattern) bool { return p.Match(path) }):
		return 1, ReasonPath
	case !slices.Contains(r.Methods, method):
		return 2, ReasonMethod
	case upgrade && (!r.WebSocket || method != "GET"): // the handshake is a GET (RFC 6455 4.1)
		return 3, ReasonWebSocket
	}
	return 4, ""
}
