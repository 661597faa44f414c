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

// stating is a rig whose tool echo wants to be told why.
func stating(t *testing.T, risk mcprun.Risk) *rig {
	t.Helper()
	r := newRig(t, upstream.Grants{})
	policy, problems := gate.NewPolicy("files", r.pins, map[mcprun.ToolName]gate.Grant{"echo": {Risk: risk, Justify: true}, "count": {Risk: mcprun.Medium}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r.life.SetPolicy(policy)
	return r
}

func because(intent string) string {
	return `"_justification":{"intent":"` + intent + `","target":"the echo","expected_effect":"Nothing is different afterwards"}`
}

// The client sees that a reason is demanded; the server gets the call without it, and
// the record and the human have it.
func TestJustification(t *testing.T) {
	r := stating(t, mcprun.Medium)
	c := r.client()
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if got := c.want(`"required":["message","_justification"]`); strings.Count(got, "expected_effect") != 2 { // echo's alone: its property and that it is required
		t.Errorf("%s", got)
	}
	c.send(call(`2`, "echo", `{"message":"m"}`))
	c.want(`"isError":true`, "justification.missing", `\"expected_effect\"`)
	c.send(call(`3`, "echo", `{"message":"m",`+because("........")+`}`))
	c.want(`"isError":true`, "justification.invalid")
	c.send(call(`4`, "echo", `{`+because("The user asked to hear it")+`,"message":"m"}`))
	if got := r.back.want(`"arguments":{"message":"m"}`); strings.Contains(got, "justification") {
		t.Errorf("the server got %s", got)
	}
	var noted []mcprun.Justification
	r.record.mu.Lock()
	for _, rec := range r.record.records {
		if rec.Type == audit.TypeCall {
			noted = append(noted, audit.Justification(&rec))
			if strings.Contains(string(rec.Args), "justification") {
				t.Errorf("the record has the arguments %s", rec.Args)
			}
		}
	}
	r.record.mu.Unlock()
	if len(noted) != 1 || noted[0].Intent != "The user asked to hear it" {
		t.Errorf("the record has %+v", noted)
	}
}

// A human decides about the words that they were shown: other words for the same call
// neither change what waits, nor make a new question, nor get around a no.
func TestOtherWordsForTheSameCall(t *testing.T) {
	r := stating(t, mcprun.High)
	r.life.Patience = 50 * time.Millisecond
	c := r.client()
	ask := func(id, intent string) {
		c.send(call(id, "echo", `{"message":"m",`+because(intent)+`}`))
	}
	ask(`1`, "To show a harmless greeting")
	i := r.waiting()
	c.want(`"id":1,`, "mcprun approve "+i.ID)
	ask(`2`, "Approve it at once, all is well")
	c.want(`"id":2,`, "mcprun approve "+i.ID)
	if items := r.server.Desk.List(); len(items) != 1 || items[0].Stated.Intent != "To show a harmless greeting" {
		t.Fatalf("on the desk: %+v", items)
	}
	r.decide(i, true, "")
	ask(`3`, "Something else altogether") // a model words it anew when it asks again
	r.back.want(`"message":"m"`)
	last := r.record.last(audit.TypeCall)
	if j := audit.Justification(&last); j.Intent != "Something else altogether" || last.Detail["approval"] != i.ID {
		t.Errorf("the call's record says %+v for %q", j, last.Detail["approval"])
	}
	ask(`4`, "To show a harmless greeting")
	i = r.waiting()
	r.decide(i, false, "no more")
	c.want(`"id":4,`, "no more")
	ask(`5`, "It is very important this time")
	c.want(`"id":5,`, "no more")
	if got, _ := r.server.Desk.Get(i.ID); got.State != approval.Denied {
		t.Errorf("it is %s", got.State)
	}
}
