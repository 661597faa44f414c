package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// A step of a kill that hangs holds up no later one: the processes are gone, the switch
// holds, and the command says what was not done; what hung follows when it goes on.
func TestStepsThatHang(t *testing.T) {
	d := harness.Prepare(t)
	bin, hold := d.Bin, t.TempDir()
	for _, part := range []string{"containerd", "containerd-shim-runc-v2", "runc", "mcprun-init"} { // beside the daemon
		if err := os.Symlink(filepath.Join(bin, part), filepath.Join(programs.crashing, part)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	d.Bin = programs.crashing
	d.Start("MCPRUN_HOLD=" + hold)
	d.Bin = bin
	if !d.Ready() {
		t.Fatal("no daemon")
	}
	d.Up("go", "gosdk", goTools)
	for _, r := range []struct {
		step string
		says string // as a problem; "" where none of what was promised is missing
		code int
	}{
		{"record", "record: the disk does not take it within", 1},
		{"cut", "", 0},
		{"fail", "fail: not all calls in flight have failed within", 1},
		{"kill", "", 0},
		{"persist", "stay dead: the disk does not take the switch within", 1},
		{"nothing", "", 0},
	} {
		t.Run(r.step, func(t *testing.T) {
			held := filepath.Join(hold, "kill."+r.step)
			if err := os.WriteFile(held, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(held)
			begun := time.Now()
			out, errs, code := d.Run("kill", "go", "--why", "it hangs")
			t.Logf("%v\n%s%s", time.Since(begun).Round(time.Millisecond), out, errs)
			if code != r.code || !strings.Contains(errs, r.says) {
				t.Errorf("exit code %d, %q; want %d and %q", code, errs, r.code, r.says)
			}
			if left := d.Pids(); len(left) > 0 {
				t.Errorf("processes are left: %v", left)
			}
			for _, step := range []string{"deny", "record", "cut", "fail", "kill", "stay dead", "clean"} {
				if !strings.Contains(out, "\n  "+step) {
					t.Errorf("the step %s is missing", step)
				}
			}
			// Those who wait for an answer are told without a word from any way out.
			if strings.Index(out, "\n  fail") > strings.Index(out, "\n  cut") {
				t.Errorf("calls fail after the cut: %s", out)
			}
			refused(t, d, "it hangs")
			os.Remove(held)
			file := filepath.Join(d.Dirs.Switches(), "server@go.json")
			for end := time.Now().Add(harness.Goodbye); ; time.Sleep(10 * time.Millisecond) {
				_, err := os.Stat(file)
				if err == nil && strings.Contains(d.Must("audit", "tail", "-n", "20", "--json"), `"type":"kill"`) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("it does not follow: %v", err)
				}
			}
			d.Must("revive", "go", "--why", "test")
			d.Must("start", "go.yaml")
		})
	}
}
