package gate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/when"
)

// Grant is what server.yaml says of one tool. The zero Grant blocks it.
type Grant struct {
	Risk      mcprun.Risk
	Arguments []argument.Attached
	Rules     []when.Rule
}

// maxValues bounds how many values one check is given: more are generated, and a
// tool that takes them is used for something else than it was granted for.
const maxValues = 4096

// judge holds the arguments against the grant's checks and returns the worst that
// was found; the first of several that are alike.
func (g Grant) judge(args map[string]any) argument.Finding {
	worst := argument.Passed
	for _, a := range g.Arguments {
		for _, v := range a.At.Values(args) {
			left := maxValues
			f := judgeValue(a.Check, v, &left)
			if f.Verdict != argument.Pass {
				f.Reason = fmt.Sprintf("argument %s: %s", shown(a.At.String()), f.Reason)
			}
			worst = argument.Worse(worst, f)
		}
	}
	return worst
}

// judgeValue judges each text in a value. A check is for text; a number or a truth
// value is judged as it is written, since a tool that expects text takes it so.
func judgeValue(c argument.Check, v any, left *int) argument.Finding {
	if *left--; *left < 0 {
		return argument.Finding{Rule: "argument.many", Reason: fmt.Sprintf("holds more than %d values", maxValues)}
	}
	switch v := v.(type) {
	case nil:
		return argument.Passed // as if it were not there
	case string:
		return c.Judge(v)
	case json.Number:
		return c.Judge(string(v))
	case bool:
		return c.Judge(fmt.Sprint(v))
	case []any:
		if list, ok := c.(argument.ListCheck); ok {
			if words, ok := allText(v); ok {
				return list.JudgeArgs(words)
			}
		}
		worst := argument.Passed
		for _, item := range v {
			worst = argument.Worse(worst, judgeValue(c, item, left))
		}
		return worst
	case map[string]any:
		worst := argument.Passed
		for _, name := range slices.Sorted(maps.Keys(v)) {
			worst = argument.Worse(worst, judgeValue(c, v[name], left))
		}
		return worst
	}
	return argument.Finding{Rule: "argument.type", Reason: "is of a kind that cannot be judged"}
}

func allText(list []any) ([]string, bool) {
	out := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, false
		}
		out[i] = s
	}
	return out, true
}

// apply makes a decision stricter by the rules whose conditions hold.
func (g Grant) apply(d mcprun.Decision, c Call, args map[string]any) mcprun.Decision {
	if len(g.Rules) == 0 {
		return d
	}
	subject := when.Input{Args: args, Tool: string(c.Tool), Server: string(c.Server), Principal: string(c.Principal), Session: c.Session, Now: c.Now, Recent: c.Recent}.Ready()
	for _, r := range g.Rules {
		if r.Risk >= d.Risk {
			continue // it could change nothing
		}
		holds, err := r.When.Holds(subject)
		if !holds {
			continue
		}
		reason := r.Reason
		if err != nil {
			reason = fmt.Sprintf("%s (the condition %s could not be judged: %v)", reason, shown(r.When.String()), err)
		}
		d = stricter(d, c.Tool, r.Risk, RuleCondition, reason, r.Hint)
	}
	return d
}

// stricter returns the decision for a class that something about the call demands.
func stricter(d mcprun.Decision, tool mcprun.ToolName, risk mcprun.Risk, rule, reason, hint string) mcprun.Decision {
	switch risk {
	case mcprun.Block:
		return deny(mcprun.Block, rule, fmt.Sprintf("%s: %s", tool, reason), hint)
	case mcprun.High:
		reason = fmt.Sprintf("%s: a human must approve it: %s", tool, reason)
		return mcprun.Decision{Verdict: mcprun.Hold, Risk: mcprun.High, Rule: rule, Reason: reason, Hint: hint}
	}
	d.Risk, d.Rule, d.Reason, d.Hint = risk, rule, reason, hint
	return d
}
