package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/manifest"
)

// A preview is the dry run of a call that waits for a human: the same call with
// arguments by which its tool does nothing but say what it would do. That it does
// nothing is the word of who wrote server.yaml; what is seen to here is that these
// arguments are in it just so, and that it passes all that the call would have to.

// unfitPreview says why no call of a tool can be made a dry run by these arguments; ""
// if one can.
func (t *Tool) unfitPreview(list []manifest.Fixed) string {
	for _, f := range list {
		if _, ok := t.input.names.names[f.Name]; !ok {
			return fmt.Sprintf("its preview names the argument %s, which its schema does not have", shown(f.Name))
		}
		value, err := strictjson.Decode(jsontext.Value(f.Value))
		if err != nil {
			return fmt.Sprintf("its preview has no value for %s", shown(f.Name))
		}
		// Faults elsewhere, such as arguments that are missing, are those of no call.
		at := pointer([]string{f.Name})
		if v := t.input.faults(map[string]any{f.Name: value}); slices.ContainsFunc(v, func(f fault) bool { return f.at == at }) {
			return fmt.Sprintf("its preview has a value for %s that its schema refuses", shown(f.Name))
		}
	}
	return ""
}

// escaped is a name as strictjson writes it between the quotes.
func escaped(name string) string {
	quoted, _ := jsontext.AppendQuote(nil, name)
	return strings.TrimSuffix(strings.TrimPrefix(string(quoted), `"`), `"`)
}

// Preview returns the dry run of a call, judged: it is to be made if it was not denied,
// since a call that waits is what it is for. It reports whether the tool has one.
func (p *Policy) Preview(c Call) (dry Call, d mcprun.Decision, has bool) {
	e, ok := p.tools[c.Tool]
	if !ok || len(e.grant.Preview) == 0 || !e.listed() {
		return c, d, false
	}
	dry = c
	for _, f := range e.grant.Preview {
		dry.Arguments = withMember(dry.Arguments, escaped(f.Name), jsontext.Value(f.Value))
	}
	// An argument that differs from one of these in case alone could undo it for a
	// server that reads names so.
	args, err := strictjson.Parse(dry.Arguments, strictjson.Request)
	if err != nil {
		return dry, deny(RuleSchemaInvalid, fmt.Sprintf("%s: %s", c.Tool, strings.TrimSpace(err.Error())), ""), true
	}
	dry.Arguments = args
	return dry, p.Decide(dry), true
}
