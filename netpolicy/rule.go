package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mcprun/mcprun"
)

// Limits bound what goes through one rule over the life of an instance. A zero is
// no bound of the rule's own; the server's budgets hold all the same.
type Limits struct {
	Connections int   // open at once
	PerMinute   int   // connections, or requests where they are read
	Bytes       int64 // in both directions together
}

// Rule allows one kind of connection. Its zero value is invalid and allows none.
type Rule struct {
	Host      Pattern
	Port      uint16
	Protocol  Protocol
	Inspect   bool          // TLS only: end the TLS at our proxy and judge each request
	Methods   []string      // which requests; needed where requests are read
	Paths     []PathPattern // likewise
	WebSocket bool          // lets a request change over to WebSocket, unread from then on
	Grant     Grant
	Tools     []mcprun.ToolName // one of these must be in flight; none listed: always
	Limits    Limits
}

// ReadsRequests reports whether requests on the rule's connections are judged.
func (r Rule) ReadsRequests() bool {
	return r.Protocol == HTTP || r.Protocol == TLS && r.Inspect
}

const (
	// portDNS is taken inside every container.
	portDNS = 53
	// maxList bounds each list of a rule: longer ones are generated, and nobody
	// reads them. It also bounds the work that one request can cause.
	maxList = 64
	// maxConnections keeps one rule from taking the daemon's file descriptors (two
	// for each connection; systemd gives 524288, a bare shell 1024).
	maxConnections = 256
)

// Fault is one thing that is wrong with a rule.
type Fault struct {
	Key  string // which key of the rule, as server.yaml has it
	What string
	Fix  string // may be empty
}

func (f Fault) Error() string {
	if f.Fix == "" {
		return f.Key + ": " + f.What
	}
	return f.Key + ": " + f.What + "; " + f.Fix
}

// Validate returns nil or all faults, joined.
func (r Rule) Validate() error {
	var errs []error
	for _, f := range r.Faults() {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// Faults returns all that is wrong with the rule.
func (r Rule) Faults() []Fault {
	return slices.Concat(r.checkTarget(), r.checkRequests(), r.checkGrant(), r.checkTools(), r.checkLimits())
}

// A rule without a host would open a port to everybody, one without a port every
// service of a host (stacklok/toolhive and sandbox-runtime#274 had both).
func (r Rule) checkTarget() (faults []Fault) {
	if r.Host == (Pattern{}) {
		faults = append(faults, Fault{"host", "missing", "a rule names a host and a port"})
	} else if err := r.Host.check(); err != nil {
		faults = append(faults, Fault{Key: "host", What: err.Error()})
	}
	if r.Port == 0 {
		faults = append(faults, Fault{"port", "missing", "a rule names a host and a port"})
	}
	if r.Port == portDNS {
		faults = append(faults, Fault{"port", "53 is where the container's own name stub answers", "names need no rule: each host that a rule names resolves"})
	}
	if r.Protocol != TLS && r.Protocol != HTTP && r.Protocol != TCP {
		faults = append(faults, Fault{"protocol", "missing or unknown", "write tls, http or tcp"})
	}
	return faults
}

// What a rule says about requests must be enforceable, and an empty list must not
// look like "all".
func (r Rule) checkRequests() (faults []Fault) {
	if r.Inspect && r.Protocol != TLS {
		faults = append(faults, Fault{"inspect", "is for tls", "leave it out: http is always read, tcp never"})
	}
	if !r.ReadsRequests() {
		return append(faults, r.checkUnread()...)
	}
	if len(r.Methods) == 0 {
		faults = append(faults, Fault{"methods", "missing", "list the methods, e.g. [GET, HEAD]"})
	}
	if len(r.Paths) == 0 {
		faults = append(faults, Fault{"paths", "missing", `list the paths, e.g. ["/repos/**"]`})
	}
	faults = append(faults, tooMany("methods", len(r.Methods))...)
	faults = append(faults, tooMany("paths", len(r.Paths))...)
	for _, m := range r.Methods {
		if _, err := ParseMethod(m); err != nil {
			faults = append(faults, Fault{Key: "methods", What: err.Error()})
		}
	}
	for _, p := range r.Paths {
		if p.text == "" {
			faults = append(faults, Fault{Key: "paths", What: "a path is empty"})
		}
	}
	if r.WebSocket && !slices.Contains(r.Methods, "GET") {
		faults = append(faults, Fault{"websocket", "needs the method GET", "add GET to methods"})
	}
	return faults
}

// checkUnread refuses words about requests where no request is read: they would
// look like protection.
func (r Rule) checkUnread() (faults []Fault) {
	const fix = "add inspect: true, or protocol: http"
	for _, k := range []struct {
		key string
		set bool
	}{{"methods", len(r.Methods) > 0}, {"paths", len(r.Paths) > 0}, {"websocket", r.WebSocket}} {
		if k.set {
			faults = append(faults, Fault{k.key, "requests of this rule are not read", fix})
		}
	}
	return faults
}

func (r Rule) checkGrant() (faults []Fault) {
	for _, n := range r.Grant.Networks {
		if err := checkNetwork(n); err != nil {
			faults = append(faults, Fault{Key: "networks", What: err.Error()})
		}
	}
	faults = append(faults, tooMany("networks", len(r.Grant.Networks))...)
	addr, literal := r.Host.host.Addr()
	if !literal || Classify(addr).never() {
		return faults
	}
	notOwn := func(netip.Addr) bool { return false }
	if _, ok := CheckAddress(addr, r.Grant, notOwn); !ok {
		faults = append(faults, Fault{"host", fmt.Sprintf("%s is %s, which the rule does not open", addr, Classify(addr)), grantFor(addr).fix()})
	}
	return faults
}

func (r Rule) checkTools() (faults []Fault) {
	for _, t := range r.Tools {
		if _, err := mcprun.ParseToolName(string(t)); err != nil {
			faults = append(faults, Fault{Key: "tools", What: err.Error()})
		}
	}
	return append(faults, tooMany("tools", len(r.Tools))...)
}

func (r Rule) checkLimits() (faults []Fault) {
	l := r.Limits
	for _, k := range []struct {
		key   string
		value int64
	}{{"connections", int64(l.Connections)}, {"rate", int64(l.PerMinute)}, {"bytes", l.Bytes}} {
		if k.value < 0 {
			faults = append(faults, Fault{"limits." + k.key, "below zero", "leave out what is not to be bounded"})
		}
	}
	if l.Connections > maxConnections {
		faults = append(faults, Fault{Key: "limits.connections", What: fmt.Sprintf("%d; at most %d", l.Connections, maxConnections)})
	}
	return faults
}

func tooMany(key string, n int) []Fault {
	if n <= maxList {
		return nil
	}
	return []Fault{{Key: key, What: fmt.Sprintf("%d entries; at most %d", n, maxList)}}
}

// grantFor is the narrowest grant that opens addr; the zero Grant where none is
// needed, or none does.
func grantFor(addr netip.Addr) Grant {
	switch c := Classify(addr); {
	case c == Private || c == SharedNAT:
		return Grant{Private: true}
	case c == Public || c.never():
		return Grant{}
	}
	return Grant{Networks: []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}}
}
