package gate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/command"
	"github.com/mcprun/mcprun/gate/argument/sql"
	wordchecks "github.com/mcprun/mcprun/gate/argument/words"
)

// interpreted are the words that name what a shell, a database or an engine of code
// runs. Those that name other things as well need a word in the description.
var interpreted = map[string]struct {
	kind  string
	needs *regexp.Regexp
}{
	"command": {"a shell command", nil}, "cmd": {"a shell command", nil}, "commands": {"a shell command", nil}, "shell": {"a shell command", nil},
	"bash": {"a shell command", nil}, "script": {"a script", nil}, "sql": {"SQL", nil},
	"query":      {"SQL", regexp.MustCompile(`(?i)\bsql\b|\bselect\b.*\bfrom\b`)},
	"statement":  {"SQL", regexp.MustCompile(`(?i)\bsql\b`)},
	"code":       {"code", regexp.MustCompile(`(?i)\b(javascript|typescript|python|ruby|lua|execut\w*|evaluat\w*|to run)\b`)},
	"function":   {"code", regexp.MustCompile(`(?i)\b(javascript|\(\) *=>)`)},
	"expression": {"code", regexp.MustCompile(`(?i)\b(javascript|python|evaluat\w*)\b`)},
}

// Interpreted names the arguments of a definition that look as if something ran them,
// with what: "a shell command", "a script", "SQL", "code".
func Interpreted(def jsontext.Value) map[string]string {
	return interpretedArguments(judge(def).obj)
}

// interpretedArguments finds the arguments of a definition that look as if something
// ran them, with what.
func interpretedArguments(def map[string]any) map[string]string {
	schema, _ := def["inputSchema"].(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	out := map[string]string{}
	for name, v := range properties {
		property, _ := v.(map[string]any)
		switch property["type"] {
		case "boolean", "integer", "number", "object":
			continue
		}
		said, _ := property["description"].(string)
		about, _ := def["description"].(string)
		parts := words(name)
		if len(parts) == 0 {
			continue
		}
		// The last word is what it is: a commandTimeout is a timeout.
		i, ok := interpreted[parts[len(parts)-1]]
		if ok && (i.needs == nil || i.needs.MatchString(said) || i.needs.MatchString(about) || slices.Contains(parts, "sql")) {
			out[name] = i.kind
		}
	}
	return out
}

// unjudged says which argument something runs without a check that knows what it
// says; "" if there is none.
func (g Grant) unjudged(interpreted map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(interpreted)) {
		if !slices.ContainsFunc(g.Arguments, func(a argument.Attached) bool { return a.At.Covers(name) && understands(a.Check) }) {
			return fmt.Sprintf("its argument %s looks like %s, and no check is tied to it", name, interpreted[name])
		}
	}
	return ""
}

// understands reports whether a check knows what a shell, a database or an engine
// makes of a text, or leaves it no choice.
func understands(c argument.Check) bool {
	switch c.(type) {
	case command.Spec, sql.Spec, wordchecks.Enum, wordchecks.Pattern, argument.Unchecked:
		return true
	}
	return false
}
