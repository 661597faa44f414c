package front

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/upstream"
)

// held is a rig whose tool echo needs a human.
func held(t *testing.T, patience time.Duration) *rig {
	t.Helper()
	r := newRig(t, upstream.Grants{})
	policy, problems := gate.NewPolicy("files", r.pins, map[mcprun.ToolName]gate.Grant{"echo": {Risk: mcprun.High}, "count": {Risk: mcprun.Medium}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r.life.SetPolicy(policy)
	r.life.Patience = patience
	return r
}

func (r *rig) waiting() approval.Item {
	r.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, i := range r.server.Desk.List() {
			if i.State == approval.Waiting {
				return i
			}
		}
	}
	r.t.Fatal("nothing waits")
	return approval.Item{}
}

func (r *rig) decide(i approval.Item, yes bool, why string) {
	r.t.Helper()
	if _, err := r.server.Desk.Decide(i.ID, yes, "uid:2", approval.Unproven, why); err != nil {
		r.t.Fatal(err)
	}
}

// A held call tells a client that listens that it waits, other calls go on, and it
// goes through when somebody says yes, once; written another way it is the same call.
func TestHeldCallGoesThrough(t *testing.T) {
	r := held(t, 5*time.Second)
	c := r.client()
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"m"},"_meta":{"progressToken":"tok"}}}`)
	c.want("notifications/progress", `"progressToken":"tok"`, "waiting for a human to approve a-")
	c.send(call(`2`, "count", `{}`))
	r.back.want(`"count"`)
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[],"structuredContent":{"n":1}}}`)
	c.want(`"id":2,`)
	r.decide(r.waiting(), true, "")
	r.back.want(`"message":"m"`)
	r.back.send(`{"jsonrpc":"2.0","id":3,"result":{"content":[]}}`)
	c.want(`"id":1,`, `"content":[]`)
	c.send(call(`3`, "echo", `{ "message" : "\u006d" }`)) // the same arguments
	i := r.waiting()
	r.decide(i, false, "enough")
	c.want(`"id":3,`, `"isError":true`, "enough", "approval.denied")
	if n := r.record.count(audit.TypeApproval); n != 2 {
		t.Errorf("%d decisions are recorded, want 2", n)
	}
}

// Nobody is there: the client is told what to do, and the same call made again goes
// through after a late yes, without a wait.
func TestLateApproval(t *testing.T) {
	r := held(t, 50*time.Millisecond)
	c := r.client()
	c.send(call(`1`, "echo", `{"message":"m"}`))
	i := r.waiting()
	c.want(`"id":1,`, `"isError":true`, "mcprun approve "+i.ID, "make the same call again")
	r.decide(i, true, "")
	c.send(call(`2`, "echo", `{"message":"other"}`))
	c.want(`"id":2,`, `"isError":true`) // another call is another question
	c.send(call(`3`, "echo", `{"message":"m"}`))
	r.back.want(`"message":"m"`)
}

// Who gives up gets nothing, and a yes that comes then is kept for the next time.
func TestCancelledWhileHeld(t *testing.T) {
	r := held(t, 5*time.Second)
	c := r.client()
	c.send(call(`1`, "echo", `{"message":"m"}`))
	i := r.waiting()
	c.send(call(`1`, "echo", `{"message":"n"}`))
	c.want(`"id":1,`, "in flight")
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	c.send(call(`2`, "count", `{}`))
	r.back.want(`"count"`)
	r.decide(i, true, "")
	c.send(call(`3`, "echo", `{"message":"m"}`))
	if got := r.back.want(`"message":"m"`); strings.Contains(got, `"id":1,`) {
		t.Errorf("the call that was given up is made: %s", got)
	}
}

// What changed while a call waited counts: a tool that was withheld meanwhile is not
// called, whatever the human said.
func TestHeldCallIsJudgedAnew(t *testing.T) {
	r := held(t, 5*time.Second)
	c := r.client()
	c.send(call(`1`, "echo", `{"message":"m"}`))
	i := r.waiting()
	r.life.SetPolicy(r.life.Policy().Withhold("echo", "it changed"))
	r.decide(i, true, "")
	c.want(`"id":1,`, "tool.withheld")
}

// One client cannot fill the daemon with calls that wait.
func TestHeldCallsAreBounded(t *testing.T) {
	r := held(t, 5*time.Second)
	c := r.client()
	for n := range maxHeld + 1 {
		c.send(call(`"`+strings.Repeat("x", n+1)+`"`, "echo", `{"message":"`+strings.Repeat("y", n+1)+`"}`))
	}
	c.want(`"id":"`+strings.Repeat("x", maxHeld+1)+`",`, "wait already", "mcprun approve a-")
}
