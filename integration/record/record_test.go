// Package record tests, on a real daemon, that a call which cannot be recorded
// does not happen, and that a kill still does.
package record

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

const files = `profile: node
files:
  - {from: ./ws, to: /workspace, access: write}
tools:
  read_text_file: {risk: low}
  write_file: {risk: medium}
  edit_file: {risk: high}
  move_file: {risk: block}
timeouts: {approval: 1s}
`

func workspace(t *testing.T, d *harness.Daemon) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(d.Dir, "ws"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Write("ws/a.txt", "hello")
}

// The record lies on a small file system that fills up.
func TestFullDisk(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	d := harness.Prepare(t)
	if err := os.MkdirAll(d.Dirs.Audit(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d.Dirs.Data, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.Dirs.Audit(), "tmpfs", 0, "size=4m,mode=700"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(d.Dirs.Audit(), syscall.MNT_DETACH)
	d.Start()
	if !d.Ready() {
		t.Fatal("no daemon")
	}
	defer d.Shutdown()
	workspace(t, d)
	d.Up("files", "filesystem", files)
	if out := d.Must("call", "files", "read_text_file", "--arg", "path=/workspace/a.txt"); !strings.Contains(out, "hello") {
		t.Fatalf("control: %s", out)
	}
	fill := filepath.Join(d.Dirs.Audit(), "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 4096); err == nil; {
		_, err = f.Write(buf)
	}
	f.Close()
	// The room left in the record's last page takes a few records more; soon none fits.
	refused := false
	for range 200 {
		if _, errs, code := d.Run("call", "files", "write_file", "--arg", "path=/workspace/b.txt", "--arg", "content=x"); code != 0 {
			if !strings.Contains(errs, "recorded") && !strings.Contains(errs, "recording") {
				t.Fatalf("refused for another reason: %s", errs)
			}
			refused = true
			break
		}
	}
	if !refused {
		t.Fatal("calls go on with a full disk")
	}
	os.Remove(filepath.Join(d.Dir, "ws/b.txt"))
	d.Run("call", "files", "write_file", "--arg", "path=/workspace/b.txt", "--arg", "content=x")
	if _, err := os.Stat(filepath.Join(d.Dir, "ws/b.txt")); err == nil {
		t.Error("a call that was not recorded had its effect")
	}
	if out := d.Must("kill", "files", "--why", "disk full"); !strings.Contains(out, "killed files") {
		t.Errorf("kill: %s", out)
	}
	if out := d.Must("ps"); !strings.Contains(out, "killed") {
		t.Errorf("ps: %s", out)
	}
	if n := len(d.Pids()); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	out, _, _ := d.Run("audit", "tail", "-n", "1000", "--json")
	if !strings.Contains(out, `"type":"kill"`) || !strings.Contains(out, "disk full") {
		t.Error("the kill is not in the record")
	}
}

// What the risk classes do to real calls, and what the record says of each.
func TestClasses(t *testing.T) {
	d := harness.New(t)
	workspace(t, d)
	d.Up("files", "filesystem", files)
	for _, r := range []struct {
		tool, args, says string
		code             int
	}{
		{"read_text_file", `{"path":"/workspace/a.txt"}`, `"rule":"risk.low"`, 0},
		{"write_file", `{"path":"/workspace/c.txt","content":"x"}`, `"rule":"risk.medium"`, 0},
		{"edit_file", `{"path":"/workspace/a.txt","edits":[]}`, `"rule":"risk.high"`, 3},
		{"move_file", `{"source":"/workspace/a.txt","destination":"/workspace/z"}`, `"rule":"risk.block"`, 3},
		{"list_directory", `{"path":"/workspace"}`, `"rule":"tool.not-granted"`, 3},
		{"read_text_file", `{"path":"/workspace/a.txt","encoding":"x"}`, `"rule":"schema.undeclared"`, 3},
		{"read_text_file", `{"path":7}`, `"rule":"schema.invalid"`, 3},
		{"read_text_file", `{"path":"/workspace/a.txt","path":"/workspace/b.txt"}`, `"rule":"wire"`, 3},
	} {
		_, errs, code := d.Run("call", "files", r.tool, r.args)
		if code != r.code {
			t.Errorf("%s %s: exit code %d, want %d: %s", r.tool, r.args, code, r.code, errs)
		}
		if out := d.Must("audit", "tail", "-n", "4", "--json"); !strings.Contains(out, r.says) {
			t.Errorf("%s %s: the record does not say %s:\n%s", r.tool, r.args, r.says, out)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(d.Dir, "ws/a.txt")); err != nil || string(raw) != "hello" {
		t.Errorf("a refused call had its effect: %q, %v", raw, err)
	}
	if out := d.Must("audit", "verify"); !strings.Contains(out, "the chain is whole") {
		t.Error(out)
	}
}
