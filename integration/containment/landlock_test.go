package containment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/probe/result"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/runtime"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// Some of what gets through without Landlock is refused with it, and nothing gets through
// that was refused.
func TestLandlockAddsToTheProbe(t *testing.T) {
	testenv.Need(t, "containerd", "landlock")
	rt, archive := open(t), probeImage(t)
	without := probed(t, rt, archive, "go", []string{"-limits"}, withoutLandlock, nil)
	with := probed(t, rt, archive, "go", []string{"-limits"}, func(*runtime.Plan) {}, nil)
	t.Logf("without: %+v", result.Count(without))
	t.Logf("with:    %+v", result.Count(with))
	documented(t, underRunc, without)
	documented(t, underLandlock, with)
	before := byName(without)
	refused := 0
	for _, r := range with {
		b := before[r.Name]
		if r.Verdict != b.Verdict {
			t.Logf("%s: %s %s, with Landlock %s %s", r.Name, b.Verdict, b.Errno, r.Verdict, r.Errno)
		}
		if b.Verdict == result.Allowed && r.Verdict == result.Denied {
			refused++
		}
		if b.Verdict == result.Denied && r.Verdict == result.Allowed {
			t.Errorf("%s gets through with Landlock alone: %s", r.Name, r.Detail)
		}
	}
	if refused == 0 {
		t.Error("Landlock refuses nothing that was let through without it")
	}
}

func withoutLandlock(p *runtime.Plan) {
	p.Enclose = func(*landlock.Rules) *landlock.Rules { return nil }
}

func byName(rs []result.Result) map[string]result.Result {
	out := map[string]result.Result{}
	for _, r := range rs {
		out[r.Name] = r
	}
	return out
}

// refusedByLandlock are what the other fences let through, with what Landlock answers: a
// folder of the host's that was left open, the container's own files in /proc, sockets and
// pipes in a folder of the host's, a listener that shares the network namespace, and any
// TCP where no network was asked for.
var refusedByLandlock = map[string]string{
	"handed.read": "EACCES", "handed.write": "EACCES", "handed.create": "EACCES", "handed.list": "EACCES", "handed.parent": "EACCES", "handed.execute": "EACCES",
	"handed.abstract": "EPERM", "proc.self.oom-score-adj": "EACCES", "proc.self.projid-map": "EACCES",
	"granted.fifo": "EACCES", "granted.socket": "EACCES", "network.own-loopback": "EACCES",
}

// What Landlock is for: each of these gets through without it, in the same container with
// the same mounts, profile and user, and what servers need gets through with it.
func TestLandlockIsASecondFence(t *testing.T) {
	testenv.Need(t, "containerd", "landlock")
	rt, archive := open(t), probeImage(t)
	without := byName(handed(t, rt, archive, true))
	with := byName(handed(t, rt, archive, false))
	if len(without) != len(with) || len(with) <= len(refusedByLandlock) {
		t.Fatalf("%d operations without, %d with", len(without), len(with))
	}
	want, got := maps.Clone(refusedByLandlock), map[string]string{}
	version, err := landlock.ABI()
	if err != nil {
		t.Fatal(err)
	}
	for name, since := range map[string]int{"network.own-loopback": 4, "handed.abstract": 6} {
		if version < since {
			delete(want, name)
		}
	}
	t.Logf("version %d", version)
	for name, r := range with {
		if w := without[name]; w.Verdict != result.Allowed {
			t.Errorf("control: %s without Landlock: %s %s %s", name, w.Verdict, w.Errno, w.Detail)
		}
		if r.Verdict != result.Allowed {
			got[name] = r.Errno
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// handed runs the probe with a folder of the host's granted, and another one left open to it.
func handed(t *testing.T, rt *runtime.Runtime, archive string, without bool) []result.Result {
	t.Helper()
	granted, left := t.TempDir(), hostFolder(t)
	folder, err := os.Open(left)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	return probed(t, rt, archive, "go", []string{"-handed"}, func(p *runtime.Plan) {
		if without {
			withoutLandlock(p)
		}
		p.Server.Files = []manifest.File{{From: granted, To: "/workspace", Access: manifest.Write}}
	}, func(inst *runtime.Instance) {
		if stands := inst.Landlock != nil; stands == without {
			t.Errorf("Landlock without=%v: %s", without, inst.LandlockState())
		}
		listenBeside(t, inst.Pid())
		if _, _, err := inst.Stdio.WriteMsgUnix([]byte{1}, unix.UnixRights(int(folder.Fd())), nil); err != nil {
			t.Fatal(err)
		}
	})
}

// hostFolder is one that everybody may use, with a file and a program, as far as the host's
// own permissions go.
func hostFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcprun-left-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("the host's\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, file: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "program")
	if built, ok := harness.Prebuilt("probe"); ok {
		run(t, "cp", built, program)
	} else {
		run(t, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./integration/probe")
	}
	return dir
}

// listenBeside listens at an abstract name in a container's network namespace.
func listenBeside(t *testing.T, pid int) {
	t.Helper()
	type listening struct {
		l   net.Listener
		err error
	}
	done := make(chan listening)
	go func() {
		goruntime.LockOSThread() // and never back: the thread ends with its goroutine
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			done <- listening{err: err}
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- listening{err: err}
			return
		}
		l, err := net.Listen("unix", "@mcprun-probe-outside")
		done <- listening{l, err}
	}()
	got := <-done
	if got.err != nil {
		t.Fatal("listening in the container's network:", got.err)
	}
	t.Cleanup(func() { got.l.Close() })
}

// A running server is enclosed, as ps, inspect and doctor say, and its programs talk with each
// other on loopback as before: TCP is the daemon's to judge.
func TestLandlockIsShown(t *testing.T) {
	testenv.Need(t, "containerd", "images", "landlock")
	d := harness.New(t)
	if err := os.Mkdir(filepath.Join(d.Dir, "data"), 0o777); err != nil {
		t.Fatal(err)
	}
	d.Up("enclosed", "commands", "profile: node\nresources: {memory: 512MiB, pids: 64}\nfiles: [{from: ./data, to: /workspace, access: write}]\ntools: {run_command: {risk: low, arguments: {command: {unchecked: tests}}}}\n")
	version, err := landlock.ABI()
	if err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"ps --json":         `"landlock": "` + landlock.Version(version) + `"`,
		"audit tail --json": `"landlock":"` + landlock.Version(version) + `"`,
		"inspect enclosed":  "/workspace: read write make remove\n",
		"doctor":            "Landlock, a second fence on files",
	} {
		if out, errs, _ := d.Run(strings.Fields(command)...); !strings.Contains(out, want) {
			t.Errorf("%s does not say %q:\n%s%s", command, want, out, errs)
		}
	}
	for _, one := range []struct{ command, says string }{
		{"echo 0 > /proc/self/oom_score_adj", "Permission denied"},
		{"echo text > /workspace/file && mkdir /workspace/folder && mv /workspace/file /workspace/folder/ && cat /workspace/folder/file", "text"},
		{`node -e "const n=require('net');const s=n.createServer(c=>c.end('own loopback')).listen(0,()=>n.connect(s.address().port).on('data',d=>{console.log(d+'');s.close()}))"`, "own loopback"},
		{`node -e "require('net').createServer().on('error',e=>console.log(e.code)).listen('/workspace/socket')"`, "EACCES"},
	} {
		if out, errs, _ := d.Run("call", "enclosed", "run_command", "--arg", "command="+one.command); !strings.Contains(out+errs, one.says) {
			t.Errorf("%s: %s%s", one.command, out, errs)
		}
	}
}

// Rules that cannot be carried out start no server, and the cause is said; the same server
// starts with its own.
func TestNoServerWithoutItsEnclosure(t *testing.T) {
	testenv.Need(t, "containerd", "landlock")
	rt := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := manifest.Default()
	m.Name, m.Image = "unenclosed", manifest.Image{Path: probeImage(t)}
	img, err := rt.Image(ctx, m.Image, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Command = append(append([]string(nil), img.Command...), "-list")
	p, err := profiles.Load("go")
	if err != nil {
		t.Fatal(err)
	}
	inst, err := rt.Start(ctx, runtime.Plan{ID: "control", Server: m, Image: img, Profile: p})
	if err != nil {
		t.Fatal("control:", err)
	}
	go refuse(inst.Refused)
	if err := errors.Join(inst.Kill(), inst.Clean(ctx)); err != nil {
		t.Error(err)
	}
	for id, tc := range map[string]struct {
		alter func(*landlock.Rules)
		why   string
	}{
		"missing": {func(r *landlock.Rules) {
			r.Paths = append(r.Paths, landlock.Path{Path: "/missing", Allow: landlock.Write})
		}, "allowing /missing: no such file or directory"},
		"unhandled":  {func(r *landlock.Rules) { r.Files = landlock.ReadExecute }, "allowing /dev: invalid argument"},
		"impossible": {func(r *landlock.Rules) { r.Net = 1 << 63 }, "making the rules: invalid argument"},
	} {
		inst, err := rt.Start(ctx, runtime.Plan{ID: id, Server: m, Image: img, Profile: p, Enclose: func(r *landlock.Rules) *landlock.Rules { tc.alter(r); return r }})
		if err == nil {
			t.Errorf("%s: started", id)
			go refuse(inst.Refused)
			err = errors.Join(inst.Kill(), inst.Clean(ctx))
		}
		if err == nil || !strings.Contains(err.Error(), tc.why) {
			t.Errorf("%s: %v, want %q", id, err, tc.why)
		}
	}
}
