package gate

import (
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	wordchecks "github.com/mcprun/mcprun/gate/argument/words"
)

// A check whose argument is misspelled guarded nothing, and nobody was told: an example
// of our own checked "files" where git_add takes "paths". Such a tool is withheld, with
// the names that there are.
func TestChecksFitTheSchema(t *testing.T) {
	const schema = `{"type":"object","properties":{"path":{"type":"string"},"paths":{"type":"array","items":{"type":"string"}},
		"author":{"type":"object","properties":{"name":{"type":"string"}},"additionalProperties":false},
		"edits":{"type":"array","items":{"type":"object","properties":{"path":{}},"additionalProperties":false}},
		"either":{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]},
		"free":{"type":"object"},"a/b":{}},"patternProperties":{"^x-":{}}}`
	for at, fits := range map[string]bool{
		"path": true, "/paths/*": true, "paths": true, "*": true, "/author/name": true, "/edits/*/path": true, "/edits/0/path": true, "/either/*": true, "/free/anything": true,
		"/a~1b": true, "x-ray": true, "/*/path": true,
		"file": false, "/files/*": false, "Path": false, "path ": false, "/author/mail": false, "/edits/*/file": false, "a~1b": false,
	} {
		p, err := argument.ParsePointer(at)
		if err != nil {
			t.Fatal(err)
		}
		policy, problems := NewPolicy("test", pinsOf(t, schema), map[mcprun.ToolName]Grant{"t": {Risk: mcprun.Low, Arguments: []argument.Attached{{At: p, Check: wordchecks.Enum{"a"}}}}})
		d := policy.Decide(Call{Server: "test", Tool: "t", Arguments: []byte(`{"path":"a"}`)})
		switch {
		case fits && (len(problems) > 0 || d.Rule == RuleWithheld):
			t.Errorf("%s: %v, %+v", at, problems, d)
		case !fits && (len(problems) != 1 || d.Verdict != mcprun.Deny || d.Rule != RuleWithheld || !strings.Contains(d.Reason, "which its schema does not have") || !strings.Contains(d.Hint, "it has ")):
			t.Errorf("%s: %v, %+v", at, problems, d)
		}
	}
}
