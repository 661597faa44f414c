package crash

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// hostContainerd is a containerd that is not the daemon's child, as a host has one.
func hostContainerd(t *testing.T) (dir, address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcprun-host-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	address = filepath.Join(dir, "c.sock")
	config := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n",
		filepath.Join(dir, "root"), filepath.Join(dir, "state"), address, address+".ttrpc")
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := os.Getenv("MCPRUN_BIN")
	cmd := exec.Command(filepath.Join(bin, "containerd"), "--config", filepath.Join(dir, "config.toml"))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the host's containerd ended with %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", address); err == nil {
			c.Close()
			return dir, address
		}
	}
	t.Fatal("the host's containerd does not answer")
	return "", ""
}

// mountsBelow lists the mounts of the host under dir.
func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			out = append(out, f[4])
		}
	}
	return out
}

// With the host's containerd the same server is contained, called and killed, and
// neither a kill nor a crash leaves anything, though containerd lives on.
func TestHostContainerd(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	dir, address := hostContainerd(t)
	d := harness.New(t, "-containerd", address)
	d.Up("go", "gosdk", goTools)
	d.Must("stop", "go")
	used := d.Snapshot() // with the parent cgroup, which stays until the daemon ends
	d.Shutdown()
	restart(t, d)
	fresh := d.Snapshot()
	clean := func(after string, want harness.Leftovers) {
		t.Helper()
		gone(t, d, 2*time.Second)
		d.NothingLeft(want)
		if left := mountsBelow(t, dir); len(left) > 0 {
			t.Errorf("mounts after %s: %q", after, left)
		}
	}
	d.Must("start", "go.yaml")
	call(d)
	if len(mountsBelow(t, dir)) == 0 {
		t.Error("the container has no mount in the host's containerd: it runs elsewhere")
	}
	if out := d.Must("inspect", "go"); !strings.Contains(out, "no_new_privs") {
		t.Errorf("inspect says %s", out)
	}
	d.Must("kill", "go", "--why", "test")
	clean("a kill", used)
	d.Must("revive", "go", "--why", "test")
	d.Must("start", "go.yaml")
	d.Crash()
	gone(t, d, 2*time.Second)
	restart(t, d)
	clean("a crash", fresh)
	d.Must("start", "go.yaml")
	call(d)
	d.Must("stop", "go")
	clean("a stop", used)
}
