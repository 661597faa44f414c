package gate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/manifest"
)

// Grant is what server.yaml says of one tool. The zero Grant blocks it.
type Grant struct {
	Risk      mcprun.Risk
	Justify   bool             // a call has to say what it is for
	Confirm   bool             // the person at the client is asked
	Preview   []manifest.Fixed // what makes a call a dry run; nil: nothing does
	Arguments []argument.Attached
	Rules     []when.Rule

	Untrusted, Private, Sends manifest.Said
	around                    surroundings

	least    mcprun.Risk // what the operator's ceilings demand, where demanded says why
	demanded string
	behind   string // why the server may have no tool of class high; "" if it may
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
