package front

import (
	"fmt"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/mcpwire"
)

// maxAsks bounds the requests of one server that wait for clients.
const maxAsks = 64

// request handles what a server asks of the client. Nothing is passed on unless
// server.yaml grants it, the client said it can do it, and it is clear which
// client is meant: the one whose call is in flight.
func (l *Life) request(m mcpwire.Message) {
	if m.Method == "ping" {
		l.conn.Answer(mcpwire.Message{Kind: mcpwire.Response, ID: m.ID, Result: []byte("{}")})
		return
	}
	feature, granted := l.feature(m.Method)
	switch {
	case feature == "":
		l.refuseServer(m, fmt.Sprintf("method %.64q is not one that a server may send", m.Method))
	case !granted:
		l.refuseServer(m, fmt.Sprintf("%s is not granted; to grant it, add to server.yaml: grants: {%s: true}", m.Method, feature))
	default:
		l.ask(m, feature)
	}
}

func (l *Life) feature(method string) (string, bool) {
	switch method {
	case "sampling/createMessage":
		return "sampling", l.Grants.Sampling
	case "elicitation/create":
		return "elicitation", l.Grants.Elicitation
	case "roots/list":
		return "roots", l.Grants.Roots
	}
	return "", false
}

func (l *Life) refuseServer(m mcpwire.Message, why string) {
	l.server.record.Append(&audit.Record{Type: audit.TypeRefuse, Server: l.server.Name, Instance: l.Instance, Method: clip(m.Method), Rule: "server.request", Reason: clip(why)})
	l.conn.Answer(mcpwire.Message{Kind: mcpwire.ErrorResponse, ID: m.ID, Error: errorObject(codeNoMethod, "mcprun: "+why)})
}

// ask passes a server's request to the one client with a call in flight.
func (l *Life) ask(m mcpwire.Message, feature string) {
	c, why := l.addressee(feature)
	if c == nil {
		l.refuseServer(m, why)
		return
	}
	rec := &audit.Record{Type: audit.TypeCall, Call: mcprun.NewCallID(), Server: l.server.Name, Instance: l.Instance, Session: c.id, Method: m.Method,
		Verdict: mcprun.Allow, Risk: mcprun.Medium, Rule: "server.request", Args: m.Params, Size: int64(len(m.Params))}
	if err := l.server.record.Append(rec); err != nil {
		l.refuseServer(m, "it cannot be recorded: "+err.Error())
		return
	}
	id := mcpwire.IntID(l.conn.Reserve())
	l.mu.Lock()
	full := len(l.asks) >= maxAsks
	if !full {
		l.asks[id], l.askIDs[id] = c, m.ID
	}
	l.mu.Unlock()
	if full {
		l.refuseServer(m, fmt.Sprintf("more than %d requests wait for clients", maxAsks))
		return
	}
	c.box.Send(mcpwire.AppendRequest(nil, id, m.Method, m.Params))
}

func (l *Life) addressee(feature string) (c *Session, why string) {
	l.mu.Lock()
	for _, r := range l.routes {
		if r.preview != nil {
			l.mu.Unlock()
			return nil, "a dry run is in flight, which asks nobody"
		}
		if c != nil && r.session != c {
			l.mu.Unlock()
			return nil, "calls of several clients are in flight, and the request does not say which it belongs to"
		}
		c = r.session
	}
	l.mu.Unlock()
	if c == nil {
		return nil, "no call is in flight that it could belong to"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.features[feature] {
		return nil, "the client does not offer " + feature
	}
	return c, ""
}

// answer takes a client's reply to a request of the server's; only the client
// that was asked can give it.
func (c *Session) answer(m mcpwire.Message) {
	if c.answered(m) {
		return
	}
	l := c.server.life.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	theirs, ok := l.askIDs[m.ID]
	ok = ok && l.asks[m.ID] == c
	if ok {
		delete(l.asks, m.ID)
		delete(l.askIDs, m.ID)
	}
	l.mu.Unlock()
	if !ok {
		c.server.record.Append(&audit.Record{Type: audit.TypeDrop, Server: c.server.Name, Principal: c.principal, Session: c.id, Reason: "a reply to nothing that was asked"})
		return
	}
	m.ID = theirs
	l.conn.Answer(m)
}

// withdraw passes on that the server no longer wants an answer.
func (l *Life) withdraw(m mcpwire.Message) {
	id, ok := mcpwire.Reference(m.Method, m.Params)
	if !ok {
		return
	}
	l.mu.Lock()
	var c *Session
	var ours mcpwire.ID
	for o, theirs := range l.askIDs {
		if theirs == id {
			c, ours = l.asks[o], o
			delete(l.asks, o)
			delete(l.askIDs, o)
			break
		}
	}
	l.mu.Unlock()
	if c != nil {
		c.box.Send(mcpwire.AppendNotification(nil, m.Method, mcpwire.WithReference(m.Method, m.Params, ours)))
	}
}

// abandon answers for a client that is gone.
func (l *Life) abandon(c *Session) {
	l.mu.Lock()
	var left []mcpwire.ID
	for o, s := range l.asks {
		if s == c {
			left = append(left, l.askIDs[o])
			delete(l.asks, o)
			delete(l.askIDs, o)
		}
	}
	l.mu.Unlock()
	for _, id := range left {
		l.conn.Answer(mcpwire.Message{Kind: mcpwire.ErrorResponse, ID: id, Error: errorObject(codeRefused, "mcprun: the client is gone")})
	}
}
