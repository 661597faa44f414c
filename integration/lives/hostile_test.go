package lives

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// neighbours is how many calls of a quiet server are made beside each hostile one.
const neighbours = 300

// TestHostileServers lets a server do its worst, one way at a time: it stays within its
// limits, every call of a server beside it is answered, and a kill leaves nothing of it.
// How much longer the other's calls take is told, and is no matter of right or wrong here:
// other tests may run on the machine.
func TestHostileServers(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Must("start", unruly(t, d, "quiet", "limits: {rate: none, repeats: none}"))
	quiet := connect(t, d, "quiet")
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	d.Write("bad.yaml", "version: 1\nname: bad\nimage: "+archive+"\nprofile: go\nresources: {memory: 64MiB, cpu: 1, pids: 48}\nfiles: [{tmpfs: /tmp, size: 8MiB}]\ntimeouts: {call: 3s}\n"+
		"tools: {deaf: {risk: low}, bomb: {risk: low}, detach: {risk: low}, fill: {risk: low}, litter: {risk: low}, shout: {risk: low}, mutter: {risk: low}, ignore: {risk: low}, drip: {risk: low}, spin: {risk: low}, hammer: {risk: low}}\n")
	d.Must("lock", "bad.yaml")
	calm := p99(t, quiet)
	for _, row := range []struct {
		tool string
		n    int
	}{{"deaf", 8}, {"bomb", 0}, {"detach", 8}, {"fill", 4096}, {"litter", 0}, {"shout", 0}, {"mutter", 0}, {"ignore", 0}, {"drip", 50}, {"spin", 8}, {"hammer", 32}} {
		t.Run(row.tool, func(t *testing.T) {
			d.Must("start", "bad.yaml")
			bad := connect(t, d, "bad")
			bad.send("tools/call", fmt.Sprintf(`{"name":%q,"arguments":{"n":%d}}`, row.tool, row.n))
			time.Sleep(300 * time.Millisecond) // its worst is under way
			busy := p99(t, quiet)
			pids := ofServer(d, "bad")
			if len(pids) == 0 && row.tool != "fill" { // which the kernel has ended by now
				t.Error("it has ended, and shows nothing")
			}
			if len(pids) > 48 {
				t.Errorf("%d processes where 48 threads are allowed", len(pids))
			}
			begun := time.Now()
			d.Must("kill", "bad", "--why", "test")
			took := time.Since(begun)
			if left := ofServer(d, "bad"); len(left) > 0 {
				t.Errorf("%d processes are left", len(left))
			}
			t.Logf("p99 of the other's calls %v, alone %v; %d processes; mcprun kill took %v with the start of the command", busy, calm, len(pids), took)
			d.Must("revive", "bad", "--why", "test")
		})
	}
	p99(t, quiet) // all is as it was
}

// p99 makes calls one after the other, each of which has to be answered.
func p99(t *testing.T, c *client) time.Duration {
	t.Helper()
	var all []time.Duration
	for range neighbours {
		begun := time.Now()
		if out := c.ask("tools/call", `{"name":"count","arguments":{}}`); !strings.Contains(out, `"isError":false`) {
			t.Fatalf("a call of the quiet server: %s", out)
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all[len(all)*99/100].Round(10 * time.Microsecond)
}

// ofServer lists the processes of one server.
func ofServer(d *harness.Daemon, name string) []int {
	var in struct{ Cgroup string }
	out, _, code := d.Run("inspect", name, "--json")
	if code != 0 || json.Unmarshal([]byte(out), &in) != nil || in.Cgroup == "" {
		return within(d.Pids(), "/"+name+"-")
	}
	return within(d.Pids(), in.Cgroup)
}

// within keeps the processes whose cgroup has part in its path.
func within(pids []int, part string) []int {
	seen := map[int]bool{}
	for _, pid := range pids {
		raw, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cgroup"))
		if err == nil && strings.Contains(string(raw), part) {
			seen[pid] = true
		}
	}
	var out []int
	for pid := range seen {
		out = append(out, pid)
	}
	return out
}
