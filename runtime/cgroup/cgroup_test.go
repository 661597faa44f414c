package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/testenv"
)

// Real processes in real cgroups: Kill ends those inside, and not the one
// beside them, which is the control.
func TestKillAll(t *testing.T) {
	testenv.Need(t, "root")
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/mcprun-test-%d", os.Getpid())
	t.Cleanup(func() {
		if err := h.Remove(path); err != nil {
			t.Error(err)
		}
	})
	start := func() *exec.Cmd {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd
	}
	outside := start()
	// Each is in one hierarchy alone, as a runtime leaves it that is ended while it makes
	// a container: killing by the v2 hierarchy left those of the others for good.
	var inside []*exec.Cmd
	for _, hierarchy := range h.dirs(path) {
		if filepath.Base(filepath.Dir(hierarchy)) == "cpuset" {
			continue // takes no process before it is given processors
		}
		cmd := start()
		inside = append(inside, cmd)
		dir := filepath.Join(hierarchy, "deep")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.Processes(path)); n != len(inside) {
		t.Fatalf("%d processes in the cgroup, want %d", n, len(inside))
	}
	waited := make(chan error)
	for _, cmd := range inside {
		go func() { waited <- cmd.Wait() }()
	}
	if err := h.KillAll(path, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for range inside {
		if err := <-waited; err == nil || err.Error() != "signal: killed" {
			t.Errorf("a process ended with %v", err)
		}
	}
	if err := outside.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process outside is gone: %v", err)
	}
	if err := h.KillAll(path+"-absent", time.Second); err != nil {
		t.Errorf("a cgroup that is not there: %v", err)
	}
}
