// Package upstream is the MCP session between the daemon and one server: the
// handshake, the requests in flight, and what the server sends of its own.
//
// The daemon holds one session with a server, whoever the clients are. Requests
// go out under ids of our own, so that no client can answer for another or guess
// what another asked. It decides nothing: what comes here was allowed by front.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/outbox"
)

// MaxInFlight bounds the requests that one server has before it: beyond it, a
// server that never answers would cost memory without end.
const MaxInFlight = 4096

// Rules of what is dropped.
const (
	// RuleViolation is what no server sends that keeps to the protocol.
	RuleViolation = "protocol.violation"
	// RuleLate is what nobody waits for any more.
	RuleLate = "protocol.late"
	// RuleUnknown is what may be sent and is not passed on.
	RuleUnknown = "protocol.unknown"
)

// ErrGone is what requests in flight get when the server's connection ends.
var ErrGone = errors.New("the server ended")

// Reply ends one request: a result, an error object, or Err when neither came.
type Reply struct {
	Result jsontext.Value
	Error  jsontext.Value
	Err    error
}

// Events is what a server sends of its own. The functions are called from the
// one reading goroutine, in order, and must not block.
type Events struct {
	Notification func(m mcpwire.Message)
	Progress     func(request int64, params jsontext.Value)
	Request      func(m mcpwire.Message)
	Dropped      func(rule, why string) // a line or a reply that was not passed on
	// Gone says why the server ended, for the requests in flight; nil says no more than ErrGone.
	Gone func() error
}

// Conn is one live session. Its methods may be called concurrently.
type Conn struct {
	pace, unasked *rate.Limiter // of what goes nowhere, and of what nobody asked for

	box    *outbox.Box
	events Events
	next   atomic.Int64

	mu       sync.Mutex
	inFlight map[int64]*pending
	err      error // set once: no further request is taken
	done     chan struct{}
}

type pending struct {
	reply func(Reply)
	timer *time.Timer
}

// New makes a session that sends on conn; Start begins to read.
func New(conn outbox.Conn, events Events) (*Conn, error) {
	box, err := outbox.New(conn)
	if err != nil {
		return nil, fmt.Errorf("connecting to the server: %w", err)
	}
	return &Conn{box: box, events: events, inFlight: make(map[int64]*pending), done: make(chan struct{}),
		pace: rate.NewLimiter(droppedPerSecond, droppedBurst), unasked: rate.NewLimiter(unaskedPerSecond, unaskedBurst)}, nil
}

// Start begins to read what the server sends. The handshake is the next step.
func (c *Conn) Start(r io.Reader) { go c.read(r) }

// Done is closed when the session has ended and every request has its reply.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Reserve takes the id of the next request, so that its parameters can name it.
func (c *Conn) Reserve() int64 { return c.next.Add(1) }

// Begin sends a request. reply is called exactly once, from another goroutine
// or, when the request cannot be sent, before Begin returns.
func (c *Conn) Begin(id int64, method string, params jsontext.Value, timeout time.Duration, reply func(Reply)) {
	p := &pending{reply: reply}
	c.mu.Lock()
	err := c.err
	if err == nil && len(c.inFlight) >= MaxInFlight {
		err = fmt.Errorf("%d requests are already in flight", MaxInFlight)
	}
	if err == nil {
		c.inFlight[id] = p
		p.timer = time.AfterFunc(timeout, func() { c.expire(id, timeout) })
	}
	c.mu.Unlock()
	if err != nil {
		reply(Reply{Err: err})
		return
	}
	if err := c.box.Send(mcpwire.AppendRequest(nil, mcpwire.IntID(id), method, params)); err != nil {
		c.finish(id, Reply{Err: fmt.Errorf("sending to the server: %w", err)})
	}
}

// InFlight counts the requests that have no reply yet, the daemon's own too.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.inFlight)
}

// Call sends a request and waits for its reply.
func (c *Conn) Call(ctx context.Context, method string, params jsontext.Value, timeout time.Duration) (jsontext.Value, error) {
	got := make(chan Reply, 1)
	id := c.Reserve()
	c.Begin(id, method, params, timeout, func(r Reply) { got <- r })
	select {
	case r := <-got:
		if r.Err == nil && r.Error != nil {
			r.Err = fmt.Errorf("the server answered %s with an error: %.300s", method, r.Error)
		}
		return r.Result, r.Err
	case <-ctx.Done():
		c.Cancel(id, "the caller is gone")
		return nil, ctx.Err()
	}
}

// Cancel forgets a request and tells the server. A reply that still comes is
// dropped. It reports whether the request was in flight.
func (c *Conn) Cancel(id int64, reason string) bool {
	p := c.take(id)
	if p == nil {
		return false
	}
	params := append([]byte(`{"requestId":`), mcpwire.IntID(id).String()...)
	params = append(params, `,"reason":`...)
	params, _ = jsontext.AppendQuote(params, reason)
	c.Notify("notifications/cancelled", append(params, '}'))
	return true
}

// Notify sends a notification; a connection that is gone drops it.
func (c *Conn) Notify(method string, params jsontext.Value) {
	c.box.Send(mcpwire.AppendNotification(nil, method, params))
}

// Answer sends the reply to a request of the server's.
func (c *Conn) Answer(m mcpwire.Message) { c.box.Send(mcpwire.AppendMessage(nil, m)) }

// Fail ends the session: every request in flight gets err now, and none is
// taken any more. The first cause stays.
func (c *Conn) Fail(err error) {
	c.FailHeld(err)
	c.box.Close()
}

// FailHeld is Fail, but the server does not learn of it: its connection stays, no request is
// sent on it any more, and nothing that the server asks or tells on it is passed on.
func (c *Conn) FailHeld(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	left := c.inFlight
	c.inFlight = nil
	cause := c.err
	c.mu.Unlock()
	for _, p := range left {
		p.timer.Stop()
		p.reply(Reply{Err: cause})
	}
}

func (c *Conn) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

func (c *Conn) expire(id int64, after time.Duration) {
	if p := c.take(id); p != nil {
		c.Notify("notifications/cancelled", append(append([]byte(`{"requestId":`), mcpwire.IntID(id).String()...), `,"reason":"timeout"}`...))
		p.reply(Reply{Err: fmt.Errorf("the server did not answer within %v", after)})
	}
}

func (c *Conn) take(id int64) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.inFlight[id]
	if p != nil {
		delete(c.inFlight, id)
		p.timer.Stop()
	}
	return p
}

func (c *Conn) finish(id int64, r Reply) bool {
	p := c.take(id)
	if p != nil {
		p.reply(r)
	}
	return p != nil
}

// read passes on what the server sends until its connection ends.
func (c *Conn) read(r io.Reader) {
	defer close(c.done)
	lines := mcpwire.NewReader(r, mcpwire.MaxResponseLine)
	for {
		line, err := lines.Line()
		var long *mcpwire.TooLongError
		switch {
		case errors.As(err, &long):
			c.oversized(long)
		case err != nil:
			c.Fail(c.gone())
			return
		default:
			c.message(line)
		}
	}
}

func (c *Conn) gone() error {
	if c.events.Gone == nil || c.failed() { // of a server that was killed, nobody asks why it ended
		return ErrGone
	}
	return c.events.Gone()
}

// What goes nowhere is read no faster than this: each piece costs a record, and a server
// that writes without end must slow down itself and not those beside it.
const (
	droppedPerSecond = 20
	droppedBurst     = 200
	// longLine is what a line over the bound counts as: reading it is work.
	longLine = 20
	// Requests and notifications of the server's own go to every client, or are refused
	// and recorded.
	unaskedPerSecond = 500
	unaskedBurst     = 2000
)

// dropped tells of something that goes nowhere, and has the server wait where there is
// too much of it.
func (c *Conn) dropped(rule, why string, cost int) {
	c.events.Dropped(rule, why)
	time.Sleep(c.pace.ReserveN(time.Now(), cost).Delay())
}

// oversized drops a line over the bound. When one request alone is in flight,
// that line was its reply, and waiting for the time-out would tell nobody why.
func (c *Conn) oversized(long *mcpwire.TooLongError) {
	c.dropped(RuleViolation, long.Error(), longLine)
	c.mu.Lock()
	only := int64(-1)
	if len(c.inFlight) == 1 {
		for id := range c.inFlight {
			only = id
		}
	}
	c.mu.Unlock()
	if only >= 0 {
		c.finish(only, Reply{Err: fmt.Errorf("the server's answer was dropped: %w", long)})
	}
}

func (c *Conn) message(line []byte) {
	m, werr := mcpwire.ParseServer(line)
	if werr != nil {
		c.dropped(RuleViolation, "not a message: "+werr.Message, 1)
		return
	}
	if c.failed() && (m.Kind == mcpwire.Request || m.Kind == mcpwire.Notification) {
		return
	}
	switch m.Kind {
	case mcpwire.Response, mcpwire.ErrorResponse:
		id, ok := intOf(m.ID)
		if !ok || !c.finish(id, Reply{Result: m.Result, Error: m.Error}) {
			c.unexpected(id, ok)
		}
	case mcpwire.Request:
		time.Sleep(c.unasked.Reserve().Delay())
		c.events.Request(m)
	case mcpwire.Notification:
		c.notification(m)
	}
}

// unexpected drops a reply that nobody waits for: one that comes too late, or one to a
// request that was never made.
func (c *Conn) unexpected(id int64, ours bool) {
	if ours && id > 0 && id <= c.next.Load() {
		c.dropped(RuleLate, "a reply to no request in flight", 1)
		return
	}
	c.dropped(RuleViolation, "a reply to a request that was never made", 1)
}

func (c *Conn) notification(m mcpwire.Message) {
	if m.Method != "notifications/progress" {
		time.Sleep(c.unasked.Reserve().Delay())
		c.events.Notification(m)
		return
	}
	token, ok := mcpwire.Reference(m.Method, m.Params)
	id, isInt := intOf(token)
	if !ok || !isInt {
		c.dropped(RuleLate, "progress for no request", 1)
		return
	}
	c.events.Progress(id, m.Params)
}

// intOf reads an id of our own making; others are not ours.
func intOf(id mcpwire.ID) (int64, bool) {
	var n int64
	s := id.String()
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for _, r := range []byte(s) {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = n*10 + int64(r-'0')
	}
	return n, true
}
