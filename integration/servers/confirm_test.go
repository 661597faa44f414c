package servers

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// asking starts a client that can ask the person at it with a form.
func asking(t *testing.T, cmd *exec.Cmd) *client {
	t.Helper()
	c := start(t, cmd)
	c.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}`)
	return c
}

// wait returns the next message that a test wants to see.
func (c *client) wait(want func(message) bool) message {
	c.t.Helper()
	for end := time.After(patience); ; {
		select {
		case m, ok := <-c.out:
			if !ok {
				c.t.Fatal("the connection ended")
			}
			if want(m) {
				return m
			}
		case <-end:
			c.t.Fatal("nothing came")
		}
	}
}

// asked sends a call and returns the id of the question that it leads to.
func (c *client) asked(params string) (call int, question string) {
	c.t.Helper()
	c.next++
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%s}`+"\n", c.next, params)
	return c.next, string(c.wait(func(m message) bool { return m.Method == "elicitation/create" }).ID)
}

func (c *client) say(question, result string) {
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", question, result)
}

func (c *client) answerTo(call int) string {
	c.t.Helper()
	m := c.wait(func(m message) bool { return m.Method == "" && string(m.ID) == fmt.Sprint(call) })
	return string(m.Result) + string(m.Error)
}

// A real server, a client that asks the person at it, and one that cannot: a yes lets a
// call go on, a no does not, and where nobody can be asked an operator decides. The
// server's own questions go their own way beside ours.
func TestConfirm(t *testing.T) {
	d := harness.New(t)
	d.Up("everything", "everything", "profile: node\ntimeouts: {approval: 2s}\ngrants: {elicitation: true}\n"+
		"tools:\n  echo: {risk: medium, confirm: true}\n  get-sum: {risk: high}\n  trigger-elicitation-request: {risk: low, confirm: true}\n")
	c := asking(t, d.Command("connect", "everything"))
	const goOn = `{"action":"accept","content":{"go_on":true}}`
	call, question := c.asked(`{"name":"echo","arguments":{"message":"hello"}}`)
	c.say(question, goOn)
	if got := c.answerTo(call); !strings.Contains(got, "Echo: hello") {
		t.Errorf("after a yes: %s", got)
	}
	call, question = c.asked(`{"name":"echo","arguments":{"message":"never"}}`)
	c.say(question, `{"action":"decline"}`)
	if got := c.answerTo(call); !strings.Contains(got, "confirm.declined") || strings.Contains(got, "Echo") {
		t.Errorf("after a no: %s", got)
	}
	call, question = c.asked(`{"name":"echo","arguments":{"message":"slow"}}`)
	if got := c.answerTo(call); !strings.Contains(got, "confirm.timeout") {
		t.Errorf("after no answer: %s", got)
	}
	c.say(question, goOn)
	// A tool that asks the person itself, through the same client, while it is called.
	call, question = c.asked(`{"name":"trigger-elicitation-request","arguments":{}}`)
	c.say(question, goOn)
	theirs := c.wait(func(m message) bool { return m.Method == "elicitation/create" })
	if string(theirs.ID) == question || strings.Contains(string(theirs.ID), "mcprun") {
		t.Errorf("the server's question has the id %s", theirs.ID)
	}
	c.say(string(theirs.ID), `{"action":"decline"}`)
	if got := c.answerTo(call); !strings.Contains(got, "content") || strings.Contains(got, "confirm.") {
		t.Errorf("the tool that asks: %s", got)
	}
	// What is high is not the client's to allow, whatever it offers.
	if got := string(c.ask("tools/call", `{"name":"get-sum","arguments":{"a":1,"b":2}}`)); !strings.Contains(got, "mcprun approve") {
		t.Errorf("a tool of class high: %s", got)
	}
	mute := start(t, d.Command("connect", "everything"))
	if got := string(mute.ask("tools/call", `{"name":"echo","arguments":{"message":"hello"}}`)); !strings.Contains(got, "mcprun approve") {
		t.Errorf("through a client that cannot ask: %s", got)
	}
	var waiting []struct{ Tool, Rule string }
	if err := json.Unmarshal([]byte(d.Must("approvals", "--json")), &waiting); err != nil || len(waiting) != 2 || waiting[0].Rule != "confirm" {
		t.Errorf("for an operator wait %+v: %v", waiting, err)
	}
	record := d.Must("audit", "tail", "-n", "1000", "--json")
	if n := strings.Count(record, `"who":"client"`); n != 3 {
		t.Errorf("%d records are of the client's word, want two calls and a no", n)
	}
	if strings.Contains(record, `"type":"approval"`) {
		t.Error("a word of the client's is recorded as an approval")
	}
	if out := d.Must("policy", "replay", "everything.yaml"); !strings.Contains(out, ", 0 differ") {
		t.Errorf("replayed: %s", out)
	}
}
