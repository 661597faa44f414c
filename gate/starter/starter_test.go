package starter

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pinned reads what one real server answered to tools/list.
func pinned(t testing.TB, server *manifest.Server, name string) *lock.File {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Info  json.RawMessage   `json:"info"`
		Tools []json.RawMessage `json:"tools"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	f := &lock.File{Version: lock.Version, Server: server.Name, ServerInfo: jsontext.Value(answer.Info)}
	for _, def := range answer.Tools {
		tool, err := lock.NewTool(jsontext.Value(def))
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, tool)
	}
	return f
}

// The proposal for every real server is what a person looked at, is a valid
// server.yaml that says the same as the value it was made from, and hands out every
// tool with at least the class that its name has.
func TestRealServers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.tools.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("only %d servers found: %v", len(files), err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".tools.json")
		t.Run(filepath.Base(base), func(t *testing.T) {
			head, err := os.ReadFile(base + ".head.yaml")
			if err != nil {
				t.Fatal(err)
			}
			bare, err := manifest.Parse("server.yaml", head)
			if err != nil {
				t.Fatal(err)
			}
			pins := pinned(t, bare, file)
			p := Propose(bare, pins)
			got := string(head) + p.Section()
			golden := base + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what is proposed; look at the difference after go test -update", golden)
			}
			whole, err := manifest.Parse("server.yaml", []byte(got))
			if err != nil {
				t.Fatalf("what is proposed is no server.yaml: %v", err)
			}
			same := *bare
			same.Tools = p.Grants()
			if changed := manifest.Changed(whole, &same); len(changed) > 0 {
				t.Errorf("the text says something else than the value: %v", changed)
			}
			policy, problems := gate.NewPolicy(whole.Name, pins, gate.Grants(whole))
			if len(problems) > 0 {
				t.Errorf("check would complain: %v", problems)
			}
			for _, tool := range p.Tools {
				if _, listed := policy.Tool(tool.Name); tool.Withheld == "" && !listed {
					t.Errorf("%s is proposed and not handed out", tool.Name)
				}
			}
		})
	}
}

func propose(t testing.TB, head string, defs ...string) (*manifest.Server, Proposal) {
	t.Helper()
	s, err := manifest.Parse("server.yaml", []byte("version: 1\nname: a\nimage: ./a.oci.tar\n"+head))
	if err != nil {
		t.Fatal(err)
	}
	f := &lock.File{Version: lock.Version, Server: s.Name, ServerInfo: jsontext.Value(`{"name":"a","version":"1"}`)}
	for _, def := range defs {
		tool, err := lock.NewTool(jsontext.Value(def))
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, tool)
	}
	return s, Propose(s, f)
}

// What a server writes stays in its comment: a name of an argument that holds a line
// break, a bracket or a quote says nothing of its own in the file.
func TestWordsOfAServerStayWords(t *testing.T) {
	names := []string{"path\\n  other: {risk: low}", "url # x", "file\\\"}, risk: low", "*", "", "/", "~", "a: b", "branch\\u202e", "\\u2028path"}
	for _, name := range names {
		def := `{"name":"get_git_thing","description":"d","inputSchema":{"type":"object","properties":{"` + name + `":{"type":"string","format":"uri"},"force":{"type":"boolean"}}}}`
		_, p := propose(t, "", def, `{"name":"fine","inputSchema":{"type":"object"}}`)
		got, err := manifest.Parse("server.yaml", []byte("version: 1\nname: a\nimage: ./a.oci.tar\n"+p.Section()))
		if err != nil {
			t.Errorf("%q: %v\n%s", name, err, p.Section())
			continue
		}
		for tool := range got.Tools {
			if tool != "get_git_thing" && tool != "fine" {
				t.Errorf("%q made the tool %s", name, tool)
			}
		}
	}
}

// A server's own hints never make a proposal milder than its tool's name.
func TestHintsLowerNothing(t *testing.T) {
	for _, name := range []string{"delete_user", "send_mail", "run_shell", "frobnicate", "get_secrets"} {
		plain := `{"name":"` + name + `","inputSchema":{"type":"object"}`
		_, without := propose(t, "", plain+`}`)
		_, with := propose(t, "", plain+`,"annotations":{"readOnlyHint":true,"destructiveHint":false,"openWorldHint":false}}`)
		if name != "frobnicate" && with.Tools[0].Risk > without.Tools[0].Risk {
			t.Errorf("%s: %s with hints, %s without", name, with.Tools[0].Risk, without.Tools[0].Risk)
		}
		if with.Tools[0].Risk > mcprun.Medium {
			t.Errorf("%s is %s because its server says so", name, with.Tools[0].Risk)
		}
	}
}

// What the gate withholds is not proposed, with the reason where it would stand.
func TestWithheldIsLeftOut(t *testing.T) {
	_, p := propose(t, "", `{"name":"add","description":"adds‮","inputSchema":{"type":"object"}}`, `{"name":"read","inputSchema":{"type":"object"}}`)
	if _, there := p.Grants()["add"]; there || !strings.Contains(p.Section(), "# add is left out: ") || len(p.Grants()) != 1 {
		t.Errorf("%s", p.Section())
	}
}

// A tool of a remote service that is told something sends it there, whatever mild
// word stands in its name; the same tool on a local folder does not.
func TestWritingToAHostIsSending(t *testing.T) {
	def := `{"name":"create_entry","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}`
	_, remote := propose(t, "egress: [{host: api.example.com}]\n", def)
	_, local := propose(t, "files: [{from: ./w, to: /w, access: write}]\n", def)
	if remote.Tools[0].Risk != mcprun.High || local.Tools[0].Risk != mcprun.Medium {
		t.Errorf("remote %s, local %s", remote.Tools[0].Risk, local.Tools[0].Risk)
	}
}

// A table's name and the names in a condition go into SQL as they are; values do not.
// The story: create_record and its kin of a published SQLite server paste both.
func TestNamesThatAreSQL(t *testing.T) {
	s, p := propose(t, "command: [node, /app/index.js, /data/shop.sqlite]\nfiles: [{from: ./data, to: /data}]\n",
		`{"name":"read_records","inputSchema":{"type":"object","properties":{"table":{"type":"string"},"conditions":{"type":"object","additionalProperties":{"type":"string"}}}}}`)
	whole := *s
	whole.Tools = p.Grants()
	policy, _ := gate.NewPolicy(s.Name, &lock.File{Server: s.Name, Tools: []lock.Tool{mustTool(t, `{"name":"read_records","inputSchema":{"type":"object","properties":{"table":{"type":"string"},"conditions":{"type":"object","additionalProperties":{"type":"string"}}}}}`)}}, gate.Grants(&whole))
	for args, want := range map[string]mcprun.Verdict{
		`{"table":"orders","conditions":{"customer name":"x' OR 1=1"}}`: mcprun.Allow,
		`{"table":"orders; DROP TABLE orders"}`:                         mcprun.Deny,
		`{"table":"orders","conditions":{"1=1 OR id":"x"}}`:             mcprun.Deny,
	} {
		if d := policy.Decide(gate.Call{Server: s.Name, Tool: "read_records", Arguments: jsontext.Value(args)}); d.Verdict != want {
			t.Errorf("%s: %s by %s (%s), want %s", args, d.Verdict, d.Rule, d.Reason, want)
		}
	}
}

func mustTool(t testing.TB, def string) lock.Tool {
	t.Helper()
	tool, err := lock.NewTool(jsontext.Value(def))
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// A proposal for any definition is a section that can be read back as it was meant.
func FuzzPropose(f *testing.F) {
	f.Add(`{"name":"x","description":"SQL","inputSchema":{"type":"object","properties":{"sql":{"type":"string"},"a":{"anyOf":[{"$ref":"#/properties/a"},{"type":"array","items":{"type":"string"}}]}}}}`)
	f.Add(`{"name":"git_x","inputSchema":{"properties":{"force":{"type":"boolean"},"mode":{"type":"string","enum":["delete","a'\"\u0000"]},"path":{"default":"."}}}}`)
	head := "version: 1\nname: a\nimage: ./sqlite.oci.tar\nfiles: [{from: ./w, to: /w, access: write}]\negress: [{host: \"*.example.com\"}]\n"
	bare, err := manifest.Parse("server.yaml", []byte(head))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, def string) {
		tool, err := lock.NewTool(jsontext.Value(def))
		if err != nil {
			return
		}
		p := Propose(bare, &lock.File{Server: bare.Name, Tools: []lock.Tool{tool}})
		whole, err := manifest.Parse("server.yaml", []byte(head+p.Section()))
		if err != nil {
			t.Fatalf("%v\n%s", err, p.Section())
		}
		same := *bare
		same.Tools = p.Grants()
		if changed := manifest.Changed(whole, &same); len(changed) > 0 {
			t.Fatalf("the text says something else: %s", p.Section())
		}
	})
}
