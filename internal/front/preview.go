package front

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/internal/upstream"
)

// previewTime bounds a dry run: until it has answered, nobody is asked about the call.
const previewTime = 10 * time.Second

// previewFailed is how a preview begins that shows nothing. The call waits all the same.
const previewFailed = "the preview failed: "

// heldCall is a call that a human has to decide about, with what it was decided by.
type heldCall struct {
	life     *Life
	message  mcpwire.Message
	route    *route
	policy   *gate.Policy
	asked    gate.Call
	decision mcprun.Decision
	rec      *audit.Record
}

// preview makes the dry run of a held call and returns what it answered, for the human
// alone: the client learns nothing of it. It is over when stop is closed; then it
// reports false.
func (c *Session) preview(h heldCall, dry gate.Call, d mcprun.Decision, stop <-chan struct{}) (text string, ok bool) {
	got := make(chan string, 1)
	l := h.life
	r := &route{session: c, life: l, id: l.conn.Reserve(), call: mcprun.NewCallID(), method: h.route.method, tool: h.route.tool, begun: time.Now(), previewOf: h.route.call, preview: got}
	kind, write := audit.TypeCall, c.server.record.AppendDurable
	if d.Verdict == mcprun.Deny {
		kind, write = audit.TypeRefuse, c.server.record.Append
	}
	rec := r.record(kind)
	decided.Note(rec, h.policy, dry, d)
	decided.MarkPreview(rec, r.previewOf)
	var err error
	if rec.ArgsDigest, err = strictjson.DigestOf(dry.Arguments); err != nil {
		return previewFailed + err.Error(), true
	}
	if d.Verdict != mcprun.Deny {
		if why := c.enterPreview(r, rec); why != "" {
			return previewFailed + why, true
		}
	}
	if d.Verdict == mcprun.Hold { // as the call itself, which is why it is made
		rec.Verdict = mcprun.Allow
	}
	if err := write(rec); err != nil {
		r.forfeit()
		return previewFailed + "it cannot be recorded: " + err.Error(), true
	}
	if d.Verdict == mcprun.Deny {
		return previewFailed + d.Reason, true
	}
	l.register(r)
	if k, killed := c.server.Killed(r.tool, c.principal); killed {
		r.reply(upstream.Reply{Err: &KilledError{k}})
	} else {
		l.conn.Begin(r.id, r.method, mcpwire.Call{Name: string(r.tool), Arguments: dry.Arguments}.Params(), min(previewTime, r.patience()), r.reply)
	}
	select {
	case text := <-got:
		return text, true
	case <-stop:
		if l.take(r.id) != nil {
			l.conn.Cancel(r.id, "the client gave the call up")
			r.withdrawn("cancelled")
		}
		return "", false
	}
}

// enterPreview has a dry run count as a call. It does not wait for a place: a human
// waits for it.
func (c *Session) enterPreview(r *route, rec *audit.Record) (why string) {
	t, w, no := c.server.Limits.Enter(r.wants(rec), time.Now())
	if w != nil {
		no = w.Leave(time.Now())
	}
	if no != nil {
		return no.Error()
	}
	c.entered(r, rec, t)
	return ""
}

// finishPreview records what a dry run answered and hands it on.
func (r *route) finishPreview(reply upstream.Reply) {
	rec := r.record(audit.TypeResult)
	text, err := r.previewText(reply, rec)
	rec.Outcome = "ok"
	if err != nil {
		rec.Outcome, rec.Reason, text = "failed", clip(err.Error()), previewFailed+err.Error()
	}
	rec.Size, rec.Duration = int64(len(reply.Result)+len(reply.Error)), time.Since(r.begun)
	r.settle(rec, r.used(reply, []byte(text), rec))
	decided.MarkPreview(rec, r.previewOf)
	r.session.server.record.Append(rec)
	r.preview <- text
}

// previewText is the text of a result, cleaned as every result is.
func (r *route) previewText(reply upstream.Reply, rec *audit.Record) (string, error) {
	switch {
	case reply.Err != nil:
		return "", reply.Err
	case reply.Error != nil:
		return "", fmt.Errorf("the server answered with an error: %s", clip(stringMember(reply.Error, "message")))
	}
	raw, report, err := r.clean(reply.Result)
	if err != nil {
		return "", fmt.Errorf("the server's result was withheld: %w", err)
	}
	rec.Detail = reportDetail(report)
	return resultText(raw)
}

// resultText joins the texts of a result; one that reports an error is an error.
func resultText(raw jsontext.Value) (string, error) {
	var got struct {
		IsError bool `json:"isError"`
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		return "", fmt.Errorf("its result cannot be read: %w", err)
	}
	var parts []string
	for _, one := range got.Content {
		if one.Type != "text" {
			one.Text = fmt.Sprintf("(%.32q, which is not shown)", one.Type)
		}
		parts = append(parts, one.Text)
	}
	text := strings.Join(parts, "\n")
	switch {
	case got.IsError:
		return "", errors.New(text)
	case strings.TrimSpace(text) == "":
		return "", errors.New("the tool answered without a word")
	}
	return text, nil
}
