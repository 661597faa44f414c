package gate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
)

// testCase is one line of testdata/*.jsonl.
type testCase struct {
	ID          string          `json:"id"`
	Server      string          `json:"server"`
	Category    string          `json:"category"`
	Name        string          `json:"tool_name"`
	Description string          `json:"tool_description"`
	Input       json.RawMessage `json:"input_schema"`
	Output      json.RawMessage `json:"outputSchema"`
	Meta        json.RawMessage `json:"_meta"`
	Annotations json.RawMessage `json:"annotations"`
	Arguments   json.RawMessage `json:"arguments"`
	Baseline    *testCase       `json:"baseline"`
	Expected    string          `json:"expected"`
	Note        string          `json:"note"`
}

func readCases(t testing.TB, file string) []testCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var out []testCase
	s := bufio.NewScanner(bytes.NewReader(raw))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var c testCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return out
}

// definition puts a case together as a server would send it.
func (c testCase) definition(t testing.TB) jsontext.Value {
	t.Helper()
	m := map[string]any{"name": c.Name, "description": c.Description, "inputSchema": c.Input}
	for key, v := range map[string]json.RawMessage{"annotations": c.Annotations, "outputSchema": c.Output, "_meta": c.Meta} {
		if v != nil && string(v) != "null" {
			m[key] = v
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// worst is the severity that decides, and false if nothing was found.
func worst(found []Finding) (Severity, bool) {
	if len(found) == 0 {
		return 0, false
	}
	return found[0].Severity, true // sorted
}

// The labelled definitions: block by a finding or by the pin, approve by High,
// allow by neither.
func TestMetadataCases(t *testing.T) {
	for _, c := range readCases(t, "metadata.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			def := c.definition(t)
			found := Lint(def)
			severity, any := worst(found)
			var changed []lock.Change
			if c.Baseline != nil {
				changed = lock.Compare(pinned(t, c.Baseline.definition(t)), pinned(t, def))
			}
			got := "allow"
			switch {
			case any && severity == Block, len(changed) > 0:
				got = "block"
			case any && severity == High:
				got = "approve"
			}
			if got != c.Expected {
				t.Errorf("%s (%s): %s, want %s; found %v", c.Category, c.Note, got, c.Expected, found)
			}
		})
	}
}

// pinned builds a lock file of definitions.
func pinned(t testing.TB, defs ...jsontext.Value) *lock.File {
	t.Helper()
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	f := &lock.File{Server: "test", Image: digest, Profile: "node", ProfileDigest: digest, Protocol: "2025-11-25",
		ServerInfo: jsontext.Value(`{}`), Capabilities: jsontext.Value(`{}`)}
	for _, def := range defs {
		tool, err := lock.NewTool(def)
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, tool)
	}
	if err := f.Seal(); err != nil {
		t.Fatal(err)
	}
	return f
}

// Real definitions compile with nothing but notes, their benign arguments pass,
// and the arguments that are labelled as breaking the schema do not.
func TestRealServers(t *testing.T) {
	schemaRules := map[string]string{"schema_violation": RuleSchemaInvalid, "undeclared_argument": RuleUndeclared}
	for _, file := range []string{"real_servers.jsonl", "benign_real_servers.jsonl"} {
		for _, c := range readCases(t, file) {
			t.Run(c.ID, func(t *testing.T) {
				tool, err := Compile(c.definition(t), mcprun.Low)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range tool.Findings {
					if f.Severity < Note {
						t.Errorf("finding on a real tool: %v", f)
					}
				}
				args, err := strictjson.Parse(jsontext.Value(c.Arguments), strictjson.Request)
				if err != nil {
					t.Fatal(err)
				}
				_, v := tool.checkArguments(args)
				want, breaks := schemaRules[c.Category]
				switch {
				case c.Expected != "block" && v != nil:
					t.Errorf("arguments %.200s refused: %+v", args, *v)
				case breaks && (v == nil || v.rule != want && v.rule != RuleUndeclared):
					t.Errorf("arguments %.200s: %+v, want %s (%s)", args, v, want, c.Note)
				}
			})
		}
	}
}
