package crash

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

const everythingTools = "tools:\n  echo: {risk: low}\n  trigger-long-running-operation: {risk: low}\n"

// longCall is a call in flight, of a tool that takes a minute.
type longCall struct {
	cmd  *exec.Cmd
	errs bytes.Buffer
}

func begin(t *testing.T, d *harness.Daemon) *longCall {
	t.Helper()
	c := &longCall{cmd: d.Command("call", "every", "trigger-long-running-operation", `{"duration":60,"steps":60}`)}
	c.cmd.Stderr = &c.errs
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(d.Must("ps", "--json"), `"inFlight": 1`) {
			return c
		}
	}
	c.cmd.Process.Kill()
	c.cmd.Wait()
	t.Fatal("the long call does not get in flight")
	return nil
}

// failed asserts that the call fails at once, and that its error says why.
func (c *longCall) failed(t *testing.T, why string) {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { c.cmd.Process.Kill() })
	err := c.cmd.Wait()
	if !timer.Stop() {
		t.Fatal("the call in flight goes on after the kill")
	}
	if err == nil || !strings.Contains(c.errs.String(), "killed") || !strings.Contains(c.errs.String(), why) {
		t.Errorf("the call in flight ended with %v, %q; want an error with killed and %q", err, &c.errs, why)
	}
}

func echo(d *harness.Daemon) { d.Must("call", "every", "echo", `{"message":"hello"}`) }

func TestKillLevels(t *testing.T) {
	d := harness.New(t)
	d.Up("every", "everything", everythingTools)
	d.Must("stop", "every")
	before := d.Snapshot()
	d.Must("start", "every.yaml")
	echo(d)
	t.Run("tool", func(t *testing.T) { killTool(t, d) })
	t.Run("server", func(t *testing.T) {
		killServer(t, d, before, "every", "every was killed", func() { d.Must("kill", "every", "--why", "level server") }, "level server")
	})
	t.Run("all", func(t *testing.T) {
		killServer(t, d, before, "--all", "everything was killed", func() { d.Must("kill", "--all", "--why", "level all") }, "level all")
	})
	t.Run("SIGUSR1", func(t *testing.T) {
		killServer(t, d, before, "--all", "everything was killed", func() { syscall.Kill(d.Pid(), syscall.SIGUSR1) }, "signal")
	})
	d.Must("stop", "every")
	for name, sig := range map[string]syscall.Signal{"run SIGINT": syscall.SIGINT, "run SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) { killRun(t, d, before, sig) })
	}
}

// killTool shows that one tool dies and the rest of its server lives.
func killTool(t *testing.T, d *harness.Daemon) {
	const tool = "every/trigger-long-running-operation"
	pids := len(d.Pids())
	c := begin(t, d)
	d.Must("kill", tool, "--why", "level tool")
	c.failed(t, "level tool")
	if got := len(d.Pids()); got != pids {
		t.Errorf("%d processes after the kill of a tool, %d before", got, pids)
	}
	echo(d)
	restart := func() { d.Shutdown(); d.Start(); d.Ready(); d.Must("start", "every.yaml") }
	restart()
	_, errs, code := d.Run("call", "every", "trigger-long-running-operation", `{"duration":0,"steps":1}`)
	if code != 3 || !strings.Contains(errs, "killed") {
		t.Errorf("the killed tool after a restart: exit code %d, %q", code, errs)
	}
	echo(d)
	d.Must("revive", tool, "--why", "test")
	d.Must("call", "every", "trigger-long-running-operation", `{"duration":0,"steps":1}`)
}

// killServer shows that a kill with a call in flight leaves nothing, holds across
// a restart of the daemon, and can be taken back. The server runs again after it.
func killServer(t *testing.T, d *harness.Daemon, before harness.Leftovers, target, reason string, kill func(), why string) {
	c := begin(t, d)
	kill()
	c.failed(t, why)
	gone(t, d, time.Second)
	d.NothingLeft(before)
	d.Shutdown()
	restart(t, d)
	if _, errs, code := d.Run("start", "every.yaml"); code != 3 || !strings.Contains(errs, reason) || !strings.Contains(errs, why) {
		t.Errorf("start after a kill: exit code %d, %q; want 3, %q and %q", code, errs, reason, why)
	}
	d.Must("revive", target, "--why", "test")
	d.Must("start", "every.yaml")
	echo(d)
}

// killRun shows that a signal to "mcprun run" is a kill.
func killRun(t *testing.T, d *harness.Daemon, before harness.Leftovers, sig syscall.Signal) {
	cmd := d.Command("run", "every.yaml")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(d.Must("ps", "--json"), `"state": "running"`) {
			break
		}
	}
	echo(d)
	cmd.Process.Signal(sig)
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "killed every") {
		t.Errorf("mcprun run ended with %v, %q", err, &errs)
	}
	gone(t, d, time.Second)
	d.NothingLeft(before)
	if _, text, code := d.Run("start", "every.yaml"); code != 3 || !strings.Contains(text, "was killed") {
		t.Errorf("start after mcprun run was ended: exit code %d, %q", code, text)
	}
	d.Must("revive", "every", "--why", "test")
}
