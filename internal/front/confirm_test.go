package front

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
)

// confirming is a rig whose tool echo is confirmed at the client.
func confirming(t *testing.T, grants upstream.Grants) *rig {
	t.Helper()
	r := newRig(t, grants)
	r.grant(mcprun.Medium)
	return r
}

func (r *rig) grant(risk mcprun.Risk) {
	r.t.Helper()
	policy, problems := gate.NewPolicy("files", r.pins, map[mcprun.ToolName]gate.Grant{"echo": {Risk: risk, Confirm: true}, "count": {Risk: mcprun.Medium}})
	if len(problems) > 0 {
		r.t.Fatal(problems)
	}
	r.life.SetPolicy(policy)
}

// person is a client with these capabilities.
func (r *rig) person(version, capabilities string) *peer {
	r.t.Helper()
	c := r.client()
	c.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":` + capabilities + `}}`)
	c.want(`"id":0,`)
	return c
}

const forms = `{"elicitation":{}}`

// question reads one question and returns its id and message.
func (p *peer) question() (id, message string) {
	p.t.Helper()
	var q struct {
		ID     json.RawMessage
		Method string
		Params struct{ Message string }
	}
	if err := json.Unmarshal([]byte(p.line()), &q); err != nil || q.Method != "elicitation/create" {
		p.t.Fatalf("%+v %v", q, err)
	}
	return string(q.ID), q.Params.Message
}

func (p *peer) answer(id, result string) {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`)
}

const goOn = `{"action":"accept","content":{"go_on":true}}`

// A yes lets one call go on, is recorded as the client's before it does, and is good once.
func TestConfirm(t *testing.T) {
	r := confirming(t, upstream.Grants{})
	c := r.person("2025-11-25", forms)
	c.send(call(`1`, "echo", `{"message":"m"}`))
	id, text := c.question()
	if !strings.HasPrefix(id, `"mcprun-confirm-`) || !strings.Contains(text, "the tool echo of the server files") || !strings.Contains(text, "\n    message: \"m\"\n") {
		t.Errorf("asked is %s: %s", id, text)
	}
	if n := r.record.count(audit.TypeCall); n != 0 {
		t.Error("it went on before anybody said yes")
	}
	c.answer(id, goOn)
	r.back.want(`"message":"m"`)
	rec := r.record.last(audit.TypeCall)
	if rec.Who != "client" || decided.Question(&rec) != id || rec.Risk != mcprun.Medium || rec.Rule != gate.RuleConfirm || rec.Detail["approval"] != "" {
		t.Errorf("the record says %+v", rec)
	}
	if n := r.record.count(audit.TypeApproval); n != 0 || len(r.server.Desk.List()) != 0 {
		t.Error("it counts as an approval")
	}
	c.answer(id, goOn) // once more
	c.send(call(`2`, "echo", `{"message":"m"}`))
	if other, _ := c.question(); other == id {
		t.Error("the id is used again")
	}
	if n := r.record.count(audit.TypeDrop); n != 1 {
		t.Errorf("%d answers were dropped", n)
	}
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`)
	c.want(`"id":1,`)
}

// Only a plain yes is one, and a no is not worn down by asking again.
func TestConfirmIsDeclined(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		no     bool
	}{
		"decline":       {`{"action":"decline"}`, true},
		"cancel":        {`{"action":"cancel"}`, false},
		"not ticked":    {`{"action":"accept","content":{"go_on":false}}`, true},
		"a text":        {`{"action":"accept","content":{"go_on":"true"}}`, true},
		"a number":      {`{"action":"accept","content":{"go_on":1}}`, true},
		"no content":    {`{"action":"accept"}`, true},
		"another case":  {`{"action":"Accept","content":{"go_on":true}}`, false},
		"nothing":       {`{}`, false},
		"outside of it": {`{"action":"accept","go_on":true,"content":{}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := confirming(t, upstream.Grants{})
			c := r.person("2025-06-18", forms)
			c.send(call(`1`, "echo", `{"message":"m"}`))
			id, _ := c.question()
			c.answer(id, row.answer)
			c.want(`"id":1,`, `"isError":true`, "confirm.declined")
			c.send(call(`2`, "echo", `{"message":"m"}`))
			if row.no {
				c.want(`"id":2,`, "said no to this call a short while ago")
			} else {
				c.question()
			}
			c.send(call(`3`, "echo", `{"message":"other"}`)) // another call is another question
			c.question()
			c.send(call(`4`, "count", `{}`))
			r.back.want(`"count"`) // the first thing that the server sees
		})
	}
	t.Run("an error", func(t *testing.T) {
		r := confirming(t, upstream.Grants{})
		c := r.person("2025-11-25", forms)
		c.send(call(`1`, "echo", `{"message":"m"}`))
		id, _ := c.question()
		c.send(`{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32601,"message":"no such method"}}`)
		c.want(`"id":1,`, "could not ask")
	})
}

// Who cannot be asked is not: an operator decides, as of a tool of class high. So it is
// with whatever makes a call high: the client has no say in it.
func TestConfirmIsForOperators(t *testing.T) {
	waits := func(r *rig, c *peer) {
		r.t.Helper()
		r.life.Patience = 20 * time.Millisecond
		c.send(call(`1`, "echo", `{"message":"m"}`))
		c.want(`"id":1,`, "mcprun approve "+r.waiting().ID)
	}
	for name, c := range map[string]struct{ version, capabilities string }{
		"nothing declared":        {"2025-11-25", `{}`},
		"only by addresses":       {"2025-11-25", `{"elicitation":{"url":{}}}`},
		"declared as true":        {"2025-11-25", `{"elicitation":true}`},
		"a revision without it":   {"2025-03-26", forms},
		"the first revision ever": {"2024-11-05", forms},
	} {
		t.Run(name, func(t *testing.T) {
			r := confirming(t, upstream.Grants{})
			waits(r, r.person(c.version, c.capabilities))
		})
	}
	t.Run("no handshake", func(t *testing.T) {
		r := confirming(t, upstream.Grants{})
		waits(r, r.client())
	})
	t.Run("with forms besides", func(t *testing.T) { // the control
		r := confirming(t, upstream.Grants{})
		c := r.person("2025-11-25", `{"elicitation":{"form":{},"url":{}}}`)
		c.send(call(`1`, "echo", `{"message":"m"}`))
		c.question()
	})
	t.Run("a tool of class high", func(t *testing.T) {
		r := confirming(t, upstream.Grants{})
		r.grant(mcprun.High)
		waits(r, r.person("2025-11-25", forms))
	})
	t.Run("too long to be shown", func(t *testing.T) {
		r := confirming(t, upstream.Grants{})
		c := r.person("2025-11-25", forms)
		r.life.Patience = 20 * time.Millisecond
		c.send(call(`1`, "echo", `{"message":"`+strings.Repeat("x", 5000)+`"}`))
		c.want(`"id":1,`, "too long to be shown at the client", "mcprun approve")
	})
}

// What changed while the question was open counts: a yes to what was harmless lets
// nothing through that is not any more.
func TestConfirmedCallIsJudgedAnew(t *testing.T) {
	r := confirming(t, upstream.Grants{})
	r.life.Patience = time.Second
	c := r.person("2025-11-25", forms)
	c.send(call(`1`, "echo", `{"message":"m"}`))
	id, _ := c.question()
	r.grant(mcprun.High)
	c.answer(id, goOn)
	if i := r.waiting(); i.State != approval.Waiting || i.Tool != "echo" {
		t.Errorf("%+v", i)
	}
	r.grant(mcprun.Medium)
	c.send(call(`2`, "echo", `{"message":"n"}`))
	id, _ = c.question()
	r.life.SetPolicy(r.life.Policy().Withhold("echo", "it changed"))
	c.answer(id, goOn)
	c.want(`"id":2,`, "tool.withheld")
	r.grant(mcprun.Medium)
	c.send(call(`3`, "echo", `{"message":"o"}`))
	id, _ = c.question()
	r.switches.Deny(limits.Kill{Target: limits.Target{Server: "files"}, Who: "me", Why: "test"})
	c.answer(id, goOn)
	c.want(`"id":3,`, "killed")
}

// Nobody answers, or the client gives up: the question is withdrawn, and an answer that
// comes late is to nothing.
func TestConfirmIsLate(t *testing.T) {
	r := confirming(t, upstream.Grants{})
	r.life.Patience = 20 * time.Millisecond
	c := r.person("2025-11-25", forms)
	c.send(call(`1`, "echo", `{"message":"m"}`))
	id, _ := c.question()
	c.want("notifications/cancelled", `"requestId":`+id)
	c.want(`"id":1,`, "confirm.timeout")
	c.answer(id, goOn)
	c.send(call(`2`, "count", `{}`))
	r.back.want(`"count"`)
	if n := r.record.count(audit.TypeDrop); n != 1 {
		t.Errorf("%d answers were dropped", n)
	}

	r = confirming(t, upstream.Grants{})
	c = r.person("2025-11-25", forms)
	c.send(call(`2`, "echo", `{"message":"n"}`))
	id, _ = c.question()
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	c.want("notifications/cancelled", `"requestId":`+id)
	c.answer(id, goOn)
	c.send(call(`3`, "count", `{}`))
	r.back.want(`"count"`)
	if n := r.record.count(audit.TypeDrop); n != 1 {
		t.Errorf("%d answers were dropped", n)
	}
}

// The answer has to come from who was asked; another client, or the answer to a
// question of the server's, does not let anything through.
func TestConfirmIsAnsweredByWhoWasAsked(t *testing.T) {
	r := confirming(t, upstream.Grants{Elicitation: true})
	a, b := r.person("2025-11-25", forms), r.person("2025-11-25", forms)
	a.send(call(`1`, "echo", `{"message":"m"}`))
	id, _ := a.question()
	b.answer(id, goOn)
	b.send(call(`1`, "count", `{}`))
	r.back.want(`"count"`)
	r.back.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"elicitation/create","params":{"message":"the server's own"}}`) // with the very id
	var theirs struct{ ID json.RawMessage }
	if err := json.Unmarshal([]byte(b.want("the server's own")), &theirs); err != nil || string(theirs.ID) == id {
		t.Fatalf("passed on as %s", theirs.ID)
	}
	b.answer(string(theirs.ID), goOn)
	r.back.want(`"id":`+id, `"go_on":true`) // the server's own answer, and no call
	a.answer(id, goOn)
	r.back.want(`"message":"m"`)
}

// What cannot be recorded is not asked about, and not let through.
func TestConfirmIsRecorded(t *testing.T) {
	r := confirming(t, upstream.Grants{})
	c := r.person("2025-11-25", forms)
	r.record.fail(errors.New("no space left"))
	c.send(call(`1`, "echo", `{"message":"m"}`))
	c.want(`"id":1,`, "no space left")
	r.record.fail(nil)
	c.send(call(`2`, "echo", `{"message":"m"}`))
	id, _ := c.question()
	r.record.fail(errors.New("no space left"))
	c.answer(id, goOn)
	c.want(`"id":2,`, "no space left")
	r.record.fail(nil)
	c.send(call(`3`, "count", `{}`))
	r.back.want(`"count"`)
}
