package servers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// What a client reads from one server counts in its calls to another: strangers'
// text, private data and a way out together wait for a human, whatever the classes
// say. Another client's calls go on. The record says why, and judges again.
func TestTaintCrossesServers(t *testing.T) {
	d := harness.New(t)
	for dir, text := range map[string]string{"web": "A recipe for bread.", "own": "the plan"} {
		if err := os.MkdirAll(filepath.Join(d.Dir, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(d.Dir, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.Dir, dir, "page.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tools := "\ntools:\n  read_text_file: {risk: low, untrusted: UNTRUSTED}\n  write_file: {risk: medium, sends: true}\n"
	d.Up("web", "filesystem", "profile: node\nfiles: [{from: ./web, to: /workspace}]"+strings.Replace(tools, "UNTRUSTED", "true, private: false", 1))
	d.Up("own", "filesystem", "profile: node\nfiles: [{from: ./own, to: /workspace, access: write}]\ntimeouts: {approval: 1s}"+strings.Replace(tools, "UNTRUSTED", "false", 1))
	write := func(content string) string {
		args, err := json.Marshal(map[string]string{"path": "/workspace/out.txt", "content": content})
		if err != nil {
			t.Fatal(err)
		}
		return string(args)
	}
	const read = `{"path":"/workspace/page.txt"}`
	if got := d.Must("call", "own", "write_file", write("before")); !strings.Contains(got, "Successfully wrote") {
		t.Fatalf("before anything was read: %s", got)
	}
	d.Must("call", "own", "read_text_file", read)
	if got := d.Must("call", "own", "write_file", write("after private data")); !strings.Contains(got, "Successfully wrote") {
		t.Fatalf("after private data alone: %s", got)
	}
	if got := d.Must("call", "web", "read_text_file", read); !strings.Contains(got, "bread") {
		t.Fatalf("reading what strangers wrote: %s", got)
	}
	held, errs, code := d.Run("call", "own", "write_file", write("after both"))
	if code == 0 || !strings.Contains(held+errs, "a human must approve it") || !strings.Contains(held+errs, "way out") {
		t.Fatalf("after both: code %d, %s%s", code, held, errs)
	}
	if raw, _ := os.ReadFile(filepath.Join(d.Dir, "own", "out.txt")); string(raw) != "after private data" {
		t.Errorf("the file holds %q", raw)
	}
	// Another client has read nothing: its parent is another process.
	mine := d.Command("call", "own", "write_file", write("from another"))
	other := exec.Command("/bin/sh", append([]string{"-c", `"$@"; exit $?`, "sh"}, mine.Args...)...)
	other.Dir, other.Env = mine.Dir, mine.Env
	if out, err := other.CombinedOutput(); err != nil || !strings.Contains(string(out), "Successfully wrote") {
		t.Errorf("another client: %v, %s", err, out)
	}
	said := d.Must("explain")
	for _, want := range []string{"held for a human", "own/write_file", "taint.untrusted", "taint.private", "taint.all", "= high", "what would have changed it", "without taint.untrusted: 45, medium: it goes ahead"} {
		if !strings.Contains(said, want) {
			t.Errorf("explain lacks %q:\n%s", want, said)
		}
	}
	if got := d.Must("policy", "replay", filepath.Join(d.Dir, "own.yaml")); !strings.Contains(got, "5 decisions come out the same, 0 differ") {
		t.Errorf("judged again: %s", got)
	}
	// A changed policy is told apart, and what it would decide is shown.
	raw, err := os.ReadFile(filepath.Join(d.Dir, "own.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "own.yaml"), []byte(strings.Replace(string(raw), "risk: medium", "risk: high", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := d.Must("policy", "replay", filepath.Join(d.Dir, "own.yaml")); !strings.Contains(got, "0 decisions come out the same, 0 differ") {
		t.Errorf("decisions of another policy: %s", got)
	}
	if got, _, code := d.Run("policy", "replay", "--any-policy", filepath.Join(d.Dir, "own.yaml")); code != 1 || !strings.Contains(got, "was allow (35)") || !strings.Contains(got, "now hold") {
		t.Errorf("what the changed policy would decide: code %d, %s", code, got)
	}
}
