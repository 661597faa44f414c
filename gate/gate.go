// Package gate decides, without I/O and without a clock, whether one call of one
// tool may go on: (call, pinned definition, policy) → [mcprun.Decision]. It also
// judges definitions before they are pinned ([Lint]) and proposes a risk class
// for each ([Propose]).
//
// A call passes only if the tool is pinned, granted, not withheld, and its
// arguments satisfy the pinned schema with every name in it declared. Whatever
// cannot be judged is refused.
//
// What it does not protect: a schema that allows a dangerous value allows it
// here unless server.yaml ties a check or a rule to it; a description can
// mislead a model in words that no list of phrases finds, which is why such
// findings only raise a risk and the pin is what holds; what a tool does with a
// valid call is the sandbox's business. Values must have passed strictjson: the
// last of two equal keys is the one that is judged.
package gate

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/risk"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// Call is one tools/call as the front read it.
type Call struct {
	Server    mcprun.ServerName
	Tool      mcprun.ToolName
	Arguments jsontext.Value       // through strictjson, as the server gets them; nil is the same as {}
	Stated    mcprun.Justification // what TakeJustification took out of them
	Principal mcprun.Principal

	// What conditions can speak of besides.
	Session string
	Now     time.Time
	Recent  map[string]int64
	Elicits bool // the client can ask the person at it

	// What went before, for the risk.
	Taint   Taint
	Burst   int64                  // calls of this client to this server, within this minute and the one before
	NewTool bool                   // no call of this definition ever went ahead here
	Known   func(host string) bool // hosts that this server was given before; nil: none
}

// Taint is what a client has read since it came.
type Taint struct {
	Untrusted    bool // what strangers wrote
	Instructions bool // text that addresses a model
	Private      bool // what is nobody else's business
}

// After is the taint of a client that has also read the answer of a tool with these
// traits; instructions says whether it addressed a model.
func (t Taint) After(r Traits, instructions bool) Taint {
	return Taint{Untrusted: t.Untrusted || r.Untrusted != "", Instructions: t.Instructions || instructions, Private: t.Private || r.Private != ""}
}

// Decide judges one call. The same call always gets the same decision. A nil or
// zero Policy denies everything.
func (p *Policy) Decide(c Call) mcprun.Decision {
	if p == nil || c.Server != p.server {
		return deny(RuleServerMismatch, fmt.Sprintf("no policy for server %s", shown(string(c.Server))), "")
	}
	e, ok := p.tools[c.Tool]
	switch {
	case !ok:
		return p.unknown(c.Tool)
	case e.rule != "":
		return deny(e.rule, e.reason, e.hint)
	case !e.granted:
		return deny(RuleNotGranted, fmt.Sprintf("%s is pinned but server.yaml does not grant it", c.Tool), e.hint)
	case e.tool == nil || e.tool.Risk == mcprun.Block:
		return deny(RuleRiskBlock, e.tool.blocked(string(c.Tool)), "")
	}
	if e.grant.Justify {
		if v := c.unjustified(); v != nil {
			return deny(v.rule, fmt.Sprintf("%s: %s", c.Tool, v.reason), v.hint)
		}
	}
	args, v := e.tool.checkArguments(c.Arguments)
	if v != nil {
		return deny(v.rule, fmt.Sprintf("%s: %s", c.Tool, v.reason), v.hint)
	}
	f := e.grant.judge(args)
	if f.Verdict != argument.Pass && f.Verdict != argument.Hold {
		return deny(f.Rule, fmt.Sprintf("%s: %s", c.Tool, f.Reason), f.Hint)
	}
	s := newSheet(e)
	s.finding(f)
	s.hints(c, args)
	s.rules(c, args)
	s.confirm(c)
	return s.decide(c.Tool)
}

// deny refuses a call for one reason alone, whatever else it has and whatever the class
// of its tool.
func deny(rule, reason, hint string) mcprun.Decision {
	return mcprun.Decision{Verdict: mcprun.Deny, Risk: mcprun.Block, Rule: rule, Reason: reason, Hint: hint,
		Score: risk.ClassBlock, Contributions: []mcprun.Contribution{{Name: rule, Points: risk.ClassBlock, Least: mcprun.Block, Why: reason}}}
}

// unknown refuses a tool that is not pinned and names the one that was meant, if
// only case and separators are different.
func (p *Policy) unknown(name mcprun.ToolName) mcprun.Decision {
	var hint string
	for _, known := range p.names() {
		if foldName(string(known)) == foldName(string(name)) {
			hint = fmt.Sprintf("did you mean %s?", known)
			break
		}
	}
	return deny(RuleUnknownTool, fmt.Sprintf("%s has no pinned tool %s", p.server, shown(string(name))), hint)
}

// checkArguments holds the arguments against the input schema and returns them
// decoded; a nil violation is no fault.
func (t *Tool) checkArguments(raw jsontext.Value) (map[string]any, *violation) {
	if len(raw) == 0 {
		raw = jsontext.Value("{}")
	}
	value, err := strictjson.Decode(raw)
	if err != nil {
		return nil, &violation{rule: RuleSchemaInvalid, reason: "the arguments are not JSON", hint: "send an object"}
	}
	args, ok := value.(map[string]any)
	if !ok {
		return nil, &violation{rule: RuleSchemaInvalid, reason: fmt.Sprintf("the arguments are %s, not an object", typeName(value)), hint: "send an object"}
	}
	return args, t.input.check(value)
}

// maxShown is how much of a caller's value a reason repeats: enough to find it,
// too little to carry a secret or a page of text into the record.
const maxShown = 64

// shown quotes at most maxShown bytes of s with every unprintable character as
// an escape.
func shown(s string) string {
	if len(s) <= maxShown {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:maxShown], ""))
}
