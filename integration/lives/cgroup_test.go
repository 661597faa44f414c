package lives

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// counter is a number in a file of a server's own control group, wherever the host has
// it: as it stands alone in the file, or behind a name.
func counter(t *testing.T, d *harness.Daemon, server, file, name string) (n int64) {
	t.Helper()
	found := false
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != file || !strings.Contains(path, "/"+d.Dirs.CgroupParent()+"/"+server+"-") {
			return nil
		}
		raw, _ := os.ReadFile(path)
		for line := range strings.Lines(string(raw)) {
			if _, err := fmt.Sscanf(line, strings.TrimSpace(name+" %d"), &n); err == nil {
				found = true
				return fs.SkipAll
			}
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("%s of %s: found %v, %v", file, server, found, err)
	}
	return n
}

// used is the processor time of all processes of all servers, in clock ticks.
func used(t *testing.T, d *harness.Daemon) (n int) {
	t.Helper()
	for _, pid := range d.Pids() {
		n += cpuOf(t, pid)
	}
	return n
}

// stands reports whether the servers use no processor time while the test itself does.
func stands(t *testing.T, d *harness.Daemon) bool {
	t.Helper()
	before, own := used(t, d), cpuOf(t, os.Getpid())
	for cpuOf(t, os.Getpid()) < own+20 {
	}
	return used(t, d) == before
}

// spent is what was used of a server's budget of processor time, in microseconds.
func spent(t *testing.T, d *harness.Daemon, server string) int64 {
	t.Helper()
	var rows []struct {
		Scope, Kind string
		Amount      int64
	}
	if err := json.Unmarshal([]byte(d.Must("limits", "--json")), &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Scope == "server "+server && r.Kind == "cpu" {
			return r.Amount
		}
	}
	t.Fatalf("no budget in %+v", rows)
	return 0
}

// All that a daemon does to a running server through its control group, one after the
// other and within few seconds: a virtual machine whose host has v2 alone tries it too,
// and is ten times as slow.
func TestControlGroupOfAServer(t *testing.T) {
	needs(t)
	d := harness.New(t)
	resources := "resources: {memory: 64MiB, pids: 32, cpu: 1}"
	file := unruly(t, d, "s", resources, "spin: {risk: low}")
	before := d.Snapshot().Containers
	d.Must("start", file)
	c := connect(t, d, "s")
	call := func(tool string, n int) string {
		t.Helper()
		return c.ask("tools/call", fmt.Sprintf(`{"name":%q,"arguments":{"n":%d}}`, tool, n))
	}
	t.Run("a limit that is hit is an event", func(t *testing.T) {
		says(t, call("child", 8), "filled")
		if got := records(t, d, "strain"); len(got) != 0 {
			t.Errorf("recorded of a server within its limits: %+v", got)
		}
		says(t, call("child", 100), "signal: killed", "its memory of 64MiB was used up")
		says(t, call("fork", 100), "resource temporarily unavailable", "as many processes and threads as it may, 32")
		got := records(t, d, "strain")
		// The kernel may tell when the call is being answered, and in flight no more.
		during := func(tool, want string) bool { return tool == want || tool == "" }
		if len(got) != 2 || got[0].Rule != "container.memory" || !during(got[0].Tool, "child") || got[1].Rule != "container.pids" || !during(got[1].Tool, "fork") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("limits of a running server", func(t *testing.T) {
		out, errs, _ := d.Run("limits", "set", "s", "--memory", "256MiB", "--pids", "100", "--cpu", "0.2")
		says(t, out+errs, "memory was 64MiB and is 256MiB", "pids was 32 and is 100", "cpu was 1 and is 0.2")
		says(t, call("child", 100), "filled")
		says(t, call("fork", 1), "forked")
		says(t, call("fill", 40), "filled")
		// What it uses is looked at before: v2 would end its processes.
		if out, errs, code := d.Run("limits", "set", "s", "--memory", "32MiB"); code != 1 || !strings.Contains(errs, "it uses") {
			t.Errorf("exit code %d: %s%s", code, out, errs)
		}
		says(t, call("count", 0), `"text":"1"`)
		held := counter(t, d, "s", "cpu.stat", "nr_throttled")
		says(t, call("spin", 2), "spinning")
		eventually(t, "a server that is held back", func() bool { return counter(t, d, "s", "cpu.stat", "nr_throttled") > held+1 })
	})
	t.Run("paused and resumed", func(t *testing.T) {
		d.Must("pause", "s", "--why", "a look at it")
		if !stands(t, d) {
			t.Error("a paused process ran")
		}
		says(t, call("count", 0), "was paused by", "a look at it")
		d.Must("resume", "s")
		ran := used(t, d)
		says(t, call("count", 0), `"text":"2"`)
		eventually(t, "the control, that it runs again", func() bool { return used(t, d) > ran+10 })
		d.Must("pause", "s")
		d.Must("kill", "s", "--why", "seen enough")
		// With v2 alone the container was left: runc took it for paused.
		eventually(t, "nothing is left", func() bool { return len(d.Pids()) == 0 && slices.Equal(d.Snapshot().Containers, before) })
	})
	anew := func(t *testing.T, more string) {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(d.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		d.Write("s.yaml", strings.Replace(string(raw), resources, more, 1))
		d.Must("start", file)
		resources = more
		c = connect(t, d, "s")
	}
	t.Run("frozen when nobody uses it", func(t *testing.T) {
		d.Must("revive", "s", "--why", "test")
		anew(t, "idle: freeze\ntimeouts: {idle: 1s}")
		says(t, call("spin", 1), "spinning")
		says(t, call("count", 0), `"text":"1"`)
		eventually(t, "the rest", func() bool { return status(t, d, "s").State == "frozen" })
		if !stands(t, d) {
			t.Error("a frozen process ran")
		}
		ran := used(t, d)
		says(t, call("count", 0), `"text":"2"`) // the same life goes on
		eventually(t, "the control, that it runs again", func() bool { return used(t, d) > ran+10 })
		d.Must("stop", "s")
	})
	t.Run("its processor time is counted", func(t *testing.T) {
		d.Must("limits", "reset", "s", "--why", "what its earlier lives used is counted too")
		anew(t, "resources: {cpu: 1}\nlimits: {budget: {cpu: 5s/month}}")
		says(t, call("count", 0), `"text":"1"`)
		says(t, call("spin", 1), "spinning")
		eventually(t, "the end of its budget", func() bool { return status(t, d, "s").State == "stopped" })
		says(t, status(t, d, "s").Why, "may use 5s/month of cpu")
		// Not more than that was used, and most of it.
		if n := spent(t, d, "s"); n > 5_000_000 || n < 3_500_000 {
			t.Errorf("%d µs of 5 s are spent", n)
		}
		if _, errs, code := d.Run("start", file); code != 3 || !strings.Contains(errs, "limits reset s") {
			t.Errorf("a start without a budget: %d %s", code, errs)
		}
		d.Must("limits", "reset", "s", "--why", "test")
		d.Must("start", file)
	})
}
