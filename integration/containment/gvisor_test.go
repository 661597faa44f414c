package containment

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/probe/result"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/manifest"
)

// inTheSandbox are severe operations that reach gVisor's own kernel and not the host's,
// each with why it gives nothing away.
var inTheSandbox = map[string]string{
	"identity.map.uid": "a second map is refused, with another error than Linux has",
	"identity.map.gid": "the same",
}

// unlikeLinux are operations that gVisor's kernel answers in a way that the probe cannot
// read: it has no timer slack, and nothing can be mapped at address zero.
var unlikeLinux = map[string]bool{"scheduling.timer-slack": true, "memory.map-null": true}

func TestProbeUnderGVisor(t *testing.T) {
	testenv.Need(t, "gvisor")
	results := behind(t, open(t), manifest.GVisor, probeImage(t), "go", 64, 256<<20)
	counts := result.Count(results)
	t.Logf("%+v", counts)
	if counts.Total < 350 {
		t.Errorf("only %d operations were tried", counts.Total)
	}
	for _, r := range result.LetThrough(results, true) {
		if _, known := inTheSandbox[r.Name]; !known {
			t.Errorf("severe: %s: %s %s", r.Name, r.Verdict, r.Detail)
		}
	}
	documented(t, underGVisor, results)
	for _, r := range results {
		if r.Verdict == result.Error && !unlikeLinux[r.Name] {
			t.Errorf("not tried: %s: %s", r.Name, r.Detail)
		}
	}
	if counts.Allowed > maxAllowed {
		t.Errorf("%d operations get through, at most %d are known to be harmless", counts.Allowed, maxAllowed)
	}
}

// A server behind gVisor is what it is behind runc to those who use it and stop it: its
// folders are its owner's, it reaches nothing, it stands still and it ends. Files that it
// makes were refused at first: gVisor makes them as the container's root.
func TestServerUnderGVisor(t *testing.T) {
	testenv.Need(t, "gvisor")
	d := harness.New(t)
	const owner = 4321
	folder := filepath.Join(d.Dir, "data")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Write("data/mine", "old")
	for _, path := range []string{folder, filepath.Join(folder, "mine")} {
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	d.Up("walled", "commands", "isolation: gvisor\nprofile: node\nresources: {memory: 512MiB, pids: 64}\nfiles: [{from: ./data, to: /workspace, access: write}]\ntools: {run_command: {risk: low, arguments: {command: {unchecked: tests}}}}\n")
	sh := func(command string) string {
		out, errs, _ := d.Run("call", "walled", "run_command", "--arg", "command="+command)
		return out + errs
	}
	for _, one := range []struct{ command, says string }{
		{"cat /proc/version", "Linux version 4.4.0"}, // gVisor's own kernel, not the host's
		{"grep Seccomp: /proc/self/status", "2"},
		{"grep CapBnd: /proc/self/status", "0000000000000000"},
		{"cat /workspace/mine", "old"},
		{"echo new > /workspace/new && cat /workspace/new", "new"},
		{"touch /usr/x", "cannot touch"},
		{`node -e "fetch('http://198.51.100.1/', {signal: AbortSignal.timeout(5000)}).then(() => console.log('reached'), e => console.log('kept in'))"`, "kept in"},
	} {
		if out := sh(one.command); !strings.Contains(out, one.says) {
			t.Errorf("%s: %s", one.command, out)
		}
	}
	if out := d.Must("inspect", "walled"); !strings.Contains(out, "none: behind gVisor it is not used") {
		t.Errorf("Landlock is claimed:\n%s", out)
	}
	// "Refused no system call" would be untrue of what is not seen.
	if out := sh("/usr/sbin/chroot / true"); !strings.Contains(out, "Operation not permitted") {
		t.Errorf("it is not refused: %s", out)
	}
	if _, errs, _ := d.Run("profile", "denials", "walled"); !strings.Contains(errs, "gVisor refuses system calls and tells nobody; to see which ones walled is refused, start it with isolation: runc") || strings.Contains(errs, "no system call") {
		t.Errorf("what is refused unseen: %s", errs)
	}
	if out := d.Must("inspect", "walled"); !strings.Contains(out, "not seen: gVisor") {
		t.Errorf("what is refused unseen:\n%s", out)
	}
	info, err := os.Stat(filepath.Join(folder, "new"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != owner {
		t.Errorf("what the server made is not its folder's owner's: %v, %v", info, err)
	}
	d.Must("stop", "walled")
	if _, errs, code := d.Run("learn", "walled.yaml", "--", "true"); code != 2 || !strings.Contains(errs, "learn with isolation: runc") {
		t.Errorf("learning, for which there is nobody to ask: code %d: %s", code, errs)
	}
	learned, err := os.ReadFile("../../docs/profiles/gosdk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d.Write("learned.yaml", string(learned))
	d.Write("tight.yaml", "version: 1\nname: tight\nimage: "+harness.Image("gosdk")+"\nisolation: gvisor\nprofile: ./learned.yaml\n")
	if _, errs, code := d.Run("lock", "tight.yaml"); code != 2 || !strings.Contains(errs, "has no execve") {
		t.Errorf("a profile under which nothing begins: code %d: %s", code, errs)
	}
	before := d.Snapshot()
	d.Must("start", "walled.yaml")
	// The freezer took from gVisor's processes the calls that they wait in, and the server
	// ended when it was to go on.
	d.Must("pause", "walled")
	if ps := d.Must("ps"); !strings.Contains(ps, "paused") {
		t.Errorf("it is not paused:\n%s", ps)
	}
	d.Must("resume", "walled")
	if out := sh("echo again"); !strings.Contains(out, "again") {
		t.Errorf("after a pause: %s", out)
	}
	d.Must("pause", "walled")
	if out := d.Must("kill", "walled", "--why", "test"); !strings.Contains(out, "killed walled") {
		t.Error(out)
	}
	if pids := d.Pids(); len(pids) > 0 {
		t.Errorf("processes are left after a kill: %v", pids)
	}
	d.NothingLeft(before) // runsc did not see that what was killed while paused had ended
	d.Must("revive", "walled", "--why", "test")
	d.Must("start", "walled.yaml")
	d.Must("stop", "walled")
	d.NothingLeft(before)
}

// Where runsc is missing the server is not started under something weaker.
func TestMissingGVisorIsSaid(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	d := harness.Prepare(t, "-programs", programs(t)) // without runsc
	d.Start()
	if !d.Ready() {
		t.Fatal("the daemon does not start")
	}
	d.Write("x.yaml", "version: 1\nname: x\nimage: "+harness.Image("gosdk")+"\nisolation: gvisor\nprofile: go\n")
	if _, errs, code := d.Run("lock", "x.yaml"); code == 0 || !strings.Contains(errs, "mcprun-runsc is not in") || !strings.Contains(errs, "make setup-gvisor") {
		t.Errorf("code %d: %s", code, errs)
	}
}
