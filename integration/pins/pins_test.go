// Package pins tests, on a real daemon and server, that nothing runs which was
// not reviewed.
package pins

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

const yaml = `profile: go
tools:
  test_simple_text: {risk: low}
  test_error_handling: {risk: low}
`

func edit(t *testing.T, d *harness.Daemon, name string, change func(string) string) {
	t.Helper()
	path := filepath.Join(d.Dir, name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(raw))
	if changed == string(raw) {
		t.Fatalf("the edit of %s changed nothing", name)
	}
	d.Write(name, changed)
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

// refusalRecorded checks that the record's last refusal names the request, who
// made it and why it was refused: at first only refused calls were recorded, and
// an attempt to run a changed image left no trace.
func refusalRecorded(t *testing.T, d *harness.Daemon, method, why string) {
	t.Helper()
	var last struct{ Type, Server, Method, Principal, Verdict, Reason string }
	for line := range strings.Lines(d.Must("audit", "tail", "--json")) {
		var rec struct{ Type, Server, Method, Principal, Verdict, Reason string }
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Type == "refuse" {
			last = rec
		}
	}
	if last.Server != "s" || last.Method != method || last.Principal != "uid:0" || last.Verdict != "deny" || !strings.Contains(last.Reason, why) {
		t.Errorf("the last refusal in the record is %+v, want one of %s with %q", last, method, why)
	}
}

func TestPins(t *testing.T) {
	d := harness.New(t)
	d.Write("s.yaml", "version: 1\nname: s\nimage: "+harness.Image("gosdk")+"\n"+yaml)
	t.Run("not pinned", func(t *testing.T) {
		_, errs, code := d.Run("start", "s.yaml")
		if code != 3 || !strings.Contains(errs, "not pinned") || !strings.Contains(errs, "hint: mcprun lock") {
			t.Errorf("code %d: %s", code, errs)
		}
		refusalRecorded(t, d, "mcprun start", "not pinned")
	})
	d.Must("lock", "s.yaml")
	good, err := os.ReadFile(filepath.Join(d.Dir, "s.lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("control", func(t *testing.T) {
		d.Must("start", "s.yaml")
		if out := d.Must("call", "s", "test_simple_text"); !strings.Contains(out, "simple text") {
			t.Error(out)
		}
		if out := d.Must("lock", "--diff", "s.yaml"); !strings.Contains(out, "nothing changed") {
			t.Error(out)
		}
		d.Must("stop", "s")
	})
	// What was pinned is edited, as if the server had changed since: each row is a
	// server that is not as it was reviewed.
	t.Run("a definition that does not match its digest", func(t *testing.T) {
		edit(t, d, "s.lock", replace(`"description": "Tests simple text`, `"description": "Tests  simple text`))
		_, errs, code := d.Run("start", "s.yaml")
		if code != 3 || !strings.Contains(errs, "server.lock") {
			t.Errorf("code %d: %s", code, errs)
		}
		d.Write("s.lock", string(good))
	})
	t.Run("another image", func(t *testing.T) {
		d.Write("s.yaml", "version: 1\nname: s\nimage: "+harness.Image("everything")+"\n"+yaml)
		_, errs, code := d.Run("start", "s.yaml")
		if code != 3 || !strings.Contains(errs, "the image is") || !strings.Contains(errs, "was pinned") {
			t.Errorf("code %d: %s", code, errs)
		}
		refusalRecorded(t, d, "mcprun start", "was pinned")
		d.Write("s.yaml", "version: 1\nname: s\nimage: "+harness.Image("gosdk")+"\n"+yaml)
	})
	t.Run("another profile", func(t *testing.T) {
		edit(t, d, "s.yaml", replace("profile: go", "profile: node"))
		_, errs, code := d.Run("start", "s.yaml")
		if code != 3 || !strings.Contains(errs, "profile") {
			t.Errorf("code %d: %s", code, errs)
		}
		edit(t, d, "s.yaml", replace("profile: node", "profile: go"))
	})
	t.Run("a pinned tool is gone and the diff says so", func(t *testing.T) {
		// The same server was pinned when it offered less: drop the last tool of the file.
		i := strings.LastIndex(string(good), `    {`)
		end := strings.LastIndex(string(good), `  ]`)
		if i < 0 || end < i {
			t.Fatalf("the lock file has another form:\n%.400s", good)
		}
		d.Write("s.lock", strings.TrimRight(strings.TrimRight(string(good[:i]), " \n"), ",")+"\n"+string(good[end:]))
		out, errs, code := d.Run("lock", "--diff", "s.yaml")
		if code != 3 || !strings.Contains(out, "test_x_mcp_header") {
			t.Errorf("code %d: %s%s", code, out, errs)
		}
		d.Must("start", "s.yaml")
		_, errs, code = d.Run("call", "s", "test_x_mcp_header")
		if code != 3 || !strings.Contains(errs, "tool.changed") {
			t.Errorf("a tool that is not pinned: code %d: %s", code, errs)
		}
		d.Must("call", "s", "test_simple_text")
		d.Must("stop", "s")
	})
	t.Run("a killed server", func(t *testing.T) {
		d.Write("s.lock", string(good))
		d.Must("start", "s.yaml")
		d.Must("kill", "s", "--why", "test")
		for _, args := range [][]string{{"start", "s.yaml"}, {"lock", "s.yaml"}, {"connect", "s"}} {
			if _, errs, code := d.Run(args...); code != 3 || !strings.Contains(errs, "was killed") {
				t.Errorf("%v: code %d: %s", args, code, errs)
			}
			refusalRecorded(t, d, "mcprun "+args[0], "was killed")
		}
	})
}
