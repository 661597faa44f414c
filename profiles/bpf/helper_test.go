//go:build cgo

package bpf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/mcprun/mcprun/profiles"
)

// helperEnv makes the test binary a helper that puts itself under a filter,
// which cannot be taken off again: see TestMain.
const helperEnv = "BPF_TEST_HELPER"

// unfiltered in place of a profile name is the positive control.
const unfiltered = "none"

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "exec": // PROFILE PROGRAM ARGUMENT …
		err := enter(os.Args[1])
		if err == nil {
			err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
		}
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(125)
	case "try": // PROFILE, attempts as JSON on stdin
		if err := tryAll(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(125)
		}
	}
}

// enter puts this process under the profile.
func enter(profile string) error {
	if profile == unfiltered {
		return nil
	}
	p, err := profiles.Load(profile)
	if err != nil {
		return err
	}
	s, err := p.Seccomp(runtime.GOARCH)
	if err != nil {
		return err
	}
	filter, _, err := build(s)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // no_new_privs is a property of a thread
	const prSetNoNewPrivs = 38
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("setting no_new_privs: %w", errno)
	}
	return filter.Load()
}

// attempt is one system call; arguments not given are zero.
type attempt struct {
	Number uintptr
	Args   [6]uint64
}

func tryAll(profile string) error {
	var attempts []attempt
	if err := json.NewDecoder(os.Stdin).Decode(&attempts); err != nil {
		return err
	}
	if err := enter(profile); err != nil {
		return err
	}
	results := make([]syscall.Errno, len(attempts))
	for i, a := range attempts {
		_, _, results[i] = syscall.RawSyscall6(a.Number, uintptr(a.Args[0]), uintptr(a.Args[1]), uintptr(a.Args[2]),
			uintptr(a.Args[3]), uintptr(a.Args[4]), uintptr(a.Args[5]))
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

// try makes the attempts under a profile and returns what each answered. It
// runs as root of namespaces that end with it, so that a call which gets
// through meets nothing of this machine.
func try(t *testing.T, profile string, attempts []attempt) []syscall.Errno {
	t.Helper()
	needRoot(t)
	in, err := json.Marshal(attempts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := helper(t, "try", profile)
	cmd.Stdin = bytes.NewReader(in)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// Unshared, and not cloned: only then does Go make the mounts private.
		Unshareflags: syscall.CLONE_NEWNS,
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", profile, err, stderr.Bytes())
	}
	var results []syscall.Errno
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%s: %v in %q", profile, err, out)
	}
	if len(results) != len(attempts) {
		t.Fatalf("%s: %d results for %d attempts", profile, len(results), len(attempts))
	}
	return results
}

func helper(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+mode)
	return cmd
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, for namespaces of its own")
	}
}
