package crash

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

func entries(t *testing.T, d *harness.Daemon, what string) int {
	t.Helper()
	found, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(d.Pid()), what))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func TestHundredStartsAndKills(t *testing.T) {
	t.Parallel()
	d := prepared(t)
	rounds := 100
	if testing.Short() {
		rounds = 6 // one file a round is seen
	}
	round(d) // the first one opens what stays open: the server's log, connections to containerd
	before := d.Snapshot()
	fds, threads := entries(t, d, "fd"), entries(t, d, "task")
	d.Must("start", "go.yaml")
	if got := d.Snapshot(); len(got.Processes) <= len(before.Processes) || len(got.Cgroups) == 0 || len(got.Containers) == 0 {
		t.Fatalf("the lists do not see a running server: %+v", got)
	}
	d.Must("stop", "go")
	for range rounds {
		round(d)
	}
	d.NothingLeft(before)
	if got := entries(t, d, "fd"); got > fds+4 {
		t.Errorf("the daemon has %d open files, %d before", got, fds)
	}
	if got := entries(t, d, "task"); got > threads+10 {
		t.Errorf("the daemon has %d threads, %d before", got, threads)
	}
	t.Logf("%d rounds; open files %d -> %d, threads %d -> %d", rounds, fds, entries(t, d, "fd"), threads, entries(t, d, "task"))
}

// round is one life, ended by a kill.
func round(d *harness.Daemon) {
	d.Must("start", "go.yaml")
	call(d)
	d.Must("kill", "go", "--why", "test")
	d.Must("revive", "go", "--why", "test")
}
