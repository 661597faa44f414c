package front

import (
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/limits"
)

const (
	// leastResult is the smallest result that a call is made for: what is less is not
	// even an error's text.
	leastResult = 1 << 10
	// leastTime is the shortest time that a call is begun for.
	leastTime = 100 * time.Millisecond
	// DetailReserved and DetailUsed are where a record keeps what a call counts for.
	DetailReserved = "reserved"
	DetailUsed     = "used"
)

// permit is what a request has that comes a second time: the yes of the person at the
// client, or the place that it waited for. nil is nothing.
type permit struct {
	yes *confirmed

	mu     sync.Mutex
	ticket *limits.Ticket
}

func (p *permit) confirmed() *confirmed {
	if p == nil {
		return nil
	}
	return p.yes
}

// held is the place that it has.
func (p *permit) held() *limits.Ticket {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ticket
}

// take hands out the place, once.
func (p *permit) take() *limits.Ticket {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.ticket
	p.ticket = nil
	return t
}

// uncounted are the requests that are not held to limits: they cost nothing, and a
// client that is over its limit must still be able to make them.
var uncounted = map[string]bool{"ping": true, "logging/setLevel": true, "resources/unsubscribe": true}

// wants is a request as the limits see it, by the record of what was judged.
func (r *route) wants(rec *audit.Record) limits.Asked {
	c, l := r.session, r.life
	a := limits.Asked{ID: r.call, Server: c.server.Name, Tool: limitTool(r.tool, r.method), Principal: c.principal, Session: c.id, Size: rec.Size}
	a.What = string(a.Tool) + " " + string(rec.ArgsDigest)
	a.Want[limits.Calls], a.Least[limits.Calls] = 1, 1
	if rec.Risk == mcprun.High {
		a.Want[limits.High], a.Least[limits.High] = 1, 1
	}
	a.Want[limits.Results], a.Least[limits.Results] = mcpwire.MaxResponseLine, leastResult
	a.Want[limits.Wall], a.Least[limits.Wall] = l.Timeout.Microseconds(), min(leastTime, l.Timeout).Microseconds()
	price := l.Costs[r.tool]
	cost := max(price.Each, price.Most)
	a.Want[limits.Cost], a.Least[limits.Cost] = cost, cost
	return a
}

// limitTool is what a request counts for: its tool, or a name that no tool can have.
func limitTool(tool mcprun.ToolName, method string) mcprun.ToolName {
	if tool != "" {
		return tool
	}
	return mcprun.ToolName("method " + method)
}

// Counted is the call of a record as the limits saw it, and what was set aside for it;
// false is for records that count for nothing.
func Counted(rec *audit.Record) (a limits.Asked, granted limits.Use, ok bool) {
	granted, err := limits.ParseUse(rec.Detail[DetailReserved])
	if err != nil || granted[limits.Calls] == 0 {
		return a, granted, false
	}
	return limits.Asked{ID: rec.Call, Server: rec.Server, Tool: limitTool(rec.Tool, rec.Method), Principal: rec.Principal, Session: rec.Session}, granted, true
}

// Used is what a record says that a call used in the end.
func Used(rec *audit.Record) limits.Use {
	u, err := limits.ParseUse(rec.Detail[DetailUsed])
	if err != nil {
		return limits.Use{} // nobody but the daemon writes it
	}
	return u
}

// enter takes the place of a call and sets aside what it may use, noted in its record
// to be. It reports false where the call was refused, or waits: then it comes back.
func (c *Session) enter(m mcpwire.Message, r *route, rec *audit.Record, p *permit) bool {
	a := r.wants(rec)
	if t := p.take(); t != nil {
		if t.Asked().Want == a.Want {
			c.entered(r, rec, t)
			return true
		}
		t.Cancel(time.Now()) // it is another class of call by now
	}
	t, w, no := c.server.Limits.Enter(a, time.Now())
	switch {
	case no != nil:
		c.overLimit(m, r, rec, no)
	case w != nil:
		c.queue(m, r, rec, w, p)
	default:
		c.entered(r, rec, t)
		return true
	}
	return false
}

func (c *Session) entered(r *route, rec *audit.Record, t *limits.Ticket) {
	r.ticket = t
	noteUse(rec, DetailReserved, kept(t, t.Granted()))
}

// kept is what the record has to say of a use: where no budget counts it, that it was
// a call.
func kept(t *limits.Ticket, u limits.Use) limits.Use {
	if t.Bounded() {
		return u
	}
	var few limits.Use
	few[limits.Calls], few[limits.High] = u[limits.Calls], u[limits.High]
	return few
}

func noteUse(rec *audit.Record, key string, u limits.Use) {
	text := u.String()
	if text == "" {
		return
	}
	if rec.Detail == nil {
		rec.Detail = map[string]string{}
	}
	rec.Detail[key] = text
}

// queue has a request wait for a place, and its client told so.
func (c *Session) queue(m mcpwire.Message, r *route, rec *audit.Record, w *limits.Waiter, p *permit) {
	stop, why := c.keep(m.ID, maxInFlight)
	if why != "" {
		no := w.Leave(time.Now())
		no.Used += "; " + why
		c.overLimit(m, r, rec, no)
		return
	}
	go c.awaitPlace(m, r, rec, w, p, stop)
}

func (c *Session) awaitPlace(m mcpwire.Message, r *route, rec *audit.Record, w *limits.Waiter, p *permit, stop <-chan struct{}) {
	tick := time.NewTicker(progressFirst)
	defer tick.Stop()
	patience := time.NewTimer(w.Wait)
	defer patience.Stop()
	for step := 1; ; step++ {
		select {
		case o := <-w.C:
			c.placed(m, r, rec, o, p)
			return
		case <-patience.C:
			no := w.Leave(time.Now())
			if c.release(m.ID) {
				c.overLimit(m, r, rec, no)
			}
			return
		case <-stop: // cancelled, or the client is gone
			w.Leave(time.Now())
			r.withdrawn("cancelled")
			return
		case <-tick.C:
			tick.Reset(progressEvery)
			c.progressOf(r, step, "waiting for another call to end")
		}
	}
}

// placed goes on with a request that waited. It is judged anew: much may have changed
// meanwhile.
func (c *Session) placed(m mcpwire.Message, r *route, rec *audit.Record, o limits.Outcome, p *permit) {
	again := &permit{yes: p.confirmed(), ticket: o.Ticket}
	switch {
	case !c.release(m.ID): // it was given up
		r.withdrawn("cancelled")
	case o.Refusal != nil:
		c.overLimit(m, r, rec, o.Refusal)
	default:
		c.request(m, again)
	}
	if t := again.take(); t != nil { // what was judged anew may not go on
		t.Cancel(time.Now())
	}
}

// overLimit records and tells that a request may not go ahead now.
func (c *Session) overLimit(m mcpwire.Message, r *route, judged *audit.Record, no *limits.Refusal) {
	rec := r.record(audit.TypeRefuse)
	rec.Rule, rec.Reason = no.Rule, clip(no.Error())
	rec.ToolDigest, rec.ArgsDigest = judged.ToolDigest, judged.ArgsDigest
	rec.Detail = map[string]string{"scope": no.Scope.String(), "limit": no.Limit, "used": no.Used}
	if !no.Frees.IsZero() {
		rec.Detail["frees"] = no.Frees.UTC().Format(time.RFC3339)
	}
	c.server.record.Append(rec)
	defer c.slow()
	d := mcprun.Decision{Rule: no.Rule, Reason: no.Error(), Hint: limitHint(no, time.Now())}
	data := limitData(no, r.call, time.Now())
	if r.tool == "" {
		c.box.Send(mcpwire.AppendError(nil, m.ID, codeRefused, sentence(d), data))
		return
	}
	c.box.Send(mcpwire.AppendResult(nil, m.ID, refusalWith(sentence(d), data)))
}

// limitHint says what to do about it: a model can wait, a human can change the limit.
func limitHint(no *limits.Refusal, now time.Time) string {
	const see = "an operator sees all limits with mcprun limits"
	switch {
	case no.Rule == limits.RuleRepeats:
		return "it will not answer otherwise than before; do something else first"
	case no.Rule == limits.RuleArguments:
		return "send less at once"
	case no.Rule == limits.RuleConcurrency:
		return "make it again when one of your calls has ended"
	case no.Frees.IsZero():
		return see
	}
	return fmt.Sprintf("make it again in %s; %s", untilText(no.Frees.Sub(now)), see)
}

// untilText rounds up, so that who waits so long does not come too early.
func untilText(d time.Duration) string {
	switch {
	case d < time.Second:
		return "1s"
	case d < time.Hour:
		return (d.Truncate(time.Second) + time.Second).String()
	}
	return (d.Truncate(time.Minute) + time.Minute).String()
}

// limitData is a refusal as a program reads it.
func limitData(no *limits.Refusal, id mcprun.CallID, now time.Time) jsontext.Value {
	out := map[string]any{"call": id, "rule": no.Rule, "risk": mcprun.Block.String(), "scope": no.Scope, "limit": no.Limit, "used": no.Used}
	if !no.Frees.IsZero() {
		out["retryAfter"] = int64(max(1, (no.Frees.Sub(now)+time.Second-1)/time.Second))
		out["retryAt"] = no.Frees.UTC().Format(time.RFC3339)
	}
	raw, err := json.Marshal(out, json.Deterministic(true))
	if err != nil {
		return nil // texts and numbers
	}
	return raw
}

// settle ends what the limits set aside for a request and notes in its last record
// what it used.
func (r *route) settle(rec *audit.Record, used limits.Use) {
	if r.ticket == nil {
		return
	}
	granted := r.ticket.Granted()
	used[limits.Results] = min(used[limits.Results], granted[limits.Results])
	used[limits.Wall] = min(time.Since(r.begun).Microseconds(), granted[limits.Wall])
	if r.ticket.Bounded() {
		noteUse(rec, DetailUsed, used)
	}
	r.ticket.Settle(used, time.Now())
}

// forfeit ends a ticket whose request never went out.
func (r *route) forfeit() {
	if r.ticket != nil {
		r.ticket.Cancel(time.Now())
	}
}

// room is how many bytes the result may have.
func (r *route) room() int64 {
	if r.ticket == nil {
		return mcpwire.MaxResponseLine
	}
	return r.ticket.Granted()[limits.Results]
}

// patience is how long the request may take.
func (r *route) patience() time.Duration {
	if r.ticket == nil {
		return r.life.Timeout
	}
	return min(r.life.Timeout, time.Duration(r.ticket.Granted()[limits.Wall])*time.Microsecond)
}

// cost is what a call cost by its result; nil is one that did not come.
func (r *route) cost(raw jsontext.Value, rec *audit.Record) int64 {
	price := r.life.Costs[r.tool]
	if price.From == nil {
		return price.Each
	}
	n, err := price.From.Millionths(raw)
	if raw == nil || err != nil {
		return price.Most // nobody knows, so it was as much as was set aside
	}
	if n > price.Most {
		if rec.Detail == nil {
			rec.Detail = map[string]string{}
		}
		rec.Detail["cost-above-most"] = limits.Cost.Text(n)
	}
	return min(n, price.Most)
}
