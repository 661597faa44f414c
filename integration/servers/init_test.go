package servers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// Two real servers with what policy init proposes, untouched: work goes on, what
// leaves the folder or names an option is refused, and what destroys waits.
func TestPolicyInit(t *testing.T) {
	d := harness.New(t)
	workspace := filepath.Join(d.Dir, "workspace")
	if err := os.MkdirAll(workspace, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(workspace, 0o777); err != nil {
		t.Fatal(err)
	}
	d.Write("workspace/notes.txt", "The meeting is on Friday.\n")
	for name, image := range map[string]string{"files": "filesystem", "git": "git"} {
		file := name + ".yaml"
		d.Write(file, "version: 1\nname: "+name+"\nimage: "+harness.Image(image)+"\nprofile: node\ntimeouts: {approval: 1s}\nfiles: # mine\n  - {from: ./workspace, to: /workspace, access: write}\n")
		if _, errs, code := d.Run("policy", "init", file); code != 2 || !strings.Contains(errs, "mcprun lock "+file) {
			t.Fatalf("before a lock: code %d: %s", code, errs)
		}
		if out := d.Must("lock", file); !strings.Contains(out, "not granted") {
			t.Errorf("lock: %s", out)
		}
		shown := d.Must("policy", "init", file)
		d.Must("policy", "init", "--write", file)
		raw, err := os.ReadFile(filepath.Join(d.Dir, file))
		if err != nil || !strings.HasSuffix(string(raw), shown) || !strings.Contains(string(raw), "files: # mine\n") {
			t.Fatalf("the file is not what it was and the section that was shown: %v\n%s", err, raw)
		}
		if _, errs, code := d.Run("policy", "init", "--write", file); code != 2 || !strings.Contains(errs, "--force") {
			t.Errorf("a second time: code %d: %s", code, errs)
		}
		d.Must("check", file)
		d.Must("start", file)
	}
	for _, row := range []struct {
		server, tool, args string
		code               int
		says               string
	}{
		{"files", "read_text_file", `{"path":"/workspace/notes.txt"}`, 0, "Friday"},
		{"files", "create_directory", `{"path":"/workspace/plans"}`, 0, "plans"},
		{"files", "read_text_file", `{"path":"/etc/passwd"}`, 3, "path.outside"},
		{"files", "read_text_file", `{"path":"/workspace/.env"}`, 3, "approval.waiting"},
		{"files", "write_file", `{"path":"/workspace/../../etc/cron.d/x","content":"x"}`, 3, "path."},
		{"files", "write_file", `{"path":"/workspace/a.txt","content":"x"}`, 3, "approval.waiting"},
		{"git", "git_init", `{"path":"/workspace/plans"}`, 0, ""},
		{"git", "git_log", `{"path":"/workspace/plans","branch":"--output=/workspace/notes.txt"}`, 3, "ref."},
		{"git", "git_clone", `{"url":"ext::sh -c id","path":"/workspace/x"}`, 3, "url."},
		{"git", "git_reset", `{"path":"/workspace/plans","mode":"hard"}`, 3, "approval.waiting"},
	} {
		out, errs, code := d.Run("call", row.server, row.tool, row.args)
		if code != row.code || !strings.Contains(out+errs, row.says) {
			t.Errorf("%s %s: code %d, want %d and %q: %s%s", row.tool, row.args, code, row.code, row.says, out, errs)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(workspace, "notes.txt")); err != nil || string(raw) != "The meeting is on Friday.\n" {
		t.Errorf("the notes are %q, %v", raw, err)
	}
}
