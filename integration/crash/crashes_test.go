package crash

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// scenario is one life of a daemon with each kind of step in it.
var scenario = []string{
	"lock go.yaml", "start go.yaml", "call go test_simple_text {}",
	"kill go/test_simple_text --why test", "kill go --why test", "revive go --why test", "revive go/test_simple_text --why test",
	"start go.yaml", "stop go", "start second.yaml", "start go.yaml", "call second test_simple_text {}",
	"kill --all --why test", "revive --all --why test", "start go.yaml", "start second.yaml", "shutdown",
}

const (
	crashes    = 200
	readyAfter = 5 * time.Second
)

// crasher runs scenarios on one set of folders.
type crasher struct {
	t        *testing.T
	d        *harness.Daemon
	ordinary string // folder of the ordinary programs
	before   harness.Leftovers
	slowest  time.Duration
}

func TestTwoHundredCrashes(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 10
	}
	begun, all := time.Now(), newSteps()
	t.Run("crash", func(t *testing.T) {
		for first := range lines {
			t.Run(strconv.Itoa(first), func(t *testing.T) {
				t.Parallel()
				c := newCrasher(t)
				hits := c.count()
				if hits < crashes {
					t.Fatalf("the scenario passes %d fail points, want %d or more", hits, crashes)
				}
				for i := 1 + first*step; i <= crashes; i += lines * step {
					name := c.crash(hits * i / crashes)
					all.add(name, c.slowest)
					if t.Failed() {
						t.Fatalf("after the crash at %s", name)
					}
				}
			})
		}
	})
	t.Logf("%d crashes in %v at %d different steps, slowest restart %v", all.n, time.Since(begun).Round(time.Second), len(all.at), all.slowest.Round(time.Millisecond))
	if want := crashes / step; all.n != want && !t.Failed() {
		t.Errorf("%d crashes, want %d", all.n, want)
	}
	for _, name := range slices.Sorted(maps.Keys(all.at)) {
		t.Logf("%4d %s", all.at[name], name)
	}
}

// lines is how many daemons crash side by side: much of a crash is waiting.
const lines = 2

// steps counts at which ones daemons crashed.
type steps struct {
	mu      sync.Mutex
	n       int
	at      map[string]int
	slowest time.Duration
}

func newSteps() *steps { return &steps{at: map[string]int{}} }

func (s *steps) add(name string, slowest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.at[name]++
	s.slowest = max(s.slowest, slowest)
}

// newCrasher brings up a daemon whose folders have the image, and lists what an
// idle daemon has on them.
func newCrasher(t *testing.T) *crasher {
	testenv.Need(t, "root", "containerd", "images")
	bin := os.Getenv("MCPRUN_BIN")
	d := harness.Prepare(t, "-programs", bin)
	c := &crasher{t: t, d: d, ordinary: bin}
	c.start(c.ordinary)
	d.Bin = programs.client
	d.Up("go", "gosdk", goTools)
	d.Up("second", "gosdk", goTools)
	d.Shutdown()
	c.start(c.ordinary)
	c.before = d.Snapshot()
	d.Shutdown()
	return c
}

// start starts a daemon; commands go on coming from the folder without one.
func (c *crasher) start(bin string, env ...string) (ready bool) {
	c.d.Bin = bin
	c.d.Start(env...)
	c.d.Bin = programs.client
	return c.d.Ready()
}

// count runs the scenario to its end and returns how many fail points it passes.
func (c *crasher) count() int {
	from := len(c.log())
	if !c.start(programs.crashing, "MCPRUN_CRASH_TRACE=1") {
		c.t.Fatal("the daemon ended at its start")
	}
	for _, step := range scenario {
		c.d.Must(strings.Fields(step)...)
	}
	c.d.Wait()
	return strings.Count(c.log()[from:], "failpoint ")
}

func (c *crasher) log() string {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(c.d.Dir), "daemon.log"))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(raw)
}

var crashLine = regexp.MustCompile(`failpoint: crash at \d+ (\S+)`)

// crash lets a daemon crash at its nth fail point, or a few before where this
// life passes fewer, and returns the step's name.
func (c *crasher) crash(n int) string {
	c.t.Helper()
	for range 5 {
		from := len(c.log())
		switches := c.live(n)
		c.recover(switches)
		if m := crashLine.FindStringSubmatch(c.log()[from:]); m != nil {
			return m[1]
		}
		n = max(1, n-5)
	}
	c.t.Fatalf("no crash at fail point %d", n)
	return ""
}

// live runs the scenario until the daemon is gone. It returns which switches a
// command that succeeded has thrown (true) or taken back (false).
func (c *crasher) live(n int) map[string]bool {
	known := map[string]bool{}
	ready := c.start(programs.crashing, "MCPRUN_CRASH_AT="+strconv.Itoa(n))
	for _, step := range scenario {
		if !ready || c.d.Ended() {
			break
		}
		args := strings.Fields(step)
		_, _, code := c.d.Run(args...)
		switch {
		case args[0] != "kill" && args[0] != "revive":
		case code == 0:
			known[args[1]] = args[0] == "kill"
		default:
			delete(known, args[1]) // it may have got as far or not
		}
	}
	if !c.d.Ended() {
		c.d.Wait()
	}
	return known
}

// recover starts an ordinary daemon on what the crash left.
func (c *crasher) recover(known map[string]bool) {
	c.t.Helper()
	begun := time.Now()
	if !c.start(c.ordinary) {
		c.t.Fatal("no daemon starts after the crash")
	}
	took := time.Since(begun)
	if c.slowest = max(c.slowest, took); took > readyAfter {
		c.t.Errorf("ready %v after the crash, want %v", took, readyAfter)
	}
	c.d.NothingLeft(c.before)
	c.checkSwitches(known)
	if out, errs, code := c.d.Run("audit", "verify"); code != 0 {
		c.t.Errorf("the record is not whole: %s%s", out, errs)
	}
	for _, k := range c.held() {
		target, _, _ := strings.Cut(k, " by ")
		c.d.Must("revive", strings.Replace(target, "everything", "--all", 1), "--why", "test")
	}
	c.d.Shutdown()
}

func (c *crasher) switchFiles() []string {
	found, _ := filepath.Glob(c.d.Dirs.Switches() + "/*.json")
	return found
}

// checkSwitches compares the switches that hold with what is on disk, and with what
// commands reported.
func (c *crasher) checkSwitches(known map[string]bool) {
	c.t.Helper()
	held := c.held()
	if onDisk := len(c.switchFiles()); len(held) != onDisk {
		c.t.Errorf("switches that hold: %q, but %d are on disk", held, onDisk)
	}
	for target, thrown := range known {
		name := strings.Replace(target, "--all", "everything", 1) + " by "
		if holds := slices.ContainsFunc(held, func(k string) bool { return strings.HasPrefix(k, name) }); holds != thrown {
			c.t.Errorf("the switch of %s holds: %v, but the command before the crash reported %v; all: %q", target, holds, thrown, held)
		}
	}
	if (known["go"] || known["--all"]) && !c.refused() {
		c.t.Error("a killed server can be started after the crash")
	}
}

// held lists the switches that hold in the daemon.
func (c *crasher) held() []string {
	_, errs, _ := c.d.Run("ps")
	var out []string
	for line := range strings.Lines(errs) {
		if k, ok := strings.CutPrefix(line, "mcprun: killed: "); ok {
			out = append(out, k)
		}
	}
	return out
}

// refused reports whether a start of the server is refused for its switch.
func (c *crasher) refused() bool {
	_, errs, code := c.d.Run("start", "go.yaml")
	return code == 3 && strings.Contains(errs, "was killed by")
}
