// Package decided writes a decision into the record with all that it was made from,
// and judges recorded calls again: with the same policy and what went before each
// call, as the record has it, every decision must come out the same byte for byte.
// That shows that the record tells the truth about why, and what another policy
// would have decided.
//
// It does not judge again what the record could not keep, arguments of more than a
// few kilobytes, nor tools that were withheld for what a running server had become;
// it counts them.
package decided

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
)

// Where a record keeps what a decision can be made again from.
const (
	detailHint     = "hint"
	detailHistory  = "history"
	detailPolicy   = "policy"
	detailPreview  = "preview-of"
	detailQuestion = "question"
)

// maxReason bounds a decision's reason in the record.
const maxReason = 512

// Note adds to a record what was decided about a call, and from what.
func Note(rec *audit.Record, p *gate.Policy, asked gate.Call, d mcprun.Decision) {
	rec.Verdict, rec.Risk, rec.Rule, rec.Reason = d.Verdict, d.Risk, d.Rule, d.Reason[:min(len(d.Reason), maxReason)]
	rec.Args, rec.Size = asked.Arguments, int64(len(asked.Arguments))
	rec.ToolDigest = p.ToolDigest(asked.Tool)
	rec.Detail = map[string]string{detailHistory: p.History(asked, d.NewHosts, audit.MaxDetailValue)}
	if digest := p.Digest(); digest != "" {
		rec.Detail[detailPolicy] = string(digest)
	}
	if d.Hint != "" {
		rec.Detail[detailHint] = d.Hint
	}
	audit.NoteRisk(rec, d.Score, d.Contributions)
	audit.NoteJustification(rec, asked.Stated)
}

// MarkPreview says in a record that it is of the dry run of a held call.
func MarkPreview(rec *audit.Record, of mcprun.CallID) {
	if rec.Detail == nil {
		rec.Detail = map[string]string{}
	}
	rec.Detail[detailPreview] = string(of)
}

// PreviewOf is the held call that a record is of the dry run of; "" for all others.
func PreviewOf(rec *audit.Record) mcprun.CallID { return mcprun.CallID(rec.Detail[detailPreview]) }

// MarkQuestion says in a record to which question to the person at the client it
// belongs: the one that was asked, or the call that went on for its answer.
func MarkQuestion(rec *audit.Record, question string) {
	if rec.Detail == nil {
		rec.Detail = map[string]string{}
	}
	rec.Detail[detailQuestion] = question
}

// Question is the question to the person at the client that a record belongs to; ""
// for all others.
func Question(rec *audit.Record) string { return rec.Detail[detailQuestion] }

// Basis is what Note kept beside the decision itself, for the record of a question.
func Basis(rec *audit.Record) map[string]string {
	out := map[string]string{}
	for _, k := range []string{detailHint, detailHistory, detailPolicy} {
		if v, ok := rec.Detail[k]; ok {
			out[k] = v
		}
	}
	return out
}

// Judged reports whether a record is of a call that policy refused.
func Judged(rec *audit.Record) bool {
	_, judged := rec.Detail[detailHistory]
	return judged && rec.Type == audit.TypeRefuse && rec.Verdict == mcprun.Deny
}

// Hint is what a refusal told its reader to do.
func Hint(rec *audit.Record) string { return rec.Detail[detailHint] }

// Difference is one decision that does not come out as it was recorded.
type Difference struct {
	Seq  uint64          `json:"seq"`
	Call mcprun.CallID   `json:"call"`
	Tool mcprun.ToolName `json:"tool"`
	Was  Outcome         `json:"was"`
	Now  Outcome         `json:"now"`
}

// Outcome is a decision as people compare it.
type Outcome struct {
	Verdict string `json:"verdict"`
	Score   int    `json:"score"`
	Rule    string `json:"rule"`
	Reason  string `json:"reason"`
}

// Report is what came of judging again.
type Report struct {
	Same      int          `json:"same"`
	Different []Difference `json:"different"`
	Other     int          `json:"otherPolicy"` // made with another policy, and not judged
	Unkept    int          `json:"notKept"`     // too long for the record
	State     int          `json:"ofState"`     // about what the running server had become
}

// Judge judges the records of one server again.
type Judge struct {
	policy *gate.Policy
	any    bool
	report Report
}

// NewJudge returns a Judge with a policy. With any, it judges also what was decided
// with another policy: what would be different.
func NewJudge(p *gate.Policy, any bool) *Judge {
	return &Judge{policy: p, any: any, report: Report{Different: []Difference{}}}
}

// Report is what came of it so far.
func (j *Judge) Report() Report { return j.report }

// ofState are the rules that speak of what the running server was.
var ofState = []string{gate.RuleChanged, gate.RuleWithheld}

// Record judges one record, if it is a decision about a call to the server.
func (j *Judge) Record(r *audit.Record) error {
	if r.Server != j.policy.Server() || r.Tool == "" || r.Detail[detailHistory] == "" {
		return nil
	}
	if r.Type != audit.TypeCall && r.Type != audit.TypePending && r.Type != audit.TypeRefuse {
		return nil
	}
	asked := gate.Call{Server: r.Server, Tool: r.Tool, Arguments: r.Args, Stated: audit.Justification(r), Principal: r.Principal, Session: r.Session}
	err := asked.Recall(r.Detail[detailHistory])
	switch {
	case !j.any && r.Detail[detailPolicy] != string(j.policy.Digest()):
		j.report.Other++
		return nil
	case slices.Contains(ofState, r.Rule):
		j.report.State++
		return nil
	case len(r.Args) == 0 && r.Size > 0, errors.Is(err, gate.ErrCut):
		j.report.Unkept++
		return nil
	case err != nil:
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	return j.again(r, asked)
}

// again decides anew and compares what the record would say with what it says.
func (j *Judge) again(r *audit.Record, asked gate.Call) error {
	d := j.policy.Decide(asked)
	now := *r
	Note(&now, j.policy, asked, d)
	lifted := r.Detail["approval"] != "" || PreviewOf(r) != "" || d.Confirm && Question(r) != ""
	if now.Type == audit.TypeCall && d.Verdict == mcprun.Hold && lifted {
		now.Verdict = mcprun.Allow // it was held, and somebody let it through, or it is the dry run of what is held
	}
	for k, v := range r.Detail { // what is not of the decision stays, the policy's name too where others are judged
		if _, ok := now.Detail[k]; !ok && !audit.IsRisk(k) && k != detailHint || k == detailPolicy && j.any {
			now.Detail[k] = v
		}
	}
	was, err := audit.Body(r)
	if err != nil {
		return err
	}
	is, err := audit.Body(&now)
	if err != nil {
		return err
	}
	if bytes.Equal(was, is) {
		j.report.Same++
		return nil
	}
	j.report.Different = append(j.report.Different, Difference{r.Seq, r.Call, r.Tool, outcome(r), outcome(&now)})
	return nil
}

func outcome(r *audit.Record) Outcome {
	score, _ := audit.Risk(r)
	return Outcome{r.Verdict.String(), score, r.Rule, r.Reason}
}
