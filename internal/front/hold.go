package front

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/mcpwire"
)

const (
	// progressEvery tells a client that listens that it still waits; the first time
	// soon, so that it knows whom to ask.
	progressFirst, progressEvery = 200 * time.Millisecond, 5 * time.Second
	// maxHeld bounds the calls of one client that are kept waiting; further ones are
	// answered at once.
	maxHeld = 16
)

// binding is what an approval of this call would be bound to.
func (c *Session) binding(l *Life, rec *audit.Record) approval.Binding {
	return approval.Binding{Principal: c.principal, Server: c.server.Name, Tool: rec.Tool, Image: l.Image, ToolDigest: rec.ToolDigest, ArgsDigest: rec.ArgsDigest}
}

// approved uses up an approval of this very call, if there is one. The record of the
// call is what uses it up.
func (c *Session) approved(l *Life, rec *audit.Record) (bool, error) {
	return c.server.Desk.Take(c.binding(l, rec), func(id string) error {
		used := *rec
		used.Detail = maps.Clone(rec.Detail)
		used.Type, used.Verdict = audit.TypeCall, mcprun.Allow
		approval.Mark(&used, id)
		return c.server.record.AppendDurable(&used)
	})
}

// hold keeps a call until a human has decided, where its tool has a dry run with what
// that answered.
func (c *Session) hold(h heldCall) {
	dry, d, has := h.policy.Preview(h.asked)
	if !has || c.server.Desk.Open(c.binding(h.life, h.rec)) {
		c.lay(h, "", nil)
		return
	}
	stop, why := c.keep(h.route.client, maxHeld)
	if why != "" {
		c.lay(h, previewFailed+why, nil)
		return
	}
	go func() {
		text, ok := c.preview(h, dry, d, stop)
		k, killed := c.server.Killed(h.route.tool, c.principal)
		switch {
		case !ok:
			h.route.withdrawn("cancelled")
		case !killed:
			c.lay(h, text, stop)
		case c.release(h.route.client): // a question must not outlive a kill
			c.refuse(h.message, codeRefused, "killed", (&KilledError{k}).Error())
		}
	}()
}

// lay lays a call on the desk and keeps its client waiting for a while; stop is nil
// where it does not wait already.
func (c *Session) lay(h heldCall, preview string, stop chan struct{}) {
	m, r, d, rec := h.message, h.route, h.decision, h.rec
	item, err := c.server.Desk.Ask(approval.Item{Binding: c.binding(h.life, rec), Session: c.id, Call: r.call, Args: rec.Args, Rule: d.Rule, Reason: rec.Reason,
		Score: d.Score, Risks: d.Contributions, Needs: h.life.Approvers[rec.Tool], Stated: audit.Justification(rec), Basis: decided.Basis(rec), Preview: preview})
	if err != nil {
		if stop == nil || c.release(r.client) {
			d.Reason += "; it cannot wait: " + err.Error()
			c.deny(m, d, r.call)
		}
		return
	}
	if stop == nil {
		var why string
		if stop, why = c.keep(r.client, maxHeld); why != "" {
			c.box.Send(mcpwire.AppendResult(nil, m.ID, refusal(waiting(d, item, why), r.call)))
			return
		}
	}
	go c.await(m, r, d, item, stop)
}

// await answers a call that is held, once somebody has decided or it has waited
// long enough: a decision that comes later is for the same call again.
func (c *Session) await(m mcpwire.Message, r *route, d mcprun.Decision, item approval.Item, stop chan struct{}) {
	decided := make(chan approval.Item, 1)
	over := make(chan struct{})
	go func() { decided <- c.server.Desk.Wait(item.ID, over) }()
	tick := time.NewTicker(progressFirst)
	defer tick.Stop()
	patience := time.NewTimer(r.life.Patience)
	defer patience.Stop()
	for step := 1; ; step++ {
		select {
		case i := <-decided:
			if c.release(r.client) {
				c.settle(m, r, d, i)
			}
			return
		case <-patience.C:
			close(over)
			if c.release(r.client) {
				c.settle(m, r, d, <-decided)
			}
			return
		case <-stop: // cancelled, or the client is gone
			close(over)
			return
		case <-tick.C:
			tick.Reset(progressEvery)
			c.progressOf(r, step, "waiting for a human to approve "+item.ID)
		}
	}
}

// settle goes on with a call that waited. One that was approved is judged anew: much
// may have changed meanwhile.
func (c *Session) settle(m mcpwire.Message, r *route, d mcprun.Decision, i approval.Item) {
	switch i.State {
	case approval.Approved:
		c.request(m, nil)
	case approval.Denied:
		d.Reason = fmt.Sprintf("%s: a human said no", r.tool)
		if i.Why != "" {
			d.Reason += ": " + clip(i.Why)
		}
		d.Rule = "approval.denied"
		c.box.Send(mcpwire.AppendResult(nil, m.ID, refusal(d, r.call)))
	case approval.Used:
		c.request(m, nil) // another call with the same arguments took it; this one asks anew
	default:
		c.box.Send(mcpwire.AppendResult(nil, m.ID, refusal(waiting(d, i, ""), r.call)))
	}
}

// waiting is the answer to a call for which nobody has decided yet.
func waiting(d mcprun.Decision, i approval.Item, why string) mcprun.Decision {
	if why != "" {
		d.Reason += "; " + why
	}
	d.Rule = "approval.waiting"
	d.Hint = strings.TrimSpace(fmt.Sprintf("an operator can look at it and decide: mcprun approve %s. Then make the same call again, until %s", i.ID, i.Until.Format(time.TimeOnly)))
	return d
}

func (c *Session) progressOf(r *route, step int, message string) {
	if r.token.IsZero() {
		return
	}
	params := fmt.Appendf(nil, `{"progressToken":0,"progress":%d,"message":`, step)
	params, err := jsontext.AppendQuote(params, message)
	if err != nil {
		return
	}
	const method = "notifications/progress"
	c.box.Send(mcpwire.AppendNotification(nil, method, mcpwire.WithReference(method, append(params, '}'), r.token)))
}

// keep notes that a request waits, with at most most of them; its channel is closed
// when the client gives it up.
func (c *Session) keep(id mcpwire.ID, most int) (stop chan struct{}, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.held[id]
	_, dup := c.inFlight[id]
	switch {
	case held || dup:
		return nil, "the id is that of a request in flight"
	case len(c.held) >= most:
		return nil, fmt.Sprintf("%d calls of this client wait already", most)
	}
	stop = make(chan struct{})
	c.held[id] = stop
	return stop, ""
}

// release ends the waiting; false means that the client gave it up.
func (c *Session) release(id mcpwire.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.held[id]
	delete(c.held, id)
	return ok
}

// giveUp ends the waiting of one request, or of all.
func (c *Session) giveUp(id mcpwire.ID, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for held, stop := range c.held {
		if all || held == id {
			delete(c.held, held)
			close(stop)
		}
	}
}
