package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

var update = flag.Bool("update", false, "write what the examples of docs/policy.md print anew")

// example is one by which docs/policy.md teaches: the real server whose tools it is
// about, and the files that its cases need besides.
type example struct{ name, server, beside string }

var examples = []example{
	{"editor", "filesystem", ""}, {"repository", "git-cyan", ""}, {"database", "dbhub", ""}, {"reader", "fetch-ts", " editor.yaml"}, {"tracker", "github", ""},
}

const policyGuide = "../../docs/policy.md"

// Each example of docs/policy.md is a whole file, as it stands there; the answers that
// stand below it are what mcprun policy test prints of its cases, all of which come out
// as they should, each of the three answers among them.
func TestExamplesOfThePolicyGuide(t *testing.T) {
	guide, err := filepath.Abs(policyGuide)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	want := doc
	for _, one := range examples {
		yaml, printed := runExample(t, one.name, one.beside)
		for _, word := range []string{"allowed  ", "held     ", "refused  "} {
			if !strings.Contains("\n"+printed, "\n"+word) {
				t.Errorf("%s shows no call that is %s", one.name, word)
			}
		}
		block := fmt.Sprintf("```yaml\n%s```\n\n```console\n$ mcprun policy test -v --cases %[2]s.jsonl %[2]s.yaml%[3]s\n%[4]s```\n", yaml, one.name, one.beside, printed)
		before, rest, ok := strings.Cut(want, "<!-- "+one.name+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- end of "+one.name+" -->\n")
		if !ok || !ok2 {
			t.Fatalf("docs/policy.md has no marks for %s", one.name)
		}
		want = before + "<!-- " + one.name + " -->\n" + block + "<!-- end of " + one.name + " -->\n" + after
	}
	switch {
	case *update && want != doc:
		if err := os.WriteFile(guide, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	case want != doc:
		t.Error("docs/policy.md does not show the examples as they are, or what is printed of them; -update rewrites it")
	}
}

// runExample runs the cases of an example as a user would, beside pins of real servers.
func runExample(t *testing.T, name, beside string) (yaml, printed string) {
	t.Helper()
	dir := t.TempDir()
	cases, err := os.ReadFile(filepath.Join("../../docs/policies/examples", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), cases, 0o666); err != nil {
		t.Fatal(err)
	}
	args := []string{"policy", "test", "-v", "--cases", filepath.Join(dir, name+".jsonl")}
	for file := range strings.FieldsSeq(name + ".yaml" + beside) {
		text := place(t, dir, file)
		if yaml == "" {
			yaml = text
		}
		args = append(args, filepath.Join(dir, file))
	}
	var out, errs bytes.Buffer
	if code := (&App{Out: &out, Err: &errs}).Main(args); code != 0 || errs.Len() > 0 {
		t.Errorf("%s: code %d\n%s%s", name, code, &out, &errs)
	}
	printed, _, ok := strings.Cut(out.String(), "expected  blocked")
	if !ok {
		t.Errorf("%s: there is no matrix:\n%s", name, &out)
	}
	return yaml, strings.TrimRight(printed, " ")
}

// place writes an example and the pins of its server into a folder.
func place(t *testing.T, dir, file string) (yaml string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../docs/policies/examples", file))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Parse(file, raw)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(examples, func(e example) bool { return e.name == string(m.Name) })
	pins := pinsOf(t, m, examples[at].server)
	for tool := range m.Tools {
		if _, ok := pins.Tool(tool); !ok {
			t.Errorf("%s grants %s, which its server does not have", file, tool)
		}
	}
	text, err := lock.Marshal(pins)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	if err := errors.Join(os.WriteFile(path, raw, 0o666), os.WriteFile(lockPath(path), text, 0o666)); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// pinsOf is a lock file with what a real server answered to tools/list.
func pinsOf(t *testing.T, m *manifest.Server, server string) *lock.File {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../gate/starter/testdata", server+".tools.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Info  json.RawMessage
		Tools []json.RawMessage
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	f := &lock.File{Version: lock.Version, Server: m.Name, Image: digest, Profile: m.Profile, ProfileDigest: digest, Protocol: "2025-11-25", ServerInfo: jsontext.Value(answer.Info), Capabilities: jsontext.Value(`{"tools":{}}`)}
	for _, def := range answer.Tools {
		tool, err := lock.NewTool(jsontext.Value(def))
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
