package manifest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/limits/detect"
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

const policyDocs = "../docs/policy-yaml.md"

// TestPolicyDocs does the same for policy.yaml, and takes its example as it stands.
func TestPolicyDocs(t *testing.T) {
	text := string(read(t, policyDocs))
	want := replaceBetween(t, text, "keys", tableOf(manifest.CeilingKeys()))
	if *update {
		if err := os.WriteFile(policyDocs, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if text != want {
		t.Errorf("the table of %s is not that of the schema; -update rewrites it", policyDocs)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no example")
	}
	if _, err := manifest.ParseCeilings("example", []byte(m[1])); err != nil {
		t.Error(err)
	}
	complete := string(read(t, "testdata/policy/ok-complete.yaml")) + string(read(t, "testdata/policy/ok-webhook.yaml"))
	for _, k := range manifest.CeilingKeys() {
		if k.Type == "" || k.Default == "" || k.Reason == "" && k.Bounds == "" {
			t.Errorf("%+v says too little", k)
		}
		if name := k.Path[strings.LastIndex(k.Path, ".")+1:]; !strings.Contains(complete, name+":") {
			t.Errorf("no complete file uses %s", k.Path)
		}
	}
}

// TestKillDocs keeps the table of what can kill by itself.
func TestKillDocs(t *testing.T) {
	const docs = "../docs/kill.md"
	var table strings.Builder
	table.WriteString("| after | what counts | kills |\n|---|---|---|\n")
	for _, d := range detect.Detections() {
		var levels []string
		for _, l := range d.Levels {
			levels = append(levels, string(l))
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", d.Name, d.About, strings.Join(levels, ", "))
	}
	text := string(read(t, docs))
	want := replaceBetween(t, text, "detections", table.String())
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if text != want {
		t.Errorf("the table of %s is not that of the code; -update rewrites it", docs)
	}
	// What is shown is taken as it stands.
	m := regexp.MustCompile("(?s)# policy.yaml, for all servers\n(.*?)```").FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no example")
	}
	if c, err := manifest.ParseCeilings("example", []byte("version: 1\n"+m[1])); err != nil || len(c.Kill) != 4 {
		t.Error(err)
	}
}

// TestDefaultCeilingsRefuseNothingPublished: without a policy.yaml every example works.
func TestDefaultCeilingsRefuseNothingPublished(t *testing.T) {
	files, err := filepath.Glob("../docs/policies/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d policies found: %v", len(files), err)
	}
	for _, file := range append(files, inputs(t, "ok-complete")...) {
		s, err := manifest.Parse(file, read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"/srv/servers", "/home/alice/servers", "/root/servers", "/etc/mcprun/servers", "/tmp/x"} {
			if v := manifest.DefaultCeilings().Check(s, dir, nil); len(v) > 0 {
				t.Errorf("%s in %s: %v", file, dir, v)
			}
		}
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

func keyTable() string { return tableOf(manifest.Schema()) }

func tableOf(keys []manifest.Key) string {
	var b strings.Builder
	b.WriteString("| key | type | default | bounds | why |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		if strings.HasPrefix(k.Reason, "as limits.") {
			continue // it is described once
		}
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

// wholeFile reads a server.yaml or a policy.yaml.
func wholeFile(t *testing.T, guide string, text []byte) {
	t.Helper()
	_, err := manifest.Parse(guide, text)
	if !strings.Contains(string(text), "\nname: ") {
		_, err = manifest.ParseCeilings(guide, text)
	}
	if err != nil {
		t.Errorf("%v\nin\n%s", err, text)
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

// TestGuides: every file, and every piece of a server.yaml, that a guide shows is taken
// as it stands.
func TestGuides(t *testing.T) {
	const inspected = "egress: [{host: api.example.com, inspect: true, methods: [GET, POST], paths: [\"/**\"]}]\n"
	for guide, least := range map[string]int{"egress.md": 4, "credentials.md": 3, "limits.md": 4, "policy.md": 6, "approvals.md": 5} {
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(read(t, "../docs/"+guide), -1)
		if len(blocks) < least {
			t.Errorf("%s: only %d examples found: the test sees too little", guide, len(blocks))
		}
		for _, b := range blocks {
			if strings.HasPrefix(string(b[1]), "version: 1\n") {
				wholeFile(t, guide, b[1])
				continue
			}
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
