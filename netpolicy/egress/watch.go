package egress

import (
	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// Attempt is one name, connection or request of a server that is watched to learn what
// it needs.
type Attempt struct {
	Host         string // a name or an address
	Port         uint16 // 0: only the name was asked for
	Protocol     string // tls, http, tcp; dns for a name, udp or another that has no way out
	Method, Path string // of a request that was read
	WebSocket    bool
	Allowed      bool              // by the rules that are there
	Grant        netpolicy.Grant   // of the rule that allowed it
	Add          string            // the lines of server.yaml that would allow it
	Tools        []mcprun.ToolName // whose calls were in flight
}

// watched tells whoever watches.
func (w *Way) watched(a Attempt) {
	if w.cfg.Watch == nil {
		return
	}
	a.Tools = tools(w.cfg.InFlight())
	w.cfg.Watch(a)
}

// attempt is what the event was, for who watches.
func (e event) attempt(allowed bool) Attempt {
	a := Attempt{Host: e.host, Port: e.port, Protocol: e.protocol, Method: e.method, Path: e.path, Allowed: allowed, Add: e.suggest}
	if e.host == "" && e.addr.IsValid() {
		a.Host, a.Port = e.addr.Addr().String(), e.addr.Port()
	}
	if e.reason == netpolicy.ReasonPrivate || e.reason == netpolicy.ReasonOwn {
		a.Grant.Private = true // as its line has it
	}
	return a
}

// carried tells of a connection, or of a request on one, that a rule allowed.
func (c *conn) carried(q *request) {
	if c.way.cfg.Watch == nil { // as of every server but one that is watched
		return
	}
	e := c.allowed()
	grant, upgrade := c.decision.Grant, false
	if q != nil {
		e.method, e.path = q.method, q.path
		grant, upgrade = q.grant, q.upgrade
	}
	a := e.attempt(true)
	a.Grant, a.WebSocket = grant, upgrade
	c.way.watched(a)
}
