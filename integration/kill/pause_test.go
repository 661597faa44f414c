package kill

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// A paused server does nothing and its calls are refused with the reason; it goes on as
// if nothing had been, and can be stopped or killed as it stands.
func TestPause(t *testing.T) {
	d := harness.New(t)
	d.Up("s", "commands", "profile: node\ntools: {run_command: {risk: low, arguments: {command: {unchecked: test}}}}\n")
	run := func(command string) string {
		out, errs, _ := d.Run("call", "s", "run_command", `{"command":"`+command+`"}`)
		return out + errs
	}
	run("(while :; do :; done) >/dev/null 2>&1 &")
	busy := busiest(t, d)
	d.Must("pause", "s", "--why", "a look at it")
	before := ticks(busy)
	time.Sleep(500 * time.Millisecond)
	if after := ticks(busy); after != before {
		t.Errorf("a paused process ran for %d ticks", after-before)
	}
	if out := run("echo hello"); !strings.Contains(out, "was paused by") || !strings.Contains(out, "a look at it") || !strings.Contains(out, "mcprun resume s") {
		t.Errorf("a call to a paused server: %s", out)
	}
	if out := d.Must("ps"); !strings.Contains(out, "paused") {
		t.Errorf("mcprun ps: %s", out)
	}
	if _, errs, code := d.Run("pause", "s"); code == 0 || !strings.Contains(errs, "paused already") {
		t.Errorf("paused twice: %s", errs)
	}
	d.Must("resume", "s")
	if out := run("echo hello"); !strings.Contains(out, "hello") {
		t.Errorf("a call to a resumed server: %s", out)
	}
	if after := ticks(busy); after == before {
		t.Error("the control: the process does not run again")
	}
	if _, errs, code := d.Run("resume", "s"); code == 0 || !strings.Contains(errs, "not paused") {
		t.Errorf("resumed twice: %s", errs)
	}
	d.Must("pause", "s")
	d.Must("stop", "s")
	d.Must("start", "s.yaml")
	if out := run("echo again"); !strings.Contains(out, "again") {
		t.Errorf("started after it was stopped while paused: %s", out)
	}
	d.Must("pause", "s")
	d.Must("kill", "s", "--why", "seen enough")
	if left := d.Pids(); len(left) > 0 {
		t.Errorf("a kill of a paused server left %v", left)
	}
	if out := d.Must("audit", "tail", "-n", "50"); !strings.Contains(out, "a look at it") || !strings.Contains(out, "resumed") {
		t.Errorf("the record: %s", out)
	}
}

// busiest is the process of the daemon's cgroups that has run longest.
func busiest(t *testing.T, d *harness.Daemon) int {
	t.Helper()
	time.Sleep(time.Second)
	best := 0
	for _, pid := range d.Pids() {
		if best == 0 || ticks(pid) > ticks(best) {
			best = pid
		}
	}
	if best == 0 {
		t.Fatal("no process")
	}
	return best
}

// ticks is the processor time of a process: fields 14 and 15 of proc_pid_stat(5).
func ticks(pid int) int {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return -1
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return user + system
}
