package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/testenv"
)

// kinds are the freezers of this host: that of v2, and that of v1 as a host without v2
// has it.
func kinds(t *testing.T) map[string]Hierarchies {
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]Hierarchies)
	if h.v2 != "" {
		out["v2"] = Hierarchies{v2: h.v2, controllers: h.controllers}
	}
	for _, root := range h.v1 {
		if strings.HasSuffix(root, "/freezer") {
			out["v1"] = Hierarchies{v1: []string{root}}
		}
	}
	return out
}

// busy starts a process in the cgroup at path that runs without end, and one beside it.
func busy(t *testing.T, h Hierarchies, path string, inside bool) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if !inside {
		return cmd
	}
	dir := h.dirs(path)[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// ran is how long a process has run, in clock ticks.
func ran(t *testing.T, cmd *exec.Cmd) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	return string(fields[11]) + "+" + string(fields[12])
}

// What is frozen does not run until it is thawed, and can be killed as it stands; the
// process beside it, the control, goes on.
func TestFreeze(t *testing.T) {
	testenv.Need(t, "root")
	for kind, h := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			path := fmt.Sprintf("/mcprun-freeze-%d/one", os.Getpid())
			t.Cleanup(func() {
				if err := h.Remove(filepath.Dir(path)); err != nil {
					t.Error(err)
				}
			})
			inside, outside := busy(t, h, path, true), busy(t, h, path, false)
			begun := time.Now()
			if err := h.Freeze(path, nil); err != nil {
				t.Fatal(err)
			}
			t.Logf("frozen after %v", time.Since(begun))
			if !h.Frozen(path) {
				t.Error("Frozen says no")
			}
			was, beside := ran(t, inside), ran(t, outside)
			for end := time.Now().Add(10 * time.Second); ran(t, outside) == beside && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if now := ran(t, inside); now != was {
				t.Errorf("a frozen process ran from %s to %s", was, now)
			}
			if ran(t, outside) == beside {
				t.Error("the process outside does not run")
			}
			if err := h.Thaw(path); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(10 * time.Second); ran(t, inside) == was; {
				if time.Now().After(end) {
					t.Fatal("it does not run after the thaw")
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err := h.Freeze(path, nil); err != nil {
				t.Fatal(err)
			}
			waited := make(chan error)
			go func() { waited <- inside.Wait() }()
			if err := h.KillAll(filepath.Dir(path), 5*time.Second); err != nil { // as all servers are
				t.Fatal(err)
			}
			if err := <-waited; err == nil || err.Error() != "signal: killed" {
				t.Errorf("the frozen process ended with %v", err)
			}
			// It stayed frozen with v2, and runc does not remove a container whose cgroup is:
			// on a host with v2 alone each kill of a paused server left one.
			if h.Frozen(path) {
				t.Error("the cgroup is frozen after the kill")
			}
		})
	}
}

// A freeze that is not wanted any more holds nothing.
func TestFreezeGivenUp(t *testing.T) {
	testenv.Need(t, "root")
	for kind, h := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			path := fmt.Sprintf("/mcprun-freeze-%d", os.Getpid())
			t.Cleanup(func() { h.Remove(path) })
			inside := busy(t, h, path, true)
			give := make(chan struct{})
			close(give)
			// It may be frozen before anybody looks whether it is wanted.
			if err := h.Freeze(path, give); err != nil {
				if !errors.Is(err, ErrNotFrozen) {
					t.Fatal(err)
				}
				if h.Frozen(path) {
					t.Error("it is frozen")
				}
			}
			inside.Process.Kill()
			h.Thaw(path)
			inside.Wait()
		})
	}
}

func TestFreezeNothing(t *testing.T) {
	testenv.Need(t, "root")
	for kind, h := range kinds(t) {
		if err := h.Freeze("/mcprun-absent", nil); err == nil {
			t.Errorf("%s: a cgroup that is not there was frozen", kind)
		}
		if err := h.Thaw("/mcprun-absent"); err != nil {
			t.Errorf("%s: thawing a cgroup that is not there: %v", kind, err)
		}
	}
}
