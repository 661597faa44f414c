package manifest_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/manifest"
)

const docs = "../docs/server-yaml.md"

// TestDocs keeps the tables of the reference what the schema says; -update
// rewrites them.
func TestDocs(t *testing.T) {
	text := string(read(t, docs))
	want := replaceBetween(t, text, "keys", keyTable())
	want = replaceBetween(t, want, "later", laterTable())
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Errorf("the tables of %s are not those of the schema; -update rewrites them", docs)
	}
}

func replaceBetween(t *testing.T, text, name, table string) string {
	t.Helper()
	start, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, ok := strings.Cut(text, start)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no marks for the table of %s", docs, name)
	}
	return before + start + table + end + after
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | type | default | bounds | why |\n|---|---|---|---|---|\n")
	for _, k := range manifest.Schema() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, k.Type, k.Default, k.Bounds, k.Reason)
	}
	return b.String()
}

func laterTable() string {
	var b strings.Builder
	b.WriteString("| key | until then |\n|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(manifest.Later())) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", path, manifest.Later()[path])
	}
	return b.String()
}

// TestDocsExample: the example at the top is taken as it stands.
func TestDocsExample(t *testing.T) {
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(read(t, docs))
	if m == nil {
		t.Fatal("no example")
	}
	if _, err := manifest.Parse("example", m[1]); err != nil {
		t.Error(err)
	}
}

// TestSchemaIsComplete: each key has a type, a default and a reason, and each is
// read: leaving it out of the schema would refuse the complete example.
func TestSchemaIsComplete(t *testing.T) {
	complete := string(read(t, "testdata/ok-complete.yaml"))
	for _, k := range manifest.Schema() {
		if k.Type == "" || k.Default == "" || k.Reason == "" {
			t.Errorf("%+v says too little", k)
		}
		name := k.Path[strings.LastIndex(k.Path, ".")+1:]
		if !strings.Contains(complete, name+":") {
			t.Errorf("testdata/ok-complete.yaml does not use %s", k.Path)
		}
	}
}

// TestGuides: every piece of a server.yaml that a guide shows is taken as it stands.
func TestGuides(t *testing.T) {
	const inspected = "egress: [{host: api.example.com, inspect: true, methods: [GET, POST], paths: [\"/**\"]}]\n"
	for guide, least := range map[string]int{"egress.md": 4, "credentials.md": 3, "policy.md": 4} {
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(read(t, "../docs/"+guide), -1)
		if len(blocks) < least {
			t.Errorf("%s: only %d examples found: the test sees too little", guide, len(blocks))
		}
		for _, b := range blocks {
			text := header + string(b[1])
			if !strings.Contains("\n"+text, "\ntools:") {
				text += "tools: {create_issue: {risk: low}}\n"
			}
			if !strings.Contains(text, "\negress:") {
				text += inspected
			}
			if _, err := manifest.Parse(guide, []byte(text)); err != nil {
				t.Errorf("%v\nin\n%s", err, text)
			}
		}
	}
}
