package front

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// firstForms is the first revision with elicitation/create (MCP 2025-06-18,
// client/elicitation). The last with a handshake has it too; in 2026-07-28 a server
// asks in the result of a call, which is not spoken here: such calls wait for an
// operator.
const firstForms = "2025-06-18"

const (
	askMethod = "elicitation/create"
	// askPrefix begins the ids of our own requests. Those of the server's that we pass on
	// are numbers, so that none can be taken for the other.
	askPrefix = "mcprun-confirm-"
	// goOnMember is what the person ticks.
	goOnMember = "go_on"
	// maxRefused bounds the calls that are remembered as refused; more at once are asked
	// about again.
	maxRefused = 64
)

// Why a call that was to be confirmed does not go on.
const (
	ruleDeclined = "confirm.declined"
	ruleTimeout  = "confirm.timeout"
	ruleLimit    = "confirm.limit"
)

// byClient is who the record says it was: the client answers for the person at it.
const byClient = "client"

// confirmed is a yes of the person at the client: for one call, once.
type confirmed struct {
	binding  approval.Binding
	question string
}

// of reports whether it is for a call with this binding.
func (y *confirmed) of(b approval.Binding) bool { return y != nil && y.binding == b }

// hasForms reports whether a client can ask the person at it with a form. "An empty
// capabilities object is equivalent to declaring support for form mode only"
// (2025-11-25, client/elicitation).
func hasForms(version string, elicitation jsontext.Value) bool {
	if version < firstForms || elicitation.Kind() != jsontext.KindBeginObject {
		return false
	}
	var modes map[string]jsontext.Value
	if json.Unmarshal(elicitation, &modes) != nil {
		return false
	}
	return len(modes) == 0 || modes["form"].Kind() == jsontext.KindBeginObject
}

func (c *Session) canAsk() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elicits
}

// confirm asks the person at the client about a call and keeps it until they answer.
func (c *Session) confirm(h heldCall) {
	b := c.binding(h.life, h.rec)
	if c.refusedBefore(b) {
		c.unconfirmed(h, "", ruleDeclined, "the person at the client said no to this call a short while ago")
		return
	}
	stop, why := c.keep(h.route.client, maxHeld)
	if why != "" {
		c.unconfirmed(h, "", ruleLimit, why)
		return
	}
	id, answer := c.newQuestion()
	asked := *h.rec
	asked.Type, asked.Detail = audit.TypePending, maps.Clone(h.rec.Detail)
	decided.MarkQuestion(&asked, id.String())
	if err := c.server.record.Append(&asked); err != nil {
		c.forgetQuestion(id)
		if c.release(h.route.client) {
			c.box.Send(mcpwire.AppendError(nil, h.message.ID, codeRefused, "the call was refused, since it cannot be recorded: "+err.Error(), nil))
		}
		return
	}
	c.box.Send(mcpwire.AppendRequest(nil, id, askMethod, questionParams(h.asked)))
	go c.awaitConfirmation(h, confirmed{b, id.String()}, id, answer, stop)
}

// questionParams are those of elicitation/create. The message was made so that no
// argument can add to it; the form is ours.
func questionParams(asked gate.Call) jsontext.Value {
	text, _ := gate.Question(asked)
	out, _ := jsontext.AppendQuote([]byte(`{"message":`), text) // it is valid UTF-8, or was not asked about
	return append(out, `,"requestedSchema":{"type":"object","properties":{"`+goOnMember+`":{"type":"boolean","title":"Go on","description":"Let this one call go on","default":false}},"required":["`+goOnMember+`"]}}`...)
}

// awaitConfirmation goes on with a call once the client has answered. A yes leads to
// another judgement: much may have changed meanwhile.
func (c *Session) awaitConfirmation(h heldCall, yes confirmed, id mcpwire.ID, answer <-chan mcpwire.Message, stop <-chan struct{}) {
	tick := time.NewTicker(progressFirst)
	defer tick.Stop()
	patience := time.NewTimer(h.life.Patience)
	defer patience.Stop()
	for step := 1; ; step++ {
		select {
		case m := <-answer:
			if !c.release(h.route.client) {
				return // it gave the call up
			}
			why, no := declined(m)
			if no {
				c.noteRefused(yes.binding)
			}
			if why != "" {
				c.unconfirmed(h, yes.question, ruleDeclined, why)
				return
			}
			c.request(h.message, &permit{yes: &yes})
			return
		case <-patience.C:
			c.withdrawQuestion(id, "nobody answered in time")
			if c.release(h.route.client) {
				c.unconfirmed(h, yes.question, ruleTimeout, fmt.Sprintf("the person at the client did not answer within %s", h.life.Patience))
			}
			return
		case <-stop: // cancelled, or the client is gone
			c.withdrawQuestion(id, "the call was given up")
			h.route.withdrawn("cancelled")
			return
		case <-tick.C:
			tick.Reset(progressEvery)
			c.progressOf(h.route, step, "waiting for the person at the client to confirm it")
		}
	}
}

// declined says why an answer is no yes, and whether it is a no; "" if it is a yes.
func declined(m mcpwire.Message) (why string, no bool) {
	if m.Kind != mcpwire.Response {
		return "the client could not ask the person at it", false
	}
	switch action := stringMember(m.Result, "action"); action {
	case "accept":
		if strictjson.Member(strictjson.Member(m.Result, "content"), goOnMember).Kind() == jsontext.KindTrue {
			return "", false
		}
		return "the person at the client did not say that it may go on", true
	case "decline":
		return "the person at the client said no", true
	case "cancel":
		return "the person at the client closed the question without an answer", false
	}
	return "the client's answer is neither yes nor no", false
}

// unconfirmed records and tells that a call does not go on.
func (c *Session) unconfirmed(h heldCall, question, rule, why string) {
	rec := h.route.record(audit.TypeRefuse)
	rec.Rule, rec.Reason, rec.Risk = rule, why, h.decision.Risk
	rec.ToolDigest, rec.ArgsDigest = h.rec.ToolDigest, h.rec.ArgsDigest
	if question != "" {
		decided.MarkQuestion(rec, question)
	}
	if rule == ruleDeclined {
		rec.Who = byClient
	}
	c.server.record.Append(rec)
	d := h.decision
	d.Rule, d.Reason, d.Hint = rule, fmt.Sprintf("%s: %s", h.route.tool, why), ""
	c.box.Send(mcpwire.AppendResult(nil, h.message.ID, refusal(d, h.route.call)))
}

// goOn records and sends a call that was confirmed.
func (c *Session) goOn(r *route, call mcpwire.Call, rec *audit.Record, yes *confirmed) {
	rec.Type, rec.Verdict = audit.TypeCall, mcprun.Allow
	decided.MarkQuestion(rec, yes.question)
	rec.Who = byClient // and no operator
	if err := c.server.record.AppendDurable(rec); err != nil {
		r.forfeit()
		c.box.Send(mcpwire.AppendError(nil, r.client, codeRefused, "the call was refused, since it cannot be recorded: "+err.Error(), nil))
		return
	}
	c.pass(r, call)
}

// newQuestion makes the id of a request of ours, which nobody can guess, and where its
// answer will come.
func (c *Session) newQuestion() (mcpwire.ID, <-chan mcpwire.Message) {
	var b [8]byte
	rand.Read(b[:]) // never fails since Go 1.24
	id, err := mcpwire.ParseID(jsontext.Value(`"` + askPrefix + hex.EncodeToString(b[:]) + `"`))
	if err != nil {
		panic(err) // it is a short string
	}
	answer := make(chan mcpwire.Message, 1)
	c.mu.Lock()
	c.questions[id] = answer
	c.mu.Unlock()
	return id, answer
}

// answered takes the answer to a request of ours, once; whatever comes later is to
// nothing that was asked.
func (c *Session) answered(m mcpwire.Message) bool {
	c.mu.Lock()
	answer, ok := c.questions[m.ID]
	delete(c.questions, m.ID)
	c.mu.Unlock()
	if ok {
		answer <- m
	}
	return ok
}

func (c *Session) forgetQuestion(id mcpwire.ID) (was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was = c.questions[id]
	delete(c.questions, id)
	return was
}

// withdrawQuestion tells the client that no answer is wanted any more.
func (c *Session) withdrawQuestion(id mcpwire.ID, why string) {
	if !c.forgetQuestion(id) {
		return
	}
	params := fmt.Appendf(nil, `{"requestId":%s,"reason":%q}`, id, why)
	c.box.Send(mcpwire.AppendNotification(nil, "notifications/cancelled", params))
}

// noteRefused keeps a no for as long as an operator's counts: asking again must not
// wear the person down.
func (c *Session) noteRefused(b approval.Binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, at := range c.refused {
		if time.Since(at) >= approval.Life {
			delete(c.refused, old)
		}
	}
	if len(c.refused) < maxRefused {
		c.refused[b] = time.Now()
	}
}

func (c *Session) refusedBefore(b approval.Binding) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.refused[b]
	return ok && time.Since(at) < approval.Life
}
