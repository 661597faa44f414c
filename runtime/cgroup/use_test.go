package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
)

// group makes a cgroup below all hierarchies that ends with the test.
func group(t *testing.T, name string) (Hierarchies, string) {
	t.Helper()
	testenv.Need(t, "root")
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/mcprun-%s-%d", name, os.Getpid())
	h.v1 = slices.DeleteFunc(h.v1, func(root string) bool { return filepath.Base(root) == "cpuset" }) // takes none until it was told which
	for _, dir := range h.dirs(path) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := h.Remove(path); err != nil {
			t.Error(err)
		}
	})
	return h, path
}

// inside runs a shell script below path.
func inside(t *testing.T, h Hierarchies, path, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range h.dirs(path) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	cmd.Wait()
}

// told reports whether the kernel told of something within a second.
func told(t *testing.T, w *Watch) bool {
	t.Helper()
	for end := time.Now().Add(1200 * time.Millisecond); time.Now().Before(end); {
		if _, err := unix.Poll(w.Poll(), int(min(w.Pause(), time.Second).Milliseconds())); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if w.Told() {
			return true
		}
	}
	return false
}

func TestLimitsThatAreHitAreToldOf(t *testing.T) {
	h, path := group(t, "hit")
	if err := errors.Join(h.SetMemory(path, 32<<20), h.SetPids(path, 8), h.SetCPU(path, 50_000, 100_000)); err != nil {
		t.Fatal(err)
	}
	w, err := h.Watch(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// The control: a program that keeps within its limits.
	inside(t, h, path, "true")
	if told(t, w) {
		t.Error("something was told of a program that hit no limit")
	}
	inside(t, h, path, `dd if=/dev/zero of=/dev/null bs=100M count=1`)
	if !told(t, w) {
		t.Error("nothing was told of memory that was used up")
	}
	time.Sleep(20 * time.Millisecond) // v1 tells before it counts
	use, err := h.Use(path)
	if err != nil {
		t.Fatal(err)
	}
	if use.OOMKills != 1 || use.PidsHits != 0 || use.MemoryMax != 32<<20 || use.MemoryPeak < 30<<20 || use.PidsMax != 8 {
		t.Errorf("after memory was used up: %+v", use)
	}
	inside(t, h, path, `for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait`)
	if !told(t, w) {
		t.Error("nothing was told of processes that were refused")
	}
	if use, err = h.Use(path); err != nil || use.OOMKills != 1 || use.PidsHits == 0 || use.PidsPeak != 8 {
		t.Errorf("after processes were refused: %+v, %v", use, err)
	}
	if told(t, w) {
		t.Error("the same was told of twice")
	}
	if _, err := h.Use(path + "-absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cgroup that is not there: %v", err)
	}
}

// Both ways, since the order of the two writes on v1 depends on it.
func TestSetMemory(t *testing.T) {
	h, path := group(t, "set")
	for _, n := range []int64{64 << 20, 128 << 20, 32 << 20} {
		if err := h.SetMemory(path, n); err != nil {
			t.Fatal(err)
		}
		if use, err := h.Use(path); err != nil || use.MemoryMax != n {
			t.Errorf("%+v, %v, want a maximum of %d", use, err, n)
		}
	}
	if err := h.SetPids(path+"-absent", 9); !errors.Is(err, errAbsent) {
		t.Errorf("a cgroup that is not there: %v", err)
	}
}
