package gate

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// Tool is one definition made ready to judge calls. It does not change and is
// safe for concurrent use.
type Tool struct {
	Name     mcprun.ToolName
	Risk     mcprun.Risk // the stricter of what was granted and what the definition raises
	Findings []Finding   // none of them blocks

	interpreted map[string]string // arguments that something runs, and what

	granted    mcprun.Risk    // what server.yaml says
	definition map[string]any // decoded

	raised string // why Risk is above what was granted; "" if it is not
	input  *schema
	output *schema // nil: the result has no schema
}

// Compile makes a definition ready. The error names the place in the definition
// that keeps it from being judged; such a tool is to be withheld.
func Compile(def jsontext.Value, risk mcprun.Risk) (*Tool, error) {
	l := judge(def)
	if err := l.blocked(); err != nil {
		return nil, err
	}
	name, err := mcprun.ParseToolName(nameOf(def))
	if err != nil {
		return nil, err
	}
	t := &Tool{Name: name, Findings: l.found, input: l.input, output: l.output, interpreted: interpretedArguments(l.obj), granted: risk, definition: l.obj}
	t.Risk, t.raised = raise(risk, l.obj, l.found)
	return t, nil
}

// raise applies what a definition says against itself. Nothing in it can lower
// the class that the operator gave.
func raise(granted mcprun.Risk, obj map[string]any, found []Finding) (risk mcprun.Risk, why string) {
	risk = granted
	to := func(r mcprun.Risk, reason string) {
		if s := mcprun.Stricter(risk, r); s != risk {
			risk, why = s, reason
		}
	}
	for _, f := range found {
		switch f.Severity {
		case High:
			to(mcprun.High, f.Rule)
		case Note:
			to(mcprun.Medium, f.Rule)
		}
	}
	if reads, said := hint(obj, "readOnlyHint"); said && !reads {
		to(mcprun.Medium, "the server says it does not only read")
	}
	if destroys, _ := hint(obj, "destructiveHint"); destroys {
		to(mcprun.Medium, "the server says it may destroy")
	}
	return risk, why
}

// CheckResult holds a CallToolResult against the output schema. It does not
// judge what the result says; a result that reports an error needs no content
// of that form.
func (t *Tool) CheckResult(result jsontext.Value) error {
	if result.Kind() != jsontext.KindBeginObject {
		return fmt.Errorf("the result of %s is %s, not an object", t.Name, kindName(result))
	}
	failed := strictjson.Member(result, "isError")
	if k := failed.Kind(); failed != nil && k != jsontext.KindTrue && k != jsontext.KindFalse {
		return fmt.Errorf("the result of %s has an isError that is %s", t.Name, kindName(failed))
	}
	if t.output == nil || failed.Kind() == jsontext.KindTrue {
		return nil
	}
	raw := strictjson.Member(result, "structuredContent")
	if raw == nil {
		return fmt.Errorf("the result of %s has no structuredContent, which its output schema demands", t.Name)
	}
	content, err := strictjson.Decode(raw)
	if err != nil {
		return fmt.Errorf("reading the result of %s: %w", t.Name, err)
	}
	if bad := t.output.check(content); bad != nil {
		return fmt.Errorf("the structuredContent of %s breaks its output schema: %s", t.Name, bad.reason)
	}
	return nil
}
