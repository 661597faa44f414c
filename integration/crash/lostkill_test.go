package crash

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// A kill that is recorded holds, also where the daemon crashes before its switch is on disk:
// what was killed came back at first, and a rule that kills by itself began at one below
// its count. What was taken back before the crash stays so.
func TestRecordedKillsHold(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "root", "containerd", "images")
	c := newCrasher(t)
	c.start(c.ordinary)
	c.d.Write("go.yaml", "version: 1\nname: go\nimage: "+harness.Image("gosdk")+"\nlabels: {team: x}\n"+goTools)
	c.d.Must("start", "go.yaml")
	c.d.Must("start", "second.yaml")
	c.d.Must("kill", "second", "--why", "taken back")
	c.d.Must("revive", "second", "--why", "test")
	c.d.Shutdown()
	switches := func() int {
		files, err := filepath.Glob(filepath.Join(c.d.Dirs.Switches(), "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for _, target := range []string{"go", "go/test_simple_text", "--label team=x", "--principal uid:0", "--all"} {
		t.Run(target, func(t *testing.T) {
			if !c.start(programs.crashing, "MCPRUN_CRASH_IN=kill.record") {
				t.Fatal("the daemon ended at its start")
			}
			c.d.Must("start", "go.yaml")
			args := strings.Fields(target)
			why := "cut short"
			if target == "--all" { // the command would throw the switch itself
				why = "signal"
				syscall.Kill(c.d.Pid(), syscall.SIGUSR1)
			} else if _, _, code := c.d.Run(append(append([]string{"kill"}, args...), "--why", why)...); code == 0 {
				t.Error("the kill was not cut short")
			}
			c.d.Wait()
			if n := switches(); n != 0 {
				t.Fatalf("the kill was not cut short: %d switches", n)
			}
			c.start(c.ordinary)
			if n := switches(); n != 1 {
				t.Errorf("%d switches are on disk", n)
			}
			_, errs, code := c.d.Run("start", "go.yaml")
			if stops := !strings.Contains(target, "/") && !strings.Contains(target, "uid:"); stops && (code != 3 || !strings.Contains(errs, why)) {
				t.Errorf("it starts: code %d, %s", code, errs)
			} else if !stops {
				if _, errs, code := c.d.Run("call", "go", "test_simple_text", "{}"); code != 3 || !strings.Contains(errs, why) {
					t.Errorf("it is called: code %d, %s", code, errs)
				}
			}
			if target != "--all" {
				c.d.Must("start", "second.yaml") // the control
			}
			c.d.Must(append(append([]string{"revive"}, args...), "--why", "test")...)
			c.d.Shutdown()
			c.start(c.ordinary)
			c.d.Must("start", "go.yaml")
			if n := switches(); n != 0 {
				t.Errorf("it was taken back, and is thrown again: %d", n)
			}
			c.d.Must("stop", "go")
			c.d.Shutdown()
		})
	}
}
