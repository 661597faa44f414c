package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
	"github.com/mcprun/mcprun/internal/testenv"
)

// minOperations is what the project promises of the probe.
const minOperations = 350

func TestTable(t *testing.T) {
	ops := operations()
	if len(ops) < minOperations {
		t.Errorf("%d operations; at least %d", len(ops), minOperations)
	}
	wellFormed := regexp.MustCompile(`^[a-z]+(-[a-z]+)*\.[A-Za-z0-9_.+-]+$`)
	seen, severe := map[string]bool{}, 0
	for _, o := range ops {
		switch {
		case seen[o.name]:
			t.Errorf("%s: twice", o.name)
		case !wellFormed.MatchString(o.name) || strings.HasSuffix(o.name, "-"):
			t.Errorf("%s: not group.name", o.name)
		case o.run == nil:
			t.Errorf("%s: nothing to run", o.name)
		}
		seen[o.name] = true
		if o.severe {
			severe++
		}
		if _, ok := witnesses()[o.group()]; !ok {
			t.Errorf("%s: group %q has no witness", o.name, o.group())
		}
	}
	for group, name := range witnesses() {
		if !seen[name] || !strings.HasPrefix(name, group+".") || notInControl(name) {
			t.Errorf("witness %s of group %s: not an operation of it that the control runs", name, group)
		}
	}
	if len(ops) > result.MaxResults {
		t.Errorf("%d operations; a report holds %d", len(ops), result.MaxResults)
	}
	t.Logf("%d operations, %d severe, %d groups", len(ops), severe, len(witnesses()))
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-list"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var got []string
	dec := json.NewDecoder(&out)
	for dec.More() {
		var line struct{ Group, Name string }
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line.Name)
	}
	var want []string
	for _, o := range operations() {
		want = append(want, o.name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-table +list):\n%s", diff)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		reason string
	}{
		{[]string{"-group", "none"}, `no operation in group "none"`},
		{[]string{"-one", "none"}, `no operation "none"`},
		{[]string{"-inside-control", "-group", "time"}, "start with -control"},
	} {
		err := run(tc.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%v: error %v, want %q", tc.args, err, tc.reason)
		}
	}
}

// Root on the machine itself is refused before anything is tried.
func TestRefusesTheHost(t *testing.T) {
	testenv.Need(t, "root")
	if !onHost() {
		t.Log("this is a container: the probe may run here, and its refusal cannot be seen")
		return
	}
	var out bytes.Buffer
	if err := run([]string{"-group", "time"}, &out, io.Discard); !errors.Is(err, errOnHost) || out.Len() > 0 {
		t.Errorf("error %v after printing %q, want %v", err, out.String(), errOnHost)
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		err             error
		effect, reached result.Verdict
	}{
		{nil, result.Allowed, result.Allowed},
		{unix.EPERM, result.Denied, result.Denied},
		{unix.EACCES, result.Denied, result.Denied},
		{unix.EROFS, result.Denied, result.Denied},
		{unix.ENOSYS, result.Absent, result.Absent},
		{unix.ENOENT, result.Absent, result.Allowed}, // the kernel looked for it
		{unix.EFAULT, result.Error, result.Allowed},
		{unix.EINVAL, result.Error, result.Allowed},
		{unix.EBADF, result.Error, result.Allowed},
		{io.EOF, result.Error, result.Error},
	} {
		if got := effect(tc.err).verdict; got != tc.effect {
			t.Errorf("effect(%v) is %q, want %q", tc.err, got, tc.effect)
		}
		if got := reached(tc.err).verdict; got != tc.reached {
			t.Errorf("reached(%v) is %q, want %q", tc.err, got, tc.reached)
		}
	}
}

// An operation without a verdict must not look like one that was denied.
func TestNoVerdictIsAnError(t *testing.T) {
	got := toResult(op{name: "time.none"}, outcome{})
	want := result.Result{Group: "time", Name: "time.none", Verdict: result.Error, Detail: "the operation gave no verdict"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// However a child ends, that is a verdict.
func TestEnded(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		verdict      result.Verdict
		reason       string
	}{
		{"killed by a filter", "kill -SYS $$", result.Denied, "killed by the filter"},
		{"trapped by a filter", "echo 'SIGSYS: bad system call' >&2; exit 2", result.Denied, "killed by the filter"},
		{"crash", "kill -SEGV $$", result.Error, "segmentation fault"},
		{"other failure", "echo oops >&2; exit 7", result.Error, "exit status 7: oops"},
		{"silence", "exit 0", result.Error, "no result"},
		{"hang", "read never <&1", result.Error, "hung"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			timeout := time.Minute
			if tc.name == "hang" {
				timeout = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, "sh", "-c", tc.script)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			cmd.Stdout = r // reading from it waits for ever
			var stderr bounded
			cmd.Stderr = &stderr
			got := ended(ctx, cmd.Run(), stderr.String())
			if got.verdict != tc.verdict || !strings.Contains(got.detail, tc.reason) {
				t.Errorf("%+v, want %s because of %q", got, tc.verdict, tc.reason)
			}
		})
	}
}

func TestParseMountinfo(t *testing.T) {
	got := parseMountinfo(`22 27 0:21 / /proc rw,nosuid - proc proc rw
30 27 254:0 /a\040b /data\134x ro,relatime shared:5 master:1 - ext4 /dev/vda rw,discard
broken line
31 27 0:4 / /x rw -
`)
	want := []mount{
		{root: "/", point: "/proc", options: "rw,nosuid", fstype: "proc", source: "proc", super: "rw"},
		{root: "/a b", point: `/data\x`, options: "ro,relatime", fstype: "ext4", source: "/dev/vda", super: "rw,discard"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mount{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].has("ro") || !got[1].has("ro") || got[0].has("nosui") {
		t.Error("options are not matched whole")
	}
}

// Every mount read has its fields, whatever the input.
func FuzzParseMountinfo(f *testing.F) {
	f.Add("22 27 0:21 / /proc rw - proc proc rw\n")
	f.Add("1 2 3 4 5 6 - a b")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range parseMountinfo(s) {
			if m.root == "" || m.point == "" || m.options == "" || m.fstype == "" || m.source == "" {
				t.Fatalf("an empty field in %+v", m)
			}
		}
	})
}

// The control: with every privilege, in namespaces of their own, operations of
// every group succeed, so that a denial elsewhere means something.
func TestControl(t *testing.T) {
	testenv.Need(t, "root")
	rs := runProbe(t, buildProbe(t), nil, "-control", "-limits")
	byName := map[string]result.Result{}
	for _, r := range rs {
		byName[r.Name] = r
		if r.Verdict == result.Error {
			t.Errorf("%s could not be tried: %s %s", r.Name, r.Errno, r.Detail)
		}
	}
	for group, name := range witnesses() {
		if r := byName[name]; r.Verdict != result.Allowed {
			t.Errorf("group %s: %s is %q (%s %s), want allowed", group, name, r.Verdict, r.Errno, r.Detail)
		}
	}
	t.Logf("control: %+v", result.Count(rs))
}

// Beside the control: the same witnesses, the same kernel, but an ordinary user
// without capabilities.
func TestUnprivilegedIsDenied(t *testing.T) {
	testenv.Need(t, "root")
	program := buildProbe(t)
	for _, tc := range []struct{ group, errno string }{
		{"mounts", "EPERM"},
		{"time", "EPERM"},
		{"kernel", "EPERM"},
		{"namespaces", "EPERM"},
	} {
		t.Run(tc.group, func(t *testing.T) {
			rs := runProbe(t, program, &syscall.SysProcAttr{
				Credential: &syscall.Credential{Uid: 65534, Gid: 65534},
				Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			}, "-group", tc.group)
			for _, r := range rs {
				if r.Name == witnesses()[tc.group] && (r.Verdict != result.Denied || r.Errno != tc.errno) {
					t.Errorf("%s is %q (%s), want denied by %s", r.Name, r.Verdict, r.Errno, tc.errno)
				}
			}
		})
	}
}

// probeTime is what the project promises of a run in a container; the control is
// no faster.
const probeTime = 20 * time.Second

func runProbe(t *testing.T, program string, attr *syscall.SysProcAttr, args ...string) []result.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*probeTime) // a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("running the probe: %v\n%s", err, stderr.String())
	}
	rs, err := result.Parse(&stdout)
	if err != nil {
		t.Fatalf("reading the report: %v", err)
	}
	return rs
}

func buildProbe(t *testing.T) string {
	t.Helper()
	program := filepath.Join(sharedDir(t), "probe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the probe: %v\n%s", err, out)
	}
	return program
}

// sharedDir is a folder that another user may enter, unlike that of t.TempDir.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "probe-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
