package crash

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// gone waits until no process is left in the daemon's cgroups.
func gone(t *testing.T, d *harness.Daemon, within time.Duration) {
	t.Helper()
	begun := time.Now()
	for len(d.Pids()) > 0 {
		if time.Since(begun) > within {
			t.Fatalf("after %v there are still the processes %v", within, d.Pids())
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("no process left after %v", time.Since(begun).Round(time.Millisecond))
}

func switchOnDisk(t *testing.T, d *harness.Daemon) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(d.Dirs.Switches(), "all.json")); err != nil {
		t.Errorf("the switch is not on the disk: %v", err)
	}
}

// refused asserts that the server cannot be started, and for which reason.
func refused(t *testing.T, d *harness.Daemon, reason string) {
	t.Helper()
	_, errs, code := d.Run("start", "go.yaml")
	if code != 3 || !strings.Contains(errs, reason) || !strings.Contains(errs, "mcprun revive") {
		t.Errorf("start of a killed server: exit code %d, %q; want 3, the reason %q and how to revive", code, errs, reason)
	}
}

func TestKillWithoutDaemon(t *testing.T) {
	d := prepared(t)
	d.Shutdown()
	restart(t, d) // the list is of a daemon that has started nothing yet
	t.Run("daemon killed", func(t *testing.T) {
		before := d.Snapshot()
		d.Must("start", "go.yaml")
		if len(d.Pids()) == 0 {
			t.Fatal("the server has no process")
		}
		d.Crash()
		gone(t, d, time.Second)
		if out := d.Must("kill", "--all", "--why", "nobody answers"); !strings.Contains(out, "without a daemon") {
			t.Errorf("kill --all said %q", out)
		}
		switchOnDisk(t, d)
		restart(t, d)
		refused(t, d, "nobody answers")
		d.Must("revive", "--all", "--why", "test")
		d.NothingLeft(before)
	})
	t.Run("daemon stopped", func(t *testing.T) {
		d.Must("start", "go.yaml")
		d.Must("stop", "go")
		before := d.Snapshot()
		d.Must("start", "go.yaml")
		call(d)
		killStopped(t, d)
		awaitKilled(t, d)
		refused(t, d, "it hangs")
		d.Must("revive", "--all", "--why", "test")
		d.NothingLeft(before)
		d.Must("start", "go.yaml")
		call(d)
	})
}

// killStopped kills everything while the daemon is stopped, then lets it go on.
func killStopped(t *testing.T, d *harness.Daemon) {
	t.Helper()
	if err := syscall.Kill(d.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(d.Pid(), syscall.SIGCONT)
	begun := time.Now()
	d.Must("kill", "--all", "--why", "it hangs")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("kill --all took %v with a stopped daemon", took)
	}
	gone(t, d, 0)
	switchOnDisk(t, d)
}

func restart(t *testing.T, d *harness.Daemon) {
	t.Helper()
	d.Start()
	if !d.Ready() {
		t.Fatal("the daemon ended at its start")
	}
}

// awaitKilled waits until the daemon, going on, has seen the switch: a request
// that was sent to it while it was stopped, or the file.
func awaitKilled(t *testing.T, d *harness.Daemon) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, errs, _ := d.Run("ps"); strings.Contains(errs, "killed: everything") {
			return
		}
	}
	t.Error("the daemon does not honour the switch that was thrown while it was stopped")
}
