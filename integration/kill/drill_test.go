package kill

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun/integration/harness"
)

// strict are ceilings under which nobody could have a server like the decoy: it is not
// anybody's, and is drilled under them all the same.
const strict = `version: 1
limits: {memory: 1GiB}
egress: {private: false}
revive: {approvers: 2}
risk: {tools: [{name: "hold", risk: block}, {name: "spawn", risk: high}]}
`

type drillReport struct {
	Decoy        string
	Rounds       int
	Aims, Missed int
	Kills        []struct {
		Target, Way, Load string
		Calls, Outward    int
		Faults            []string
		Figures           []struct {
			Step            string
			N               int
			MedianMS, AimMS float64
		}
	}
	Revoked  struct{ N int }
	NotTried []struct{ Way, Why, How string }
}

// left is what of a daemon is on the host and in its folder, but for what grows with every
// request: the record and containerd's own database.
func left(t *testing.T, d *harness.Daemon) any {
	t.Helper()
	var files []string
	err := filepath.WalkDir(d.Dirs.Data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && (path == d.Dirs.Audit() || path == d.Dirs.ContainerdDB()) {
			return fs.SkipDir
		}
		if path != d.Dirs.Limits() && !strings.HasPrefix(path, filepath.Dir(d.Dirs.Known("neighbour"))) || strings.Contains(path, "drill") { // written now and then
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var all []status
	if err := json.Unmarshal([]byte(d.Must("ps", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		names = append(names, s.Name+" "+s.State)
	}
	return struct {
		Host         harness.Leftovers
		Files, Names []string
		Images       []string
		Limits       bool // of a decoy
	}{d.Snapshot(), files, names, blobs(t, d), strings.Contains(d.Must("limits", "--json"), "drill-")}
}

// blobs are what containerd keeps of images.
func blobs(t *testing.T, d *harness.Daemon) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.Dirs.ContainerdDB(), "io.containerd.content.v1.content", "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// nothingLeft waits until all is as it was.
func nothingLeft(t *testing.T, d *harness.Daemon, before any) {
	t.Helper()
	var diff string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if diff = cmp.Diff(before, left(t, d)); diff == "" {
			return
		}
	}
	t.Errorf("it left something (- before, + after):\n%s", diff)
}

// throughout calls a server again and again until it is told to stop, and then says how
// many calls were answered; none may fail.
func throughout(t *testing.T, d *harness.Daemon, server string) (stop func() int) {
	end, answered := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { answered <- n }()
		for {
			select {
			case <-end:
				return
			default:
			}
			out, err := echo(d, server).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "hello") {
				t.Errorf("a call of the neighbour: %v, %s", err, out)
				return
			}
			n++
		}
	}()
	return func() int { close(end); return <-answered }
}

// A drill kills its decoy in every way, says how long each step took, and nobody else
// notices; nor does anything of it stay, however it ends.
func TestDrill(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(strict), 0o644); err != nil {
		t.Fatal(err)
	}
	d := harness.New(t, "-web", "localhost:0", "-clients", "65534", "-policy", policy)
	makeKey(t, d)
	d.Up("neighbour", "everything", "labels: {team: payments}\nlimits: {rate: none, repeats: none}\ntimeouts: {call: 10m}\n"+tools)
	before := left(t, d)

	t.Run("whole", func(t *testing.T) {
		call := long(t, d, "neighbour", 0)
		stop := throughout(t, d, "neighbour")
		out, errs, code := d.Run("drill", "kill", "--rounds", "1", "--servers", "3", "--json", "--why", "monthly")
		if n := stop(); n == 0 {
			t.Error("the neighbour answered nothing meanwhile")
		}
		call.goesOn(t)
		var r drillReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: exit code %d\n%s%s", err, code, out, errs)
		}
		judgeReport(t, r)
		if want := map[bool]int{true: 1, false: 0}[r.Missed > 0]; code != want {
			t.Errorf("exit code %d with %d aims missed", code, r.Missed)
		}
		nothingLeft(t, d, before)
		judgeRecord(t, d, r)
	})
	t.Run("interrupted", func(t *testing.T) {
		call := long(t, d, "neighbour", 0)
		first := drillUnderWay(t, d)
		if text, code := begin(t, d.Command("drill", "kill")).end(t); code != 1 || !strings.Contains(text, "a drill goes on, begun by uid:0") || !strings.Contains(text, "mcprun: hint:") {
			t.Errorf("a second drill: exit code %d, %s", code, text)
		}
		if text, code := begin(t, asUser(d.Command("drill", "kill"), someone)).end(t); code != 3 || !strings.Contains(text, "operator") {
			t.Errorf("a drill of one who is no operator: exit code %d, %s", code, text)
		}
		first.Process.Signal(syscall.SIGINT)
		if text, code := first.end(t); code != 1 || !strings.Contains(text, "interrupted") {
			t.Errorf("interrupted: exit code %d, %s", code, text)
		}
		nothingLeft(t, d, before)
		call.goesOn(t)
	})
	// What mcprun run may do for the drill, which policy forbids, nobody else may: not with
	// the decoy's own file, either.
	t.Run("run by somebody else", func(t *testing.T) {
		first := drillUnderWay(t, d)
		if text, code := begin(t, d.Command("run", filepath.Join(d.Dirs.Drill(), "server.yaml"))).end(t); code != 3 || !strings.Contains(text, "are not pinned") {
			t.Errorf("exit code %d, %s", code, text)
		}
		first.Process.Signal(syscall.SIGINT)
		first.end(t)
		nothingLeft(t, d, before)
	})
	t.Run("its client killed", func(t *testing.T) {
		first := drillUnderWay(t, d)
		first.Process.Kill()
		first.end(t)
		nothingLeft(t, d, before)
	})
	t.Run("the daemon killed", func(t *testing.T) {
		drillUnderWay(t, d)
		eventually(t, "a switch on the disk", func() bool { return len(switches(t, d)) > 0 })
		d.Crash()
		if len(switches(t, d)) == 0 {
			t.Fatal("the crash left no switch: this shows nothing")
		}
		d.Start()
		d.Ready()
		if found := switches(t, d); len(found) > 0 {
			t.Errorf("switches are left: %q", found)
		}
		if _, err := os.Stat(d.Dirs.Drill()); err == nil {
			t.Error("the decoy's folder is left")
		}
		d.Must("start", "neighbour.yaml")
		answers(t, echo(d, "neighbour"))
	})
	d.Must("audit", "verify")
}

// drillUnderWay begins a drill and returns when it is in its rounds.
func drillUnderWay(t *testing.T, d *harness.Daemon) *program {
	t.Helper()
	p := begin(t, d.Command("drill", "kill", "--rounds", "100", "--servers", "2"))
	eventually(t, "a decoy that runs", func() bool {
		var all []status
		if err := json.Unmarshal([]byte(d.Must("ps", "--json")), &all); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(s status) bool { return strings.HasPrefix(s.Name, "drill-") && s.State == "running" })
	})
	return p
}

func switches(t *testing.T, d *harness.Daemon) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.Dirs.Switches(), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// judgeReport looks whether each kill was made and did what it should. How long that took
// depends on who else works on this machine, and is for the benchmark.
func judgeReport(t *testing.T, r drillReport) {
	t.Helper()
	var kills []string
	for _, k := range r.Kills {
		kills = append(kills, k.Target+" by "+k.Way+", "+k.Load)
		if len(k.Faults) > 0 {
			t.Errorf("%s by %s: %q", k.Target, k.Way, k.Faults)
		}
		if k.Calls != 8 || k.Outward != 8 {
			t.Errorf("%s by %s found %d calls and %d ways out; want 8 of each", k.Target, k.Way, k.Calls, k.Outward)
		}
		want := []string{"deny", "record", "cut", "fail", "stay dead", "heard", "calls told", "ways out cut", "revoked"}
		if k.Target == "server" || k.Target == "label" {
			want = append(want, "kill", "clean", "processes gone")
		}
		for _, step := range want {
			i := slices.IndexFunc(k.Figures, func(f struct {
				Step            string
				N               int
				MedianMS, AimMS float64
			}) bool {
				return f.Step == step
			})
			if i < 0 || k.Figures[i].N != 1 {
				t.Errorf("%s by %s has no figure of the step %q", k.Target, k.Way, step)
			}
		}
	}
	want := []string{"tool by command, calls", "client by command, calls", "server by command, 10 processes", "label by command, 10 processes", "server by command, 100 processes",
		"server by command, 1 GiB resident", "label by command, 3 servers", "server by file, 10 processes", "server by http, 10 processes", "server by page, 10 processes",
		"server by run, 10 processes"}
	if diff := cmp.Diff(want, kills); diff != "" {
		t.Errorf("the kills (- want, + got):\n%s", diff)
	}
	if r.Rounds != 1 || r.Revoked.N != len(want) || r.Aims != 31 {
		t.Errorf("%d rounds, %d kills, %d aims; want 1, %d, 31", r.Rounds, r.Revoked.N, r.Aims, len(want))
	}
	for _, way := range []string{"kill --all, SIGUSR1", "without a daemon"} {
		if !slices.ContainsFunc(r.NotTried, func(n struct{ Way, Why, How string }) bool {
			return strings.Contains(n.Way, way) && n.Why != "" && n.How != ""
		}) {
			t.Errorf("it does not say that it did not try %s", way)
		}
	}
	if len(r.NotTried) != 2 {
		t.Errorf("not tried: %+v", r.NotTried)
	}
}

// judgeRecord looks for the ordinary records of the kills, and for the drill's own.
func judgeRecord(t *testing.T, d *harness.Daemon, r drillReport) {
	t.Helper()
	kills, revived, drills := 0, 0, []string{}
	detail := map[string]string{}
	for line := range strings.Lines(d.Must("audit", "tail", "-n", "2000", "--json")) {
		var rec struct {
			Type, Server, Outcome, Who, Why string
			Detail                          map[string]string
		}
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatal(err)
		}
		switch rec.Type {
		case "kill":
			kills++
			interrupted := rec.Why == "mcprun run got interrupt" // says so itself
			if !interrupted && !strings.HasPrefix(rec.Why, "drill: monthly (asked for by uid:0)") || rec.Detail["way"] == "" {
				t.Errorf("a kill is recorded with %q, by the way %q", rec.Why, rec.Detail["way"])
			}
		case "revive":
			revived++
		case "drill":
			drills, detail = append(drills, rec.Outcome), rec.Detail
		}
	}
	if kills != len(r.Kills) || revived != kills {
		t.Errorf("%d kills and %d revivals are recorded; want %d", kills, revived, len(r.Kills))
	}
	if len(drills) != 2 || drills[0] != "begun" || !strings.Contains(drills[1], "aims") {
		t.Errorf("records of the drill: %q", drills)
	}
	if got := detail["server-by-file-10-processes"]; !strings.Contains(got, "processes gone ") || detail["revoked-ms"] == "" {
		t.Errorf("the record has %q", detail)
	}
	if text := d.Must("audit", "tail", "-n", "2000"); !strings.Contains(text, "revoked-ms: median ") {
		t.Errorf("audit tail does not show the figures:\n%s", text)
	}
}
