// Package front speaks MCP with clients: it reads one message, names who sent
// it, has it judged and recorded, and only then passes it on.
//
// One Server stands for one server.yaml through all its starts and stops; each
// client has one Session with it. Clients share the server's process: what one
// of them makes it remember, another can ask for. Ids and progress tokens are
// replaced by ours on the way in and given back on the way out.
package front

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/known"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/redact"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/manifest"
)

// Recorder is the record. Append returns when the record survives the end of
// the daemon, AppendDurable when it survives a power cut.
type Recorder interface {
	Append(*audit.Record) error
	AppendDurable(*audit.Record) error
}

// Server is one MCP server as clients see it, running or not.
type Server struct {
	Name   mcprun.ServerName
	Desk   *approval.Desk // where calls wait for a human
	Known  *known.Set     // what it was asked before; nil: nothing
	Limits *limits.Limiter
	// Wake brings the server up for a request of who, or says why not; it returns early
	// when stop is closed.
	Wake     func(who mcprun.Principal, stop <-chan struct{}) error
	switches *limits.Switches
	labels   atomic.Pointer[[]mcprun.Label]
	record   Recorder
	life     atomic.Pointer[Life]
	paused   atomic.Pointer[string] // why an operator has it stand still; nil: it does not
	face     atomic.Pointer[Face]
	use      use

	mu       sync.Mutex
	sessions map[*Session]struct{}
}

// NewServer returns a server that is not running.
func NewServer(name mcprun.ServerName, switches *limits.Switches, record Recorder, desk *approval.Desk, limiter *limits.Limiter) *Server {
	return &Server{Name: name, Desk: desk, Limits: limiter, switches: switches, record: record, sessions: make(map[*Session]struct{}), Wake: stopped(name)}
}

// Pause refuses every request from now on with these words; "" ends it.
func (s *Server) Pause(words string) {
	if words == "" {
		s.paused.Store(nil)
		return
	}
	s.paused.Store(&words)
}

// Life is one run of the server, from its handshake to its end.
type Life struct {
	Instance string
	Image    mcprun.Digest
	Greeting upstream.Greeting // as pinned
	Grants   upstream.Grants
	Timeout  time.Duration // of one request
	Patience time.Duration // of a call that is kept waiting for a human
	// Costs are what calls of tools cost.
	Costs map[mcprun.ToolName]manifest.Cost
	// Untrusted are the tools whose answers were written by strangers.
	Untrusted map[mcprun.ToolName]bool
	// Approvers is how many people have to approve a call of a tool that waits, where
	// server.yaml says so.
	Approvers map[mcprun.ToolName]int
	// Secrets are taken out of results; it may return nil.
	Secrets func() (*redact.Set, error)
	// ToolsChanged is called when the server says that its tools changed; it must not block.
	ToolsChanged func()
	// Gone says why the server ended, for the calls in flight.
	Gone func() error
	// Strained says which limits of its container the server has run into since a call
	// began that failed, and what to change; "" if none.
	Strained func(f Flight, since time.Time) string
	// CallEnded is called after a tool call is in flight no more; it must not block.
	CallEnded func(mcprun.ToolName)

	conn   *upstream.Conn
	policy atomic.Pointer[gate.Policy]
	server *Server

	mu     sync.Mutex
	routes map[int64]*route
	asks   map[mcpwire.ID]*Session // requests of the server's that a client is to answer, by the id given to the client
	askIDs map[mcpwire.ID]mcpwire.ID
}

// Policy is what calls are judged by now.
func (l *Life) Policy() *gate.Policy { return l.policy.Load() }

// SetPolicy replaces it for every message that comes after.
func (l *Life) SetPolicy(p *gate.Policy) { l.policy.Store(p) }

// Events are what the upstream connection of this life is to be made with.
func (l *Life) Events() upstream.Events {
	return upstream.Events{Notification: l.notification, Progress: l.progress, Request: l.request, Dropped: l.dropped, Gone: func() error { return l.Gone() }}
}

// NewLife prepares a life; it takes calls once Begin was called with it.
func (s *Server) NewLife(instance string) *Life {
	return &Life{Instance: instance, server: s, routes: make(map[int64]*route), asks: make(map[mcpwire.ID]*Session), askIDs: make(map[mcpwire.ID]mcpwire.ID), ToolsChanged: func() {}, CallEnded: func(mcprun.ToolName) {}, Secrets: func() (*redact.Set, error) { return nil, nil },
		Gone: func() error { return upstream.ErrGone }, Strained: func(Flight, time.Time) string { return "" }}
}

// Prepare joins a life to its connection, before the first event can come to
// matter; clients cannot reach it yet.
func (s *Server) Prepare(l *Life, conn *upstream.Conn) { l.conn = conn }

// Begin lets clients reach a life whose policy is set.
func (s *Server) Begin(l *Life) {
	s.touch()
	s.life.Store(l)
}

// Serves reports whether clients reach this life.
func (s *Server) Serves(l *Life) bool { return s.life.Load() == l }

// End stops taking calls and fails those in flight with cause. It reports
// whether l was the current life.
func (s *Server) End(l *Life, cause error) bool {
	was := s.life.CompareAndSwap(l, nil)
	l.conn.Fail(cause)
	return was
}

// FailHeld ends the calls in flight and takes no more of this life; its end is the daemon's
// part. The server does not learn of it.
func (s *Server) FailHeld(cause error) {
	if l := s.life.Load(); l != nil {
		l.conn.FailHeld(cause)
	}
}

// KilledError is what a call gets that a kill switch ended or refused.
type KilledError struct{ Kill limits.Kill }

func (e *KilledError) Error() string {
	return fmt.Sprintf("killed: %s was stopped by %s (%s)", e.Kill.Target, e.Kill.Who, e.Kill.Why)
}

// SetLabels says which labels the server has from now on.
func (s *Server) SetLabels(labels []mcprun.Label) { s.labels.Store(&labels) }

// Subject is the server as a switch can name it, or a call of it.
func (s *Server) Subject(tool mcprun.ToolName, by mcprun.Principal) limits.Subject {
	q := limits.Subject{Server: s.Name, Tool: tool, Principal: by}
	if labels := s.labels.Load(); labels != nil {
		q.Labels = *labels
	}
	return q
}

// Killed returns the switch that stops a call, or the server, where tool and by are
// empty.
func (s *Server) Killed(tool mcprun.ToolName, by mcprun.Principal) (limits.Kill, bool) {
	return s.switches.Check(s.Subject(tool, by))
}

// FailCalls ends the calls in flight that a thrown switch stops while the server stays:
// those of a tool, or of a client.
func (s *Server) FailCalls(k limits.Kill) int {
	l := s.life.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	var ids []int64
	for id, r := range l.routes {
		if k.Has(s.Subject(r.tool, r.session.principal)) {
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	n := 0
	for _, id := range ids {
		r := l.take(id)
		if r != nil && l.conn.Cancel(id, "killed") {
			r.finish(upstream.Reply{Err: &KilledError{k}})
			n++
		}
	}
	return n
}

// Flight is one tool call that a server is working on.
type Flight struct {
	Tool mcprun.ToolName
	Call mcprun.CallID
}

// Flights lists the tool calls in flight: what a server does meanwhile, it does
// for one of them.
func (l *Life) Flights() []Flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Flight
	for _, r := range l.routes {
		if r.tool != "" {
			out = append(out, Flight{r.tool, r.call})
		}
	}
	return out
}

// InFlight counts the requests that wait for the server.
func (s *Server) InFlight() int {
	l := s.life.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.routes)
}

// Sessions counts the connected clients.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// ClientSessions are the connections of one client.
func (s *Server) ClientSessions(p mcprun.Principal) []*Session {
	return slices.DeleteFunc(s.clients(), func(c *Session) bool { return c.principal != p })
}

// CloseSessions ends every client's connection.
func (s *Server) CloseSessions() {
	for _, c := range s.clients() {
		c.Close()
	}
}

func (s *Server) clients() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Session, 0, len(s.sessions))
	for c := range s.sessions {
		out = append(out, c)
	}
	return out
}

// ToolsChanged tells every client that the list of tools is another.
func (s *Server) ToolsChanged() { s.broadcast("notifications/tools/list_changed", nil) }

func (s *Server) broadcast(method string, params jsontext.Value) {
	msg := mcpwire.AppendNotification(nil, method, params)
	for _, c := range s.clients() {
		c.box.Send(msg)
	}
}

// passedOn are the notifications of a server that every client gets.
var passedOn = []string{
	"notifications/message", "notifications/prompts/list_changed", "notifications/resources/list_changed",
}

func (l *Life) notification(m mcpwire.Message) {
	switch {
	case slices.Contains(passedOn, m.Method):
		l.server.broadcast(m.Method, m.Params)
	case m.Method == "notifications/tools/list_changed":
		l.ToolsChanged()
	case m.Method == "notifications/resources/updated":
		uri := stringMember(m.Params, "uri")
		msg := mcpwire.AppendNotification(nil, m.Method, m.Params)
		for _, c := range l.server.clients() {
			if c.subscribed(uri) {
				c.box.Send(msg)
			}
		}
	case m.Method == "notifications/cancelled":
		l.withdraw(m)
	default:
		l.dropped(upstream.RuleUnknown, "notification "+m.Method)
	}
}

func (l *Life) progress(id int64, params jsontext.Value) {
	l.mu.Lock()
	r := l.routes[id]
	l.mu.Unlock()
	if r == nil || r.token.IsZero() {
		return
	}
	params = mcpwire.WithReference("notifications/progress", params, r.token)
	r.session.box.Send(mcpwire.AppendNotification(nil, "notifications/progress", params))
}

// dropped records what a server sent and nobody got.
func (l *Life) dropped(rule, why string) {
	l.server.record.Append(&audit.Record{Type: audit.TypeDrop, Server: l.server.Name, Instance: l.Instance, Rule: rule, Reason: clip(why)})
}

// maxReason bounds text of a peer's that goes into the record.
const maxReason = 512

func clip(s string) string { return s[:min(len(s), maxReason)] }
