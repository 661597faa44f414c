package gate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// Severity says what a finding does. The zero value blocks.
type Severity uint8

const (
	Block Severity = iota // the tool is withheld
	High                  // the tool's risk is at least high
	Note                  // a low risk becomes medium
)

func (s Severity) String() string {
	switch s {
	case High:
		return "high"
	case Note:
		return "note"
	}
	return "block"
}

// Finding is one thing that is wrong with a definition.
type Finding struct {
	Tool     string           // the name as the definition has it, made visible
	Rule     string           // one of the Lint constants
	Path     jsontext.Pointer // where in the definition
	Reason   string
	Severity Severity
}

func (f Finding) String() string {
	return fmt.Sprintf("%s %s at %q: %s", f.Severity, f.Rule, string(f.Path), f.Reason)
}

// maxDefinitionDepth leaves room for what a definition is wrapped in, on the
// wire and in server.lock, within strictjson's bound.
const maxDefinitionDepth = strictjson.MaxDepth - 4

// maxDefinitionValues bounds the JSON values of one definition. The largest real
// one has under 2000; compiling takes quadratic time in this number.
const maxDefinitionValues = 10_000

// maxDefinitionSize bounds the bytes of one definition. The largest real one has
// under 32 KiB; the phrase search takes the longest, under a second for this.
const maxDefinitionSize = 256 << 10

// Lint judges one tool definition by itself. Nothing in the list means nothing
// was found, not that the tool is harmless.
func Lint(def jsontext.Value) []Finding {
	return judge(def).found
}

// judge lints a definition and keeps what it decoded and compiled on the way.
func judge(def jsontext.Value) *linter {
	l := new(linter)
	l.definition(def)
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rule, b.Rule))
	})
	return l
}

// LintAll judges the definitions of one server, each by itself and their names
// against each other.
func LintAll(defs []jsontext.Value) []Finding {
	var out []Finding
	var names []string
	for _, def := range defs {
		out = append(out, Lint(def)...)
		names = append(names, nameOf(def))
	}
	return append(out, confusable(names)...)
}

// nameOf returns the name of a definition, "" if it has none.
func nameOf(def jsontext.Value) string {
	var d struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(def, &d) != nil {
		return ""
	}
	return d.Name
}

// blocking returns the first finding that withholds a tool.
func blocking(found []Finding) (Finding, bool) {
	i := slices.IndexFunc(found, func(f Finding) bool { return f.Severity == Block })
	if i < 0 {
		return Finding{}, false
	}
	return found[i], true
}

// linter collects the findings of one definition.
type linter struct {
	tool   string
	found  []Finding
	obj    map[string]any // nil if it is not an object of fit size
	input  *schema        // nil if it is unfit
	output *schema        // nil if there is none, or unfit
}

// blocked returns why the tool is to be withheld, if it is.
func (l *linter) blocked() error {
	f, ok := blocking(l.found)
	if !ok {
		return nil
	}
	return fmt.Errorf("%s at %q: %s", f.Rule, string(f.Path), f.Reason)
}

func (l *linter) add(severity Severity, rule string, path jsontext.Pointer, format string, args ...any) {
	l.found = append(l.found, Finding{Tool: l.tool, Rule: rule, Path: path, Reason: fmt.Sprintf(format, args...), Severity: severity})
}

func (l *linter) definition(def jsontext.Value) {
	if len(def) > maxDefinitionSize {
		l.add(Block, LintJSON, "", "%d bytes; at most %d", len(def), maxDefinitionSize)
		return
	}
	clean, err := strictjson.Parse(def, strictjson.Data)
	if err != nil {
		l.add(Block, LintJSON, "", "%v", err)
		return
	}
	value, err := strictjson.Decode(clean)
	if err != nil {
		l.add(Block, LintJSON, "", "%v", err)
		return
	}
	obj, ok := value.(map[string]any)
	if !ok {
		l.add(Block, LintShape, "", "a definition is %s, not an object", typeName(value))
		return
	}
	size := measure(value)
	switch {
	case size.fault != nil:
		l.add(Block, LintJSON, "", "%v", size.fault)
		return
	case size.depth > maxDefinitionDepth:
		l.add(Block, LintJSON, "", "nested %d deep; at most %d", size.depth, maxDefinitionDepth)
		return
	case size.values > maxDefinitionValues:
		l.add(Block, LintJSON, "", "%d JSON values; at most %d", size.values, maxDefinitionValues)
		return
	}
	l.obj = obj
	l.shape(obj)
	l.texts("", value)
	l.inputSchema(obj)
	l.outputSchema(obj)
}

// shape checks the fields that clients read and this gate relies on.
func (l *linter) shape(obj map[string]any) {
	if name, ok := obj["name"].(string); !ok {
		l.add(Block, LintName, "/name", "the name is missing or no string")
	} else if _, err := mcprun.ParseToolName(name); err != nil {
		l.tool = visible(name)
		l.add(Block, LintName, "/name", "%v", err)
	} else {
		l.tool = name
	}
	for _, key := range []string{"title", "description"} {
		if v, ok := obj[key]; ok {
			if _, ok := v.(string); !ok {
				l.add(Block, LintShape, jsontext.Pointer("/"+key), "is %s, not a string", typeName(v))
			}
		}
	}
	l.annotations(obj)
}

// hints are the annotations that carry a risk; the specification has them boolean.
var hints = [...]string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}

// annotations refuses hints that one reader takes for true and another for
// absent, such as the string "false".
func (l *linter) annotations(obj map[string]any) {
	v, ok := obj["annotations"]
	if !ok || v == nil {
		return
	}
	notes, ok := v.(map[string]any)
	if !ok {
		l.add(Block, LintShape, "/annotations", "is %s, not an object", typeName(v))
		return
	}
	for _, key := range hints {
		if v, ok := notes[key]; ok {
			if _, ok := v.(bool); !ok {
				l.add(Block, LintShape, jsontext.Pointer("/annotations/"+key), "is %s, not a boolean", typeName(v))
			}
		}
	}
}

// hint reads one annotation; said is false if the server did not give it.
func hint(obj map[string]any, key string) (value, said bool) {
	notes, _ := obj["annotations"].(map[string]any)
	value, said = notes[key].(bool)
	return value, said
}

// texts judges every string and every key of the definition.
func (l *linter) texts(at jsontext.Pointer, v any) {
	switch v := v.(type) {
	case string:
		l.text(at, v)
	case []any:
		for i, item := range v {
			l.texts(at.AppendToken(fmt.Sprint(i)), item)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			below := at.AppendToken(key)
			l.key(below, key)
			l.texts(below, v[key])
		}
	}
}

func (l *linter) text(at jsontext.Pointer, s string) {
	if why := hiddenText(s); why != "" {
		l.add(Block, LintText, at, "%s", why)
	}
	if why := padding(s); why != "" {
		l.add(Block, LintPadding, at, "%s", why)
	}
	if phrase := instruction(s); phrase != "" {
		l.add(Note, LintInstruction, at, "addresses the model: %s", shown(phrase))
	}
}

func (l *linter) key(at jsontext.Pointer, key string) {
	if why := hiddenText(key); why != "" {
		l.add(Block, LintText, at, "in a key: %s", why)
	}
	if why := padding(key); why != "" {
		l.add(Block, LintPadding, at, "in a key: %s", why)
	}
	if phrase := instruction(key); phrase != "" {
		l.add(Note, LintInstruction, at, "a key addresses the model: %s", shown(phrase))
	}
	if key == "__proto__" {
		// Assigning it in JavaScript changes an object's class instead of its content.
		l.add(Block, LintText, at, "the key __proto__")
	}
}
