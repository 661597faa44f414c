// Package policytest replays labelled calls against server.yaml files, offline:
// what would be allowed, held for a human, or blocked. Operators use it for their
// own policies, and it runs in CI.
//
// It judges what the gate judges: a definition, the arguments of a call, and what the
// client has read before. Egress and the sandbox are not part of it. Destinations
// and definitions count as known, and no call as one of many. Where a server has no
// lock file, a case's own definition counts as pinned. A case of a tool that demands a
// justification counts as one with a good one, unless its arguments have _justification.
package policytest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/result"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// Answer is what happens to a call.
type Answer string

const (
	Allow   Answer = "allow"
	Approve Answer = "approve" // a human has to say yes
	Block   Answer = "block"
)

// answers in the order of a matrix, the most careful first.
var answers = []Answer{Block, Approve, Allow}

// Case is one line of a file of cases. Fields that are not named here are passed
// over.
type Case struct {
	Call
	ID       string          `json:"id"`
	Sequence json.RawMessage `json:"sequence"` // calls that the same client made before, oldest first
	Expected Answer          `json:"expected"`
	Stage    string          `json:"stage"` // tools/call, or nothing
	Note     string          `json:"note"`
}

// Call is one call, or one that went before, of which only tool_name has to be there.
type Call struct {
	Server      string          `json:"server"` // before: that of the case if it is empty
	Tool        string          `json:"tool_name"`
	Description string          `json:"tool_description"`
	Input       json.RawMessage `json:"input_schema"`
	Annotations json.RawMessage `json:"annotations"`
	Arguments   json.RawMessage `json:"arguments"`
	Result      string          `json:"result_text"` // what it answered
}

// maxLine bounds one case: arguments of a few hundred kilobytes are tested, too.
const maxLine = 4 << 20

// Read reads one case a line.
func Read(r io.Reader) ([]Case, error) {
	var out []Case
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		var c Case
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if c.Expected != Allow && c.Expected != Approve && c.Expected != Block {
			return nil, fmt.Errorf("line %d: expected is %q; write allow, approve or block", n, c.Expected)
		}
		out = append(out, c)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("there is no case in it")
	}
	return out, nil
}

// Policy is one server.yaml with its pins, under the operator's ceilings; Lock is nil
// where there are none. Without Ceilings every call is refused.
type Policy struct {
	Server   *manifest.Server
	Lock     *lock.File
	Ceilings *manifest.Ceilings
}

// Result is what became of one case.
type Result struct {
	ID       string `json:"id"`
	Server   string `json:"server"`
	Tool     string `json:"tool"`
	Expected Answer `json:"expected"`
	Got      Answer `json:"got"`
	Rule     string `json:"rule"`
	Reason   string `json:"reason"`
	Hint     string `json:"hint,omitempty"`
	Note     string `json:"note,omitempty"`

	Arguments json.RawMessage `json:"arguments,omitempty"`
	After     []string        `json:"after,omitempty"` // the calls that went before, as server/tool
}

// Right reports whether the answer is the expected one.
func (r Result) Right() bool { return r.Got == r.Expected }

// Report is what became of all.
type Report struct {
	Results []Result `json:"results"`
	Skipped int      `json:"skipped"` // of servers without a policy, and of other stages
}

// Matrix counts answers by what was expected.
func (r Report) Matrix() map[Answer]map[Answer]int {
	m := map[Answer]map[Answer]int{}
	for _, a := range answers {
		m[a] = map[Answer]int{}
	}
	for _, one := range r.Results {
		m[one.Expected][one.Got]++
	}
	return m
}

// Wrong lists the results that are not as expected.
func (r Report) Wrong() []Result {
	out := []Result{}
	for _, one := range r.Results {
		if !one.Right() {
			out = append(out, one)
		}
	}
	return out
}

// Run judges every case whose server has a policy.
func Run(cases []Case, policies []Policy) (Report, error) {
	byName := map[string]Policy{}
	for _, p := range policies {
		byName[string(p.Server.Name)] = p
	}
	report := Report{Results: []Result{}}
	for _, c := range cases {
		p, ok := byName[c.Server]
		if !ok || c.Stage != "" && c.Stage != "tools/call" {
			report.Skipped++
			continue
		}
		taint, after, err := before(c, byName)
		if err != nil {
			return report, fmt.Errorf("case %s: %w", c.ID, err)
		}
		r, err := judge(c, p, taint)
		if err != nil {
			return report, fmt.Errorf("case %s: %w", c.ID, err)
		}
		r.After = after
		report.Results = append(report.Results, r)
	}
	return report, nil
}

// before is what a client has read by the calls that went before, each of which
// counts as one that was answered. What is not understood as a list of calls counts
// as nothing; after names those that count.
func before(c Case, policies map[string]Policy) (taint gate.Taint, after []string, err error) {
	var calls []Call
	if len(c.Sequence) == 0 || json.Unmarshal(c.Sequence, &calls) != nil {
		return taint, after, nil
	}
	for _, step := range calls {
		if step.Server == "" {
			step.Server = c.Server
		}
		p, ok := policies[step.Server]
		if !ok || step.Tool == "" {
			continue
		}
		pins, err := p.pins(step)
		if err != nil {
			return taint, after, err
		}
		policy, _ := gate.NewPolicy(p.Server.Name, pins, gate.GrantsUnder(p.Server, p.Ceilings))
		said, err := instructions(step.Result)
		if err != nil {
			return taint, after, err
		}
		after = append(after, step.Server+"/"+step.Tool)
		taint = taint.After(policy.Traits(mcprun.ToolName(step.Tool)), said)
	}
	return taint, after, nil
}

// instructions reports whether a text addresses a model.
func instructions(text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	raw, err := json.Marshal(map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}})
	if err != nil {
		return false, err
	}
	value, err := strictjson.Parse(raw, strictjson.Data)
	if err != nil {
		return false, err
	}
	_, report, err := result.Prepare(value, result.Spec{})
	return len(report.Instructions) > 0, err
}

func judge(c Case, p Policy, taint gate.Taint) (Result, error) {
	pins, err := p.pins(c.Call)
	if err != nil {
		return Result{}, err
	}
	policy, _ := gate.NewPolicy(p.Server.Name, pins, gate.GrantsUnder(p.Server, p.Ceilings))
	args := jsontext.Value(c.Arguments)
	if string(args) == "null" {
		args = nil
	}
	d := mcprun.Decision{Rule: "wire", Reason: "the arguments are not strict JSON"} // what the front refuses before the gate
	if len(args) > 0 {
		args, err = strictjson.Parse(args, strictjson.Request)
	}
	if err == nil {
		name := mcprun.ToolName(c.Tool)
		rest, stated := policy.TakeJustification(name, args)
		if policy.Demands(name) && strictjson.Member(args, "_justification") == nil {
			stated = some
		}
		d = policy.Decide(gate.Call{Server: p.Server.Name, Tool: name, Arguments: rest, Stated: stated, Principal: "uid:0", Session: "s-test", Now: time.Unix(0, 0), Recent: none,
			Taint: taint, Known: func(string) bool { return true }})
	}
	r := Result{ID: c.ID, Server: c.Server, Tool: c.Tool, Expected: c.Expected, Got: Block, Rule: d.Rule, Reason: d.Reason, Hint: d.Hint, Note: c.Note, Arguments: c.Arguments}
	switch d.Verdict {
	case mcprun.Allow:
		r.Got = Allow
	case mcprun.Hold:
		r.Got = Approve
	}
	return r, nil
}

// some is the justification of a case that has none, for a tool that demands one: cases
// are about arguments.
var some = mcprun.Justification{Intent: "Judging a case of a file of cases", Target: "what its arguments name", Effect: "Nothing, since it is only judged"}

// none is the history of a call before which there was nothing.
var none = map[string]int64{"calls_minute": 0, "calls_hour": 0, "tool_minute": 0, "tool_hour": 0, "untrusted": 0, "instructions": 0}

// pins returns the lock file, or one that holds the case's own definition.
func (p Policy) pins(c Call) (*lock.File, error) {
	if p.Lock != nil {
		return p.Lock, nil
	}
	def := map[string]any{"name": c.Tool, "description": c.Description, "inputSchema": c.Input}
	if len(c.Input) == 0 { // a call that went before, with whatever arguments
		def["inputSchema"] = map[string]any{"type": "object", "additionalProperties": true}
	}
	if len(c.Annotations) > 0 && string(c.Annotations) != "null" {
		def["annotations"] = c.Annotations
	}
	raw, err := json.Marshal(def)
	if err != nil {
		return nil, err
	}
	t, err := lock.NewTool(raw)
	if err != nil {
		return nil, err
	}
	return &lock.File{Version: lock.Version, Server: p.Server.Name, Tools: []lock.Tool{t}}, nil
}
