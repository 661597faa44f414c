// Package harness starts a real daemon for an integration test and drives it
// with the real client. Nothing in it is a stand-in.
package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/internal/testenv"
)

// Daemon is one daemon with folders of its own.
type Daemon struct {
	Dirs paths.Dirs
	Bin  string // folder of the programs
	Dir  string // where the test's server.yaml files are
	// Wrap, if set before Start, makes the daemon run elsewhere, as in a network
	// namespace: see integration/lab.
	Wrap func(argv []string) []string
	t    testing.TB
	cmd  *exec.Cmd
	args []string
}

// deadline bounds one command: the longest is the unpacking of an image on a busy machine.
const deadline = 3 * time.Minute

// New starts a daemon that ends with the test. Its folders are its own, so each unpacks the
// images that it uses.
func New(t testing.TB, args ...string) *Daemon {
	t.Helper()
	testenv.Need(t, "root", "containerd", "images")
	d := Prepare(t, args...)
	d.Start()
	if !d.Ready() {
		t.Fatal("the daemon ended at its start")
	}
	return d
}

// Prepare makes the folders of a daemon without starting it.
func Prepare(t testing.TB, args ...string) *Daemon {
	t.Helper()
	// Unix sockets have short names, so not t.TempDir with the test's name in it.
	base, err := os.MkdirTemp("", "mcprun-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{t: t, Bin: os.Getenv("MCPRUN_BIN"), Dir: filepath.Join(base, "w"), Dirs: paths.Dirs{Run: filepath.Join(base, "run"), Data: filepath.Join(base, "data")}, args: args}
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Shutdown()
		if t.Failed() {
			raw, _ := os.ReadFile(filepath.Join(base, "daemon.log"))
			t.Logf("the daemon's log:\n%s", raw)
		}
		if err := os.RemoveAll(base); err != nil {
			t.Errorf("removing the test's folder: %v", err)
		}
	})
	return d
}

// Start starts the daemon; Ready waits for it. env is added to its environment.
func (d *Daemon) Start(env ...string) {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(filepath.Dir(d.Dir), "daemon.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	argv := append([]string{filepath.Join(d.Bin, "mcprund"), "-run", d.Dirs.Run, "-data", d.Dirs.Data}, d.args...)
	if d.Wrap != nil {
		argv = d.Wrap(argv)
	}
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = append(os.Environ(), env...)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// Ready waits until the daemon answers; false means that it ended instead.
func (d *Daemon) Ready() bool {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, _, code := d.Run("version", "--json"); code == 0 {
			if out, _, _ := d.Run("version", "--json"); strings.Contains(out, `"daemon"`) {
				return true
			}
		}
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(d.cmd.Process.Pid, &status, syscall.WNOHANG, nil); err == nil && pid == d.cmd.Process.Pid {
			d.cmd = nil
			return false
		}
	}
	d.t.Fatal("the daemon does not answer within 30 s")
	return false
}

// Pid is the daemon's process id.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Crash kills the daemon as a power cut would.
func (d *Daemon) Crash() {
	d.cmd.Process.Kill()
	d.Wait()
}

// Wait waits for the daemon's end.
func (d *Daemon) Wait() {
	d.cmd.Wait()
	d.cmd = nil
}

// Shutdown ends the daemon if it runs.
func (d *Daemon) Shutdown() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { d.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		d.t.Errorf("the daemon does not end within 30 s of SIGTERM")
		d.cmd.Process.Kill()
		<-done
	}
	d.cmd = nil
}

// Command prepares mcprun with this daemon's folders.
func (d *Daemon) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.Bin, "mcprun"), args...)
	cmd.Dir = d.Dir
	cmd.Env = append(os.Environ(), "MCPRUN_RUN="+d.Dirs.Run, "MCPRUN_DATA="+d.Dirs.Data)
	return cmd
}

// Run runs mcprun and returns what it printed and its exit code.
func (d *Daemon) Run(args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	cmd := d.Command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	timer := time.AfterFunc(deadline, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		d.t.Fatalf("mcprun %s: no end within %v\n%s%s", strings.Join(args, " "), deadline, &out, &errs)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Must runs mcprun and fails the test unless it exits with 0.
func (d *Daemon) Must(args ...string) string {
	d.t.Helper()
	out, errs, code := d.Run(args...)
	if code != 0 {
		d.t.Fatalf("mcprun %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// Write puts a file beside the test's server.yaml files and returns its path.
func (d *Daemon) Write(name, text string) string {
	d.t.Helper()
	if i := os.Getenv("MCPRUN_TEST_ISOLATION"); i != "" && strings.Contains(text, "\nimage: ") && !strings.Contains(text, "isolation: ") {
		text = strings.Replace(text, "\nimage: ", "\nisolation: "+i+"\nimage: ", 1) // a whole suite is tried under another one
	}
	path := filepath.Join(d.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// Image is the path of a built image.
func Image(name string) string { return filepath.Join(os.Getenv("MCPRUN_IMAGES"), name+".oci.tar") }

// Prebuilt is the path of what a test would else build itself, where a folder of
// such things is given (MCPRUN_TEST_PREBUILT): in a virtual machine there is no Go.
func Prebuilt(name string) (path string, ok bool) {
	dir := os.Getenv("MCPRUN_TEST_PREBUILT")
	return filepath.Join(dir, name), dir != ""
}

// Up writes, locks and starts a server; yaml is all of it but version, name and image.
func (d *Daemon) Up(name, image, yaml string) {
	d.t.Helper()
	file := name + ".yaml"
	d.Write(file, fmt.Sprintf("version: 1\nname: %s\nimage: %s\n%s", name, Image(image), yaml))
	d.Must("lock", file)
	d.Must("start", file)
}

// Pids lists the processes in the daemon's cgroups.
func (d *Daemon) Pids() []int {
	var out []int
	filepath.Walk("/sys/fs/cgroup", func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Name() == "cgroup.procs" && strings.Contains(path, "/"+d.Dirs.CgroupParent()+"/") {
			raw, _ := os.ReadFile(path)
			for _, f := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(f); err == nil {
					out = append(out, pid)
				}
			}
		}
		return nil
	})
	return out
}
