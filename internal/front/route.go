package front

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/result"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
)

// route is one request on its way: who asked, under which id and token.
type route struct {
	session *Session
	life    *Life
	client  mcpwire.ID // the client's own id, byte for byte
	token   mcpwire.ID // the client's progress token, zero if it gave none
	id      int64      // ours
	call    mcprun.CallID
	method  string
	tool    mcprun.ToolName // of tools/call
	hosts   []string        // destinations that its arguments name for the first time
	begun   time.Time
	ticket  *limits.Ticket // what its limits set aside for it; nil for what counts for nothing

	preview   chan<- string // where the answer of a dry run goes; nil for what a client asked
	previewOf mcprun.CallID // the held call that it is the dry run of
}

// register enters a route before its last check of the switches: a kill that
// comes between the two finds it.
func (l *Life) register(r *route) {
	l.mu.Lock()
	l.routes[r.id] = r
	l.mu.Unlock()
}

func (l *Life) take(id int64) *route {
	l.mu.Lock()
	r := l.routes[id]
	delete(l.routes, id)
	l.mu.Unlock()
	if r != nil && r.method != "ping" {
		l.server.touch()
	}
	if r != nil && r.tool != "" {
		l.CallEnded(r.tool)
	}
	return r
}

// reply is called once by the upstream connection.
func (r *route) reply(reply upstream.Reply) {
	if r.life.take(r.id) == nil {
		return // cancelled, or ended by a kill: the client has its answer or wants none
	}
	r.finish(reply)
}

// finish checks what came back, records it and answers the client.
func (r *route) finish(reply upstream.Reply) {
	if r.preview != nil {
		r.finishPreview(reply)
		return
	}
	rec := r.record(audit.TypeResult)
	var answer []byte
	rec.Outcome, answer = r.outcome(reply, rec)
	r.settle(rec, r.used(reply, answer, rec))
	rec.Size = int64(len(reply.Result) + len(reply.Error))
	rec.Duration = time.Since(r.begun)
	if reply.Err != nil {
		rec.Reason = clip(reply.Err.Error())
	}
	// The effect has happened: a record that cannot be written now stops the next call.
	r.session.server.record.Append(rec)
	r.session.forget(r.client)
	r.session.box.Send(answer)
}

// used is what a request used, as its answer shows.
func (r *route) used(reply upstream.Reply, answer []byte, rec *audit.Record) limits.Use {
	var u limits.Use
	u[limits.Results], u[limits.Cost] = int64(len(answer)), r.cost(reply.Result, rec)
	return u
}

// outcome names what came back and makes the answer from it. What was done to it
// goes into the record.
func (r *route) outcome(reply upstream.Reply, rec *audit.Record) (string, []byte) {
	var killed *KilledError
	switch {
	case errors.As(reply.Err, &killed):
		return "killed", mcpwire.AppendError(nil, r.client, codeRefused, reply.Err.Error(), nil)
	case reply.Err != nil:
		return "failed", mcpwire.AppendError(nil, r.client, codeRefused, r.method+": "+reply.Err.Error(), nil)
	case int64(len(reply.Error)) > r.room() || r.tool == "" && int64(len(reply.Result)) > r.room():
		return "withheld", mcpwire.AppendError(nil, r.client, codeRefused, fmt.Sprintf("%s: the server's answer has %d bytes, and %d are left to this request; an operator sees all limits with mcprun limits",
			r.method, len(reply.Error)+len(reply.Result), r.room()), nil)
	case reply.Error != nil:
		return "error", mcpwire.AppendErrorObject(nil, r.client, r.explainError(reply.Error, rec))
	}
	if r.tool == "" {
		if r.method == "resources/read" || r.method == "prompts/get" {
			r.session.past.read(r.life.Policy().OfResources(), result.Report{})
		}
		return "ok", mcpwire.AppendResult(nil, r.client, reply.Result)
	}
	clean, err := r.prepare(reply.Result, rec)
	if err != nil {
		rec.Rule = ruleOfResult(err)
		d := mcprun.Decision{Rule: rec.Rule, Reason: "the server's result was withheld: " + err.Error()}
		return "withheld", mcpwire.AppendResult(nil, r.client, refusal(d, r.call))
	}
	return "ok", mcpwire.AppendResult(nil, r.client, r.explain(clean, rec))
}

// prepare makes a tool's result fit for the client, and notes what was found.
func (r *route) prepare(raw jsontext.Value, rec *audit.Record) (jsontext.Value, error) {
	clean, report, err := r.clean(raw)
	if err != nil {
		return nil, err
	}
	r.session.recent.read(report)
	r.session.past.read(r.life.Policy().Traits(r.tool), report)
	rec.Detail = reportDetail(report)
	return clean, nil
}

// clean takes out of a tool's result what nobody is to get.
func (r *route) clean(raw jsontext.Value) (jsontext.Value, result.Report, error) {
	if err := checkResult(r.life.Policy(), r.tool, raw); err != nil {
		return nil, result.Report{}, err
	}
	spec, err := r.life.spec(r.tool)
	if err != nil {
		return nil, result.Report{}, unsearchedError{err}
	}
	spec.MaxBytes = int(max(1, r.room())) // none would be the default
	if r.preview != nil {                 // the marks around strangers' text are for models
		spec.Untrusted, spec.Mark = false, ""
	}
	return result.Prepare(raw, spec)
}

// RuleResultInvalid is the rule of a result that is not as it must be, and so withheld.
const RuleResultInvalid = "result.invalid"

// ruleUnsearched is that of one that was withheld for what is no fault of its server's.
const ruleUnsearched = "result.unsearched"

var errWithheldMeanwhile = errors.New("the tool was withheld while the call was in flight")

// unsearchedError is why a result could not be searched for secrets.
type unsearchedError struct{ error }

func ruleOfResult(err error) string {
	var unsearched unsearchedError
	switch {
	case errors.Is(err, errWithheldMeanwhile):
		return gate.RuleWithheld
	case errors.As(err, &unsearched):
		return ruleUnsearched
	}
	return RuleResultInvalid
}

// checkResult holds a result against the pinned outputSchema. A tool that was
// withheld meanwhile has none to hold it against, and its result goes nowhere.
func checkResult(p *gate.Policy, name mcprun.ToolName, result jsontext.Value) error {
	t, ok := p.Tool(name)
	if !ok {
		return errWithheldMeanwhile
	}
	return t.CheckResult(result)
}

func (r *route) record(t audit.Type) *audit.Record {
	return &audit.Record{
		Type: t, Call: r.call, Server: r.session.server.Name, Instance: r.life.Instance, Tool: r.tool, Method: r.method,
		Principal: r.session.principal, Session: r.session.id,
	}
}
