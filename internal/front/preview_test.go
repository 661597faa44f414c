package front

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// previewing is a rig with a tool that has a dry run and needs a human.
func previewing(t *testing.T, schema string, grants upstream.Grants, more ...argument.Attached) *rig {
	t.Helper()
	r := newRig(t, grants)
	tool, err := lock.NewTool(jsontext.Value(`{"name":"edit","inputSchema":` + schema + `}`))
	if err != nil {
		t.Fatal(err)
	}
	f := &lock.File{Server: "files", Tools: append([]lock.Tool{tool}, r.pins.Tools...)}
	policy, problems := gate.NewPolicy("files", f, map[mcprun.ToolName]gate.Grant{"echo": {Risk: mcprun.Low},
		"edit": {Risk: mcprun.High, Preview: []manifest.Fixed{{Name: "dry", Value: "true"}}, Arguments: more}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r.life.SetPolicy(policy)
	return r
}

const editSchema = `{"type":"object","properties":{"text":{"type":"string"},"dry":{"type":"boolean"}}}`

// The dry run comes first, says so in the record, and only the human sees what it
// answered; the call itself is made after their yes, as it was asked.
func TestPreview(t *testing.T) {
	r := previewing(t, editSchema, upstream.Grants{Sampling: true})
	c := r.client()
	c.send(call(`1`, "edit", `{"text":"m","dry":false}`))
	r.back.want(`"id":2,`, `"arguments":{"text":"m","dry":true}`)
	rec := r.record.last(audit.TypeCall)
	if of := decided.PreviewOf(&rec); of == "" || rec.Verdict != mcprun.Allow || string(rec.Args) != `{"text":"m","dry":true}` || rec.Rule != gate.RuleRiskHigh {
		t.Fatalf("before it is made the record says %+v", rec)
	}
	if n := r.record.count(audit.TypePending); n != 0 {
		t.Error("somebody was asked before the dry run has answered")
	}
	r.back.send(`{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}`)
	r.back.want(`"id":9`, "a dry run is in flight")
	c.send(call(`2`, "echo", `{"message":"others go on"}`))
	r.back.want(`"id":3,`, "others go on")
	r.back.send(`{"jsonrpc":"2.0","id":3,"result":{"content":[]}}`)
	c.want(`"id":2,`)
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"- old\n+ \u001b[31mnew"},{"type":"image","data":"aGk=","mimeType":"image/png"}]}}`)
	i := r.waiting()
	if !strings.HasPrefix(i.Preview, "- old\n+ new") || strings.Contains(i.Preview, "\x1b") || string(i.Args) != `{"text":"m","dry":false}` {
		t.Errorf("what is shown: %q for %s", i.Preview, i.Args)
	}
	r.decide(i, true, "")
	r.back.want(`"id":4,`, `"arguments":{"text":"m","dry":false}`)
	r.back.send(`{"jsonrpc":"2.0","id":4,"result":{"content":[{"type":"text","text":"done"}]}}`)
	c.want(`"id":1,`, "done") // and nothing of the dry run came before
	pending := r.record.last(audit.TypePending)
	if decided.PreviewOf(&rec) != pending.Call || approval.PreviewIn(&pending) != i.Preview {
		t.Errorf("the record of the question: %+v", pending)
	}
}

// The same call again finds what waits, and is not tried again.
func TestPreviewIsMadeOnce(t *testing.T) {
	r := previewing(t, editSchema, upstream.Grants{})
	r.life.Patience = 20 * time.Millisecond
	c := r.client()
	c.send(call(`1`, "edit", `{"text":"m"}`))
	r.back.want(`"dry":true`)
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"it would"}]}}`)
	c.want(`"id":1,`, "mcprun approve")
	c.send(call(`2`, "edit", `{"text":"m"}`))
	c.want(`"id":2,`, "mcprun approve")
	c.send(call(`3`, "echo", `{"message":"next"}`))
	r.back.want("next")
	if items := r.server.Desk.List(); len(items) != 1 || items[0].Preview != "it would" {
		t.Errorf("%+v", items)
	}
}

// A preview that fails says why, and the call waits all the same.
func TestPreviewFails(t *testing.T) {
	for name, row := range map[string]struct{ answer, says string }{
		"error":   {`"error":{"code":-1,"message":"no such file"}`, "no such file"},
		"isError": {`"result":{"isError":true,"content":[{"type":"text","text":"no match"}]}`, "no match"},
		"silent":  {`"result":{"content":[]}`, "without a word"},
		"broken":  {`"result":{"content":7}`, "withheld"},
	} {
		t.Run(name, func(t *testing.T) {
			r := previewing(t, editSchema, upstream.Grants{})
			c := r.client()
			c.send(call(`1`, "edit", `{"text":"m"}`))
			r.back.want(`"dry":true`)
			r.back.send(`{"jsonrpc":"2.0","id":2,` + row.answer + `}`)
			if i := r.waiting(); !strings.HasPrefix(i.Preview, previewFailed) || !strings.Contains(i.Preview, row.says) {
				t.Errorf("shown is %q", i.Preview)
			}
			if rec := r.record.last(audit.TypeResult); rec.Outcome != "failed" || decided.PreviewOf(&rec) == "" {
				t.Errorf("%+v", rec)
			}
		})
	}
	t.Run("it answers nothing in time", func(t *testing.T) {
		r := previewing(t, editSchema, upstream.Grants{})
		r.life.Timeout = 20 * time.Millisecond
		r.client().send(call(`1`, "edit", `{"text":"m"}`))
		if i := r.waiting(); !strings.HasPrefix(i.Preview, previewFailed) {
			t.Errorf("shown is %q", i.Preview)
		}
	})
	t.Run("nothing can be recorded", func(t *testing.T) {
		r := previewing(t, editSchema, upstream.Grants{})
		c := r.client()
		r.record.fail(errors.New("no space left"))
		c.send(call(`1`, "edit", `{"text":"m"}`))
		c.want(`"isError":true`, "no space left")
		r.record.fail(nil)
		c.send(call(`2`, "echo", `{"message":"the first thing the server sees"}`))
		r.back.want("the first thing the server sees")
	})
}

// A dry run passes all that the call would have to, and nobody can undo what makes it
// one: an argument that a server could read for it is refused before.
func TestPreviewIsJudged(t *testing.T) {
	only := argument.Attached{At: must(argument.ParsePointer("dry")), Check: words.Enum{"false"}}
	r := previewing(t, editSchema, upstream.Grants{}, only)
	c := r.client()
	c.send(call(`1`, "edit", `{"text":"m"}`))
	if i := r.waiting(); !strings.HasPrefix(i.Preview, previewFailed) || !strings.Contains(i.Preview, `argument "dry"`) {
		t.Errorf("shown is %q", i.Preview)
	}
	if rec := r.record.last(audit.TypeRefuse); decided.PreviewOf(&rec) == "" {
		t.Errorf("%+v", rec)
	}
	open := previewing(t, `{"type":"object","properties":{"dry":{"type":"boolean"}},"additionalProperties":true}`, upstream.Grants{})
	c = open.client()
	c.send(call(`1`, "edit", `{"Dry":false}`))
	if i := open.waiting(); !strings.HasPrefix(i.Preview, previewFailed) || !strings.Contains(i.Preview, "differ only in case") {
		t.Errorf("shown is %q", i.Preview)
	}
	for _, r := range []*rig{r, open} {
		r.client().send(call(`7`, "echo", `{"message":"the first thing the server sees"}`))
		r.back.want("the first thing the server sees")
	}
}

// Who gives a call up, or is killed, meanwhile leaves nothing that waits.
func TestPreviewIsGivenUp(t *testing.T) {
	r := previewing(t, editSchema, upstream.Grants{})
	c := r.client()
	c.send(call(`1`, "edit", `{"text":"m"}`))
	r.back.want(`"dry":true`)
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	r.back.want("notifications/cancelled", `"requestId":2`)
	c.send(call(`1`, "edit", `{"text":"n"}`)) // the id is free again
	r.back.want(`"text":"n"`)
	k := limits.Kill{Target: limits.Target{Server: "files", Tool: "edit"}, Who: "me", Why: "test"}
	r.switches.Deny(k)
	if n := r.server.FailCalls(k); n != 1 {
		t.Errorf("%d calls were killed", n)
	}
	c.want(`"id":1,`, "killed")
	if items := r.server.Desk.List(); len(items) != 0 {
		t.Errorf("on the desk: %+v", items)
	}
}

// A preview of any length is bounded, and says that it was cut.
func TestPreviewIsBounded(t *testing.T) {
	r := previewing(t, editSchema, upstream.Grants{})
	r.client().send(call(`1`, "edit", `{"text":"m"}`))
	r.back.want(`"dry":true`)
	long := strings.Repeat(`+ \"line\"\n`, 100_000)
	r.back.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"%s"}]}}`, long))
	i := r.waiting()
	if len(i.Preview) > audit.MaxText || !strings.Contains(i.Preview[len(i.Preview)-60:], "(cut: there are ") {
		t.Errorf("%d bytes: %.100q", len(i.Preview), i.Preview)
	}
	pending := r.record.last(audit.TypePending)
	raw, err := audit.Body(&pending)
	if err != nil || !strings.Contains(string(raw), "(cut: there are ") {
		t.Errorf("the record has it cut short once more: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
