package front

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/outbox"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
)

const (
	// maxInFlight bounds one client's requests, so that none can use up what the
	// server takes from all.
	maxInFlight = 256
	// maxSubscriptions bounds the resources that one client watches.
	maxSubscriptions = 1024

	// refusedPerSecond slows down a client that is refused again and again, with
	// refusedBurst before it is: each refusal is a record, and a client in a loop must not
	// fill the disk. Nobody else waits.
	refusedPerSecond = 50
	refusedBurst     = 500

	codeRefused  = -32000 // a JSON-RPC server error: refused or failed by mcprun
	codeNoMethod = -32601
	codeInvalid  = -32600
	codeParams   = -32602
)

// Session is one client's connection to one server.
type Session struct {
	id        string
	principal mcprun.Principal
	server    *Server
	in        *mcpwire.Reader
	closer    io.Closer
	box       *outbox.Box
	recent    recent
	pace      *rate.Limiter // of refusals
	past      *Past

	mu        sync.Mutex
	inFlight  map[mcpwire.ID]int64         // the client's id → ours
	held      map[mcpwire.ID]chan struct{} // that wait for a human
	watched   map[string]bool
	elicits   bool                                // it can ask the person at it with a form
	questions map[mcpwire.ID]chan mcpwire.Message // our own requests that it has not answered
	refused   map[approval.Binding]time.Time      // calls that the person at it said no to, and when
	features  map[string]bool                     // what the client said it can do: sampling, elicitation, roots
}

// NewSession joins a client that speaks on in and out. past is what it has read
// through other sessions; nil is a client that came just now.
func (s *Server) NewSession(id string, principal mcprun.Principal, past *Past, in io.ReadCloser, out outbox.Conn) (*Session, error) {
	box, err := outbox.New(out)
	if err != nil {
		return nil, fmt.Errorf("connecting the client: %w", err)
	}
	if past == nil {
		past = new(Past)
	}
	c := &Session{
		id: id, principal: principal, past: past, server: s, pace: rate.NewLimiter(refusedPerSecond, refusedBurst), in: mcpwire.NewReader(in, mcpwire.MaxRequestLine), closer: in, box: box,
		inFlight: make(map[mcpwire.ID]int64), held: make(map[mcpwire.ID]chan struct{}), watched: make(map[string]bool), features: make(map[string]bool),
		questions: make(map[mcpwire.ID]chan mcpwire.Message), refused: make(map[approval.Binding]time.Time),
	}
	if err := s.record.Append(&audit.Record{Type: audit.TypeSession, Server: s.Name, Principal: principal, Session: id, Outcome: "open"}); err != nil {
		return nil, fmt.Errorf("recording the session: %w", err)
	}
	s.mu.Lock()
	s.sessions[c] = struct{}{}
	s.mu.Unlock()
	return c, nil
}

// Serve handles the client's messages until its connection ends.
func (c *Session) Serve() {
	defer c.leave()
	for {
		line, err := c.in.Line()
		var long *mcpwire.TooLongError
		switch {
		case errors.As(err, &long):
			c.refuseLine(&mcpwire.Error{Code: codeInvalid, Message: long.Error(), Answerable: true})
		case err != nil:
			return
		default:
			m, werr := mcpwire.ParseClient(line)
			if werr != nil {
				c.refuseLine(werr)
				continue
			}
			c.message(m)
		}
	}
}

// Close ends the session from our side.
func (c *Session) Close() {
	c.box.Close()
	c.closer.Close()
}

// leave withdraws what the client asked and still waits for.
func (c *Session) leave() {
	c.giveUp(mcpwire.ID{}, true)
	c.server.mu.Lock()
	delete(c.server.sessions, c)
	c.server.mu.Unlock()
	if l := c.server.life.Load(); l != nil {
		c.mu.Lock()
		ids := make([]int64, 0, len(c.inFlight))
		for _, id := range c.inFlight {
			ids = append(ids, id)
		}
		c.mu.Unlock()
		for _, id := range ids {
			if r := l.take(id); r != nil {
				l.conn.Cancel(id, "the client is gone")
				r.withdrawn("client gone")
			}
		}
		l.abandon(c)
	}
	c.server.record.Append(&audit.Record{Type: audit.TypeSession, Server: c.server.Name, Principal: c.principal, Session: c.id, Outcome: "closed"})
	c.server.Limits.Forget(c.server.Name, c.id)
	c.Close()
}

func (c *Session) message(m mcpwire.Message) {
	switch m.Kind {
	case mcpwire.Request:
		c.request(m, nil)
	case mcpwire.Notification:
		c.notification(m)
	default:
		c.answer(m)
	}
}

// refuseLine answers a line that is no message.
func (c *Session) refuseLine(werr *mcpwire.Error) {
	c.server.record.Append(&audit.Record{Type: audit.TypeRefuse, Server: c.server.Name, Principal: c.principal, Session: c.id,
		Rule: "wire", Reason: clip(werr.Message)})
	defer c.slow()
	if werr.Answerable {
		c.box.Send(mcpwire.AppendError(nil, werr.ID, werr.Code, werr.Message, nil))
	}
}

// forwarded are the requests that pass without a tool's rules: they are recorded.
var forwarded = map[string]bool{
	"ping": true, "resources/list": true, "resources/templates/list": true, "resources/read": true,
	"resources/subscribe": true, "resources/unsubscribe": true, "prompts/list": true, "prompts/get": true,
	"completion/complete": true, "logging/setLevel": true,
}

// request handles one request; p is what it has already where it comes again.
func (c *Session) request(m mcpwire.Message, p *permit) {
	l := c.server.attend()
	defer c.server.done(m.Method)
	if k, killed := c.server.Killed("", c.principal); killed {
		c.refuse(m, codeRefused, "killed", (&KilledError{k}).Error()+"; an operator can undo it: mcprun revive "+k.Argument())
		return
	}
	if words := c.server.paused.Load(); words != nil && m.Method != "ping" {
		c.refuse(m, codeRefused, "paused", *words)
		return
	}
	if l == nil {
		c.asleep(m, p)
		return
	}
	switch {
	case m.Method == "initialize":
		c.initialize(l.Greeting, m)
	case m.Method == "tools/list":
		c.listTools(l.Policy(), m)
	case m.Method == "tools/call":
		c.call(l, m, p)
	case forwarded[m.Method]:
		c.forward(l, m, p)
	default:
		c.refuse(m, codeNoMethod, "method.unknown", fmt.Sprintf("method %.64q is not one that mcprun passes on", m.Method))
	}
}

// refuse records a refusal and answers with a JSON-RPC error.
func (c *Session) refuse(m mcpwire.Message, code int, rule, why string) {
	c.server.record.Append(&audit.Record{Type: audit.TypeRefuse, Server: c.server.Name, Principal: c.principal, Session: c.id,
		Method: clip(m.Method), Rule: rule, Reason: clip(why)})
	c.box.Send(mcpwire.AppendError(nil, m.ID, code, why, nil))
	c.slow()
}

// slow has a client wait that was refused too often: its next message is read later.
func (c *Session) slow() { time.Sleep(c.pace.Reserve().Delay()) }

// call judges, records and forwards one tool call.
func (c *Session) call(l *Life, m mcpwire.Message, permit *permit) {
	call, werr := mcpwire.ParseCall(m.Params)
	if werr != nil {
		c.refuse(m, werr.Code, "wire", werr.Message)
		return
	}
	r := c.route(l, m)
	r.token = call.Token
	if t := permit.held(); t != nil {
		r.call = t.Asked().ID // what was set aside is for this one
	}
	name, err := mcprun.ParseToolName(call.Name)
	if err != nil {
		c.refuse(m, codeParams, "tool.name", err.Error())
		return
	}
	r.tool = name
	now := time.Now()
	p := l.Policy()
	var said mcprun.Justification
	call.Arguments, said = p.TakeJustification(name, call.Arguments)
	asked := c.asked(p, name, call.Arguments, now)
	asked.Stated = said
	d := p.Decide(asked)
	r.hosts = d.NewHosts
	kind := audit.TypeRefuse
	if d.Verdict == mcprun.Allow {
		kind = audit.TypeCall
	}
	rec := r.record(kind)
	decided.Note(rec, p, asked, d)
	if rec.ArgsDigest, err = strictjson.DigestOf(call.Arguments); err != nil {
		c.refuse(m, codeParams, "wire", err.Error())
		return
	}
	if d.Verdict == mcprun.Hold {
		c.proceed(heldCall{l, m, r, p, asked, d, rec}, call, permit)
		return
	}
	if d.Verdict == mcprun.Allow && !c.enter(m, r, rec, permit) {
		return
	}
	// The record comes before the effect. A call that changes something waits until
	// the record would survive a power cut, see docs/adr/0001.
	write := c.server.record.Append
	if d.Verdict == mcprun.Allow && d.Risk != mcprun.Low {
		write = c.server.record.AppendDurable
	}
	if err := write(rec); err != nil {
		c.unrecorded(m, r, err)
		return
	}
	if d.Verdict != mcprun.Allow {
		c.deny(m, d, r.call)
		return
	}
	c.pass(r, call)
}

// proceed goes on with a call that somebody let through, and has all others wait.
func (c *Session) proceed(h heldCall, call mcpwire.Call, permit *permit) {
	yes := permit.confirmed()
	sure := h.decision.Confirm && yes.of(c.binding(h.life, h.rec))
	if !sure && !c.server.Desk.Ready(c.binding(h.life, h.rec)) {
		// Nobody is to be asked about a call that could not be made anyway.
		if no := c.server.Limits.Look(h.route.wants(h.rec), time.Now()); no != nil {
			c.overLimit(h.message, h.route, h.rec, no)
			return
		}
		c.lift(h)
		return
	}
	if !c.enter(h.message, h.route, h.rec, permit) {
		return
	}
	ok, err := c.approved(h.life, h.rec)
	switch {
	case err != nil:
		c.unrecorded(h.message, h.route, err)
	case ok:
		c.pass(h.route, call)
	case sure:
		c.goOn(h.route, call, h.rec, yes)
	default: // another call with the same arguments took it
		h.route.forfeit()
		delete(h.rec.Detail, DetailReserved)
		c.lift(h)
	}
}

// lift has somebody asked about a held call.
func (c *Session) lift(h heldCall) {
	if h.decision.Confirm {
		c.confirm(h)
		return
	}
	c.hold(h)
}

// unrecorded refuses a call whose record cannot be written.
func (c *Session) unrecorded(m mcpwire.Message, r *route, err error) {
	r.forfeit()
	c.box.Send(mcpwire.AppendError(nil, m.ID, codeRefused, "the call was refused, since it cannot be recorded: "+err.Error(), nil))
}

// asked is the call as the gate judges it, with what went before.
func (c *Session) asked(p *gate.Policy, name mcprun.ToolName, args jsontext.Value, now time.Time) gate.Call {
	a := gate.Call{
		Server: c.server.Name, Tool: name, Arguments: args, Principal: c.principal, Session: c.id, Now: now,
		Taint: c.past.Taint(), Burst: c.recent.burst(now), NewTool: !c.server.Known.Tool(name, p.ToolDigest(name)), Known: c.server.Known.Host,
		Elicits: c.canAsk(),
	}
	if p.Conditional(name) {
		a.Recent = c.recent.counts(name, now)
	}
	return a
}

// pass sends a call that may go ahead, and is recorded.
func (c *Session) pass(r *route, call mcpwire.Call) {
	c.recent.add(r.tool, time.Now())
	c.server.Known.Add(r.tool, r.life.Policy().ToolDigest(r.tool), r.hosts)
	call.Meta = mcpwire.ReplaceToken(call.Meta, r.upstreamToken())
	c.send(r, call.Params())
}

// deny answers a call that policy refused: an unknown tool is an error of the
// protocol, all else a result that a model can read and mend.
func (c *Session) deny(m mcpwire.Message, d mcprun.Decision, id mcprun.CallID) {
	defer c.slow()
	if d.Rule == gate.RuleUnknownTool {
		c.box.Send(mcpwire.AppendError(nil, m.ID, codeParams, sentence(d), nil))
		return
	}
	c.box.Send(mcpwire.AppendResult(nil, m.ID, refusal(d, id)))
}

func (c *Session) forward(l *Life, m mcpwire.Message, p *permit) {
	r := c.route(l, m)
	if t := p.held(); t != nil {
		r.call = t.Asked().ID
	}
	params := m.Params
	if token, ok := mcpwire.ProgressToken(params); ok {
		r.token = token
		params = mcpwire.WithProgressToken(params, r.upstreamToken())
	}
	rec := r.record(audit.TypeCall)
	rec.Verdict, rec.Rule, rec.Risk = mcprun.Allow, "method.passed", mcprun.Low
	rec.Args, rec.Size = params, int64(len(params))
	if !uncounted[m.Method] {
		digest, err := strictjson.DigestOf(orEmpty(m.Params))
		if err != nil {
			c.refuse(m, codeParams, "wire", err.Error())
			return
		}
		rec.ArgsDigest = digest
		if !c.enter(m, r, rec, p) {
			return
		}
	}
	if err := c.server.record.Append(rec); err != nil {
		c.unrecorded(m, r, err)
		return
	}
	if !c.watch(m) {
		r.forfeit()
		c.refuse(m, codeRefused, "limit", fmt.Sprintf("more than %d subscriptions", maxSubscriptions))
		return
	}
	c.send(r, params)
}

// orEmpty is params as they count: none are an empty object.
func orEmpty(params jsontext.Value) jsontext.Value {
	if len(params) == 0 {
		return jsontext.Value("{}")
	}
	return params
}

func (c *Session) route(l *Life, m mcpwire.Message) *route {
	return &route{session: c, life: l, client: m.ID, id: l.conn.Reserve(), call: mcprun.NewCallID(), method: m.Method, begun: time.Now()}
}

// upstreamToken is the token that the server sees, if the client gave one.
func (r *route) upstreamToken() mcpwire.ID {
	if r.token.IsZero() {
		return mcpwire.ID{}
	}
	return mcpwire.IntID(r.id)
}

// send is the last step: the switch is looked at once more after the route is
// known to a kill, then the bytes that were judged go out.
func (c *Session) send(r *route, params jsontext.Value) {
	if why := c.remember(r); why != "" {
		r.forfeit()
		c.box.Send(mcpwire.AppendError(nil, r.client, codeInvalid, why, nil))
		return
	}
	r.life.register(r)
	if k, killed := c.server.Killed(r.tool, c.principal); killed {
		r.reply(upstream.Reply{Err: &KilledError{k}})
		return
	}
	r.life.conn.Begin(r.id, r.method, params, r.patience(), r.reply)
}

func (c *Session) remember(r *route) (why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, dup := c.inFlight[r.client]; dup {
		return "the id is that of a request in flight"
	}
	if len(c.inFlight) >= maxInFlight {
		return fmt.Sprintf("more than %d requests in flight", maxInFlight)
	}
	c.inFlight[r.client] = r.id
	return ""
}

func (c *Session) forget(id mcpwire.ID) (ours int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ours, ok = c.inFlight[id]
	delete(c.inFlight, id)
	return ours, ok
}

// notification handles what a client tells; what is not known goes nowhere.
func (c *Session) notification(m mcpwire.Message) {
	l := c.server.life.Load()
	switch {
	case m.Method == "notifications/initialized":
	case m.Method == "notifications/cancelled":
		if id, ok := mcpwire.Reference(m.Method, m.Params); ok {
			c.cancel(l, id, stringMember(m.Params, "reason"))
		}
	case m.Method == "notifications/roots/list_changed" && l != nil && l.Grants.Roots:
		l.conn.Notify(m.Method, nil)
	default:
		c.server.record.Append(&audit.Record{Type: audit.TypeDrop, Server: c.server.Name, Principal: c.principal, Session: c.id,
			Method: clip(m.Method), Reason: "a notification that mcprun does not pass on"})
	}
}

func (c *Session) cancel(l *Life, id mcpwire.ID, reason string) {
	c.giveUp(id, false)
	ours, ok := c.forget(id)
	if !ok || l == nil {
		return
	}
	if r := l.take(ours); r != nil {
		l.conn.Cancel(ours, clip(reason))
		r.withdrawn("cancelled")
	}
}

// withdrawn records a request that its client gave up.
func (r *route) withdrawn(outcome string) {
	rec := r.record(audit.TypeResult)
	rec.Outcome, rec.Duration = outcome, time.Since(r.begun)
	if r.preview != nil {
		decided.MarkPreview(rec, r.previewOf)
	}
	var used limits.Use
	used[limits.Cost] = r.cost(nil, rec)
	r.settle(rec, used)
	r.session.server.record.Append(rec)
}

// watch keeps which resources a client subscribed to; false means too many.
func (c *Session) watch(m mcpwire.Message) bool {
	uri := stringMember(m.Params, "uri")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Method {
	case "resources/subscribe":
		if len(c.watched) >= maxSubscriptions {
			return false
		}
		c.watched[uri] = true
	case "resources/unsubscribe":
		delete(c.watched, uri)
	}
	return true
}

func (c *Session) subscribed(uri string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched[uri]
}
