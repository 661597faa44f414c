package front

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/upstream"
)

// Face is what clients are told of a server that does not run and comes back when it is
// needed: what was pinned of it. It must be the same as what a life of it says.
type Face struct {
	Greeting upstream.Greeting
	Policy   *gate.Policy
}

// Rest says what clients are told while the server does not run. With nil it stays down
// until an operator starts it, and they are told that.
func (s *Server) Rest(f *Face) { s.face.Store(f) }

// Resting is what clients are told now of a server that does not run; nil: that it stays
// down.
func (s *Server) Resting() *Face { return s.face.Load() }

// DownError is why a server does not come back when it is needed.
type DownError struct {
	Rule  string // stopped, crashed, start-failed
	Why   string
	Retry time.Time // when it is worth to try again; zero is not by waiting
}

func (e *DownError) Error() string { return e.Why }

// use counts who is at work with a server, so that it is not put to rest under them.
type use struct {
	mu   sync.Mutex
	now  int // requests between their arrival and the moment they are in flight, held or answered
	last time.Time
}

// attend is the life that a request is for, nil if there is none; it stays until done.
func (s *Server) attend() *Life {
	s.use.mu.Lock()
	defer s.use.mu.Unlock()
	s.use.now++
	return s.life.Load()
}

// done ends what attend began. A ping is no use of a server: some clients send one every
// few seconds.
func (s *Server) done(method string) {
	s.use.mu.Lock()
	defer s.use.mu.Unlock()
	s.use.now--
	if method != "ping" {
		s.use.last = time.Now()
	}
}

func (s *Server) touch() {
	s.use.mu.Lock()
	defer s.use.mu.Unlock()
	s.use.last = time.Now()
}

// Doze takes a life from the clients once nobody has used it for so long: no request is
// in flight, is held, or waits for a client's answer, and no resource is subscribed to.
// The next request wakes it. It returns how long to wait before trying again.
func (s *Server) Doze(l *Life, after time.Duration) (wait time.Duration, dozed bool) {
	s.use.mu.Lock()
	defer s.use.mu.Unlock()
	if s.use.now > 0 || s.busy(l) {
		return after, false
	}
	if wait = after - time.Since(s.use.last); wait > 0 {
		return wait, false
	}
	return 0, s.life.CompareAndSwap(l, nil)
}

func (s *Server) busy(l *Life) bool {
	l.mu.Lock()
	n := len(l.routes) + len(l.asks)
	l.mu.Unlock()
	if n > 0 || l.conn.InFlight() > 0 {
		return true
	}
	for _, c := range s.clients() {
		c.mu.Lock()
		n := len(c.held) + len(c.watched)
		c.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// asleep handles a request to a server that does not run.
func (c *Session) asleep(m mcpwire.Message, p *permit) {
	f := c.server.face.Load()
	switch {
	case f == nil:
		c.wake(m, p) // which says why it stays down, or waits for a start under way
	case m.Method == "initialize":
		c.initialize(f.Greeting, m)
	case m.Method == "tools/list":
		c.listTools(f.Policy, m)
	case m.Method == "ping":
		c.box.Send(mcpwire.AppendResult(nil, m.ID, jsontext.Value("{}")))
	case m.Method == "tools/call" || forwarded[m.Method]:
		c.wake(m, p)
	default:
		c.refuse(m, codeNoMethod, "method.unknown", fmt.Sprintf("method %.64q is not one that mcprun passes on", m.Method))
	}
}

// wake keeps a request until the server is up, and then begins it anew. The client's
// next messages do not wait for it.
func (c *Session) wake(m mcpwire.Message, p *permit) {
	stop, why := c.keep(m.ID, maxInFlight)
	if why != "" {
		c.box.Send(mcpwire.AppendError(nil, m.ID, codeInvalid, why, nil))
		return
	}
	go func() {
		err := c.server.Wake(c.principal, stop)
		switch {
		case !c.release(m.ID): // cancelled, or the client is gone
		case err != nil:
			c.refuseDown(m, err)
		default:
			c.request(m, p)
		}
	}()
}

// refuseDown says why a server does not come back, and when it is worth to ask again.
func (c *Session) refuseDown(m mcpwire.Message, err error) {
	down := &DownError{Rule: "start-failed", Why: err.Error()}
	errors.As(err, &down)
	rec := &audit.Record{Type: audit.TypeRefuse, Server: c.server.Name, Principal: c.principal, Session: c.id,
		Method: clip(m.Method), Rule: down.Rule, Reason: clip(down.Why)}
	data := map[string]any{"rule": down.Rule}
	if !down.Retry.IsZero() {
		at := down.Retry.UTC().Format(time.RFC3339)
		rec.Detail = map[string]string{"retry": at}
		data["retryAfter"], data["retryAt"] = int64(max(1, (time.Until(down.Retry)+time.Second-1)/time.Second)), at
	}
	c.server.record.Append(rec)
	raw, err := json.Marshal(data, json.Deterministic(true))
	if err != nil {
		raw = nil // texts and numbers
	}
	c.box.Send(mcpwire.AppendError(nil, m.ID, codeRefused, down.Why, raw))
}

// stopped is what wakes a server that nobody can bring up.
func stopped(name mcprun.ServerName) func(mcprun.Principal, <-chan struct{}) error {
	return func(mcprun.Principal, <-chan struct{}) error {
		return &DownError{Rule: "stopped", Why: fmt.Sprintf("server %s is not running; an operator can start it: mcprun start", name)}
	}
}
