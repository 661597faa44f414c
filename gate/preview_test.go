package gate

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/manifest"
)

// A dry run that no call could be is found before the first call.
func TestPreviewFitsTheSchema(t *testing.T) {
	const schema = `{"type":"object","properties":{"dryRun":{"type":"boolean"},"mode":{"anyOf":[{"const":"plan"},{"type":"number","maximum":3}]},"a\"b":{}},"required":["path"],"patternProperties":{"^x":{}}}`
	for _, row := range []struct{ name, value, why string }{
		{"dryRun", "true", ""},
		{"mode", `"plan"`, ""},
		{"mode", "2.5", ""},
		{`a"b`, "1", ""},
		{"dry_run", "true", "which its schema does not have"},
		{"dryrun", "true", "which its schema does not have"},
		{"xdry", "true", "which its schema does not have"}, // a pattern says nothing of what it means
		{"dryRun", `"true"`, "that its schema refuses"},
		{"mode", `"do"`, "that its schema refuses"},
		{"mode", "5", "that its schema refuses"},
	} {
		p, problems := NewPolicy("test", pinsOf(t, schema), map[mcprun.ToolName]Grant{"t": {Risk: mcprun.High, Preview: []manifest.Fixed{{Name: row.name, Value: row.value}}}})
		if row.why == "" && len(problems) > 0 || row.why != "" && (len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), row.why)) {
			t.Errorf("%s: %s: %v", row.name, row.value, problems)
		}
		if _, _, has := p.Preview(Call{Server: "test", Tool: "t"}); has != (row.why == "") {
			t.Errorf("%s: %s: a dry run is made: %v", row.name, row.value, has)
		}
	}
}

// The dry run of a call has the arguments that make it one, whatever the call said of
// them, and all others as they were.
func FuzzPreview(f *testing.F) {
	for _, args := range []string{`{}`, `{"a":1}`, `{"dry":false,"a\"b":{"dry":false},"z":[1]}`, `{"Dry":false}`, `{"a\"b":1,"dry":1}`} {
		f.Add(args)
	}
	p, problems := NewPolicy("test", pinsOf(f, `{"type":"object","properties":{"dry":{},"a\"b":{}},"additionalProperties":true}`),
		map[mcprun.ToolName]Grant{"t": {Risk: mcprun.High, Preview: []manifest.Fixed{{Name: `a"b`, Value: `"plan"`}, {Name: "dry", Value: "true"}}}})
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, args string) {
		plain, err := strictjson.Parse([]byte(args), strictjson.Request)
		if err != nil || plain.Kind() != jsontext.KindBeginObject {
			return
		}
		dry, d, has := p.Preview(Call{Server: "test", Tool: "t", Arguments: plain})
		if !has {
			t.Fatal("there is none")
		}
		if d.Verdict == mcprun.Deny {
			return
		}
		if d.Verdict != mcprun.Hold {
			t.Fatalf("%+v", d)
		}
		was, _ := strictjson.Decode(plain)
		now, err := strictjson.Decode(dry.Arguments)
		if err != nil {
			t.Fatalf("%s: %v", dry.Arguments, err)
		}
		want := was.(map[string]any)
		want["dry"], want[`a"b`] = true, "plan"
		raw, _ := strictjson.Canonical(dry.Arguments)
		got, err := strictjson.Decode(raw)
		if err != nil || len(now.(map[string]any)) != len(want) || got.(map[string]any)["dry"] != true || got.(map[string]any)[`a"b`] != "plan" {
			t.Fatalf("%s became %s", plain, dry.Arguments)
		}
		for name := range got.(map[string]any) {
			if strings.EqualFold(name, "dry") && name != "dry" {
				t.Fatalf("%s is beside it", name)
			}
		}
	})
}
