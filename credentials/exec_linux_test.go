package credentials

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a source that runs a line of sh; $0 is a folder of the test's.
func shell(t *testing.T, line string) (Source, string) {
	t.Helper()
	dir := t.TempDir()
	return Source{Exec: []string{"/bin/sh", "-c", line, dir}}, dir
}

func TestExec(t *testing.T) {
	env := map[string]string{"HOME": "/root", "LANG": "C.UTF-8", "SECRET_OF_ANOTHER": "x"}
	for _, r := range []struct{ name, line, value, want string }{
		{"a line", "echo " + canary, canary, ""},
		{"no line break", "printf %s " + canary, canary, ""},
		{"stderr on success", "echo warning >&2; echo " + canary, canary, ""},
		{"its environment", `printf %s "$PATH+$HOME+$LANG+$SECRET_OF_ANOTHER+"`, defaultPath + "+/root+C.UTF-8++", ""},
		{"its folder", "pwd", "/", ""},
		{"no input", "read x && echo got || echo none", "none", ""},
		{"nothing", "true", "", "the value is empty"},
		{"two lines", "echo " + canary + "; echo b", "", "control character"},
		{"it fails", "echo locked >&2; echo more >&2; exit 3", "", `exit status 3; stderr: "locked"`},
		{"it fails in silence", "exit 4", "", "exit status 4"},
		{"it fails after printing", "echo " + canary + "; echo locked >&2; exit 5", "", `exit status 5; stderr: "locked"`},
		{"its complaint is the secret", "echo " + canary + "; echo bad " + canary + " >&2; exit 6", "", "exit status 6; its stderr repeats its output"},
		{"a line of it is the secret", "printf 'a1b2\\n%s\\n' " + canary + "; echo bad " + canary + " >&2; exit 7", "", "exit status 7; its stderr repeats its output"},
		{"colours", `printf '\033[31mred\n' >&2; exit 8`, "", `exit status 8; stderr: "\x1b[31mred"`},
		{"a long complaint", "head -c 3000 /dev/zero | tr '\\0' a >&2; echo >&2; exit 9", "", "exit status 9; stderr: \"" + strings.Repeat("a", 200) + "\""},
		{"an endless complaint", "head -c 9000 /dev/zero | tr '\\0' a >&2; exit 9", "", "exit status 9"},
		{"a signal", "kill -9 $$", "", "signal: killed"},
		{"as much as there may be", "head -c 16384 /dev/zero | tr '\\0' a", strings.Repeat("a", MaxSecret), ""},
		{"too much", "head -c 65537 /dev/zero | tr '\\0' a", "", "it printed more than 65536 bytes"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, _ := shell(t, r.line)
			got, err := fetch(t, s, env)
			checkFetch(t, got, err, r.value, r.want)
			if err != nil && !strings.HasPrefix(err.Error(), "fetching the secret from exec /bin/sh: ") {
				t.Errorf("the error does not name the source: %v", err)
			}
		})
	}
}

func TestExecKeepsItsPath(t *testing.T) {
	s, _ := shell(t, `printf %s "$PATH"`)
	got, err := fetch(t, s, map[string]string{"PATH": "/opt/bin:/bin"})
	checkFetch(t, got, err, "/opt/bin:/bin", "")
}

// A program that never stops printing is ended when it printed too much, not at
// the bound of time.
func TestExecEndless(t *testing.T) {
	start := time.Now()
	got, err := fetch(t, Source{Exec: []string{"/usr/bin/yes"}}, nil)
	checkFetch(t, got, err, "", "it printed more than 65536 bytes")
	if d := time.Since(start); d > execBound/2 {
		t.Errorf("took %v", d)
	}
}

func TestExecProgramOfOthers(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o755: "", 0o775: "others can write it", 0o757: "others can write it", 0o644: "permission denied"} {
		path := put(t, "program", "#!/bin/sh\necho "+canary+"\n", mode)
		_, err := fetch(t, Source{Exec: []string{path}}, nil)
		checkError(t, err, want)
	}
	_, err := fetch(t, Source{Exec: []string{"/no/such/program"}}, nil)
	checkError(t, err, "no such file")
}

// gone waits until no process of this number runs. A zombie counts as gone: who
// takes its status is up to this machine's first process.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 200 {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return
		}
		if i := strings.LastIndex(string(raw), ") "); i >= 0 && raw[i+2] == 'Z' {
			return
		}
		time.Sleep(10 * time.Millisecond) // another process: nothing here can wait for it
	}
	t.Errorf("process %d still runs", pid)
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// The real bound: a program, and a child of it, that ignore every polite signal.
func TestExecBoundKillsTheGroup(t *testing.T) {
	t.Parallel()
	s, dir := shell(t, `trap '' TERM INT HUP
		sh -c 'trap "" TERM INT HUP; echo $$ > '$0'/child; sleep 60; sleep 60' &
		echo $$ > $0/leader; echo `+canary+`; echo waiting >&2; sleep 60; sleep 60`)
	start := time.Now()
	got, err := fetch(t, s, nil)
	checkFetch(t, got, err, "", `it ran longer than 10s and was killed; stderr: "waiting"`)
	if d := time.Since(start); d < execBound || d > execBound+3*time.Second {
		t.Errorf("took %v", d)
	}
	gone(t, pidIn(t, filepath.Join(dir, "leader")))
	gone(t, pidIn(t, filepath.Join(dir, "child")))
}

// Who gives up ends the program at once, even one that left its process group,
// where a kill of the group would miss it.
func TestExecEndsWithItsContext(t *testing.T) {
	for _, name := range []string{"in its group", "in another group"} {
		t.Run(name, func(t *testing.T) {
			s, dir := shell(t, `echo $$ > $0/leader; exec sleep 60`)
			if name == "in another group" {
				s.Exec = []string{"/usr/bin/env", leaveVariable + "=" + dir + "/leader", self(t), "-test.run=^TestLeaveGroup$"}
			}
			cause := errors.New("nobody waits")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				for { // until it runs
					if raw, err := os.ReadFile(filepath.Join(dir, "leader")); err == nil && len(raw) > 0 {
						cancel(cause)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			start := time.Now()
			_, err := fetchWith(ctx, t, s, nil)
			checkError(t, err, "nobody waits")
			if !errors.Is(err, cause) || strings.Contains(err.Error(), "cannot be killed") {
				t.Errorf("error %v, want %v", err, cause)
			}
			if d := time.Since(start); d > execBound/2 {
				t.Errorf("took %v", d)
			}
			gone(t, pidIn(t, filepath.Join(dir, "leader")))
		})
	}
}

const leaveVariable = "MCPRUN_TEST_LEAVE_GROUP"

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLeaveGroup is no test: it is the program that leaves its group, for the one
// of its parent's.
func TestLeaveGroup(t *testing.T) {
	path := os.Getenv(leaveVariable)
	if path == "" {
		return
	}
	group, err := syscall.Getpgid(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setpgid(0, group); err != nil {
		t.Fatal(err)
	}
	rewrite(t, path, strconv.Itoa(os.Getpid()))
	time.Sleep(time.Minute)
}

// A fetch that a kill came before starts nothing.
func TestExecWithAnEndedContext(t *testing.T) {
	s, dir := shell(t, `touch $0/ran; echo `+canary)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fetchWith(ctx, t, s, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the program ran")
	}
	got, err := fetch(t, s, nil)
	checkFetch(t, got, err, canary, "")
	if _, err := os.Stat(filepath.Join(dir, "ran")); err != nil {
		t.Error("the control did not run")
	}
}

// What the program leaves in its group ends with it, and is not waited for.
func TestExecLeavesNothingBehind(t *testing.T) {
	s, dir := shell(t, `sleep 60 & echo $! > $0/child; echo `+canary)
	start := time.Now()
	got, err := fetch(t, s, nil)
	checkFetch(t, got, err, canary, "")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	gone(t, pidIn(t, filepath.Join(dir, "child")))
}

// A process that left the group, such as an agent that a helper starts, lives on;
// if it holds the output open, nobody knows whether that is whole.
func TestExecProcessThatLeftTheGroup(t *testing.T) {
	for line, want := range map[string]string{
		`setsid sh -c 'echo $$ > '$0'/child; exec sleep 60' >/dev/null 2>&1 & while ! [ -s $0/child ]; do sleep 0.01; done; echo ` + canary: "",
		`setsid sh -c 'echo $$ > '$0'/child; exec sleep 60' & while ! [ -s $0/child ]; do sleep 0.01; done; echo ` + canary:                 "holds its output open",
	} {
		s, dir := shell(t, line)
		got, err := fetch(t, s, nil)
		if checkError(t, err, want); want == "" && got.Reveal() != canary {
			t.Errorf("the secret is %q", got.Reveal())
		}
		pid := pidIn(t, filepath.Join(dir, "child"))
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Errorf("the process that left is gone: %v", err)
		}
		gone(t, pid)
	}
}
