//go:build cgo

package bpf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

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
	case "answer": // PROFILE: of its parent; see enter
		if err := answer(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(125)
		}
	case "try": // PROFILE, attempts as JSON on stdin
		if err := tryAll(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(125)
		}
	}
}

// enter puts this process under the profile, as mcprun-init does, with a child that
// answers what is refused, as the daemon does.
func enter(profile string) error {
	if profile == unfiltered {
		return nil
	}
	p, err := programOf(profile)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, profile)
	child.Env, child.Stderr = append(os.Environ(), helperEnv+"=answer"), os.Stderr
	to, err := child.StdinPipe()
	if err != nil {
		return err
	}
	from, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	runtime.LockOSThread() // no_new_privs is a property of a thread
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(p.Filter) / instructionSize), Filter: (*unix.SockFilter)(unsafe.Pointer(&p.Filter[0]))}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("loading the filter: %w", errno)
	}
	if _, err := fmt.Fprintln(to, fd); err != nil {
		return err
	}
	if _, err := io.ReadFull(from, make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for the one who answers: %w", err)
	}
	return unix.Close(int(fd))
}

func programOf(profile string) (*Program, error) {
	p, err := profiles.Load(profile)
	if err != nil {
		return nil, err
	}
	s, err := p.Seccomp(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return NewProgram(s)
}

// toldEnv names a file for what the one who answers was told of, a line a call. With
// leaveEnv it goes away after the first.
const (
	toldEnv  = "BPF_TEST_TOLD"
	leaveEnv = "BPF_TEST_LEAVE"
)

// answer refuses the calls of its parent until that is gone.
func answer(profile string) error {
	p, err := programOf(profile)
	if err != nil {
		return err
	}
	var theirs int
	if _, err := fmt.Scanln(&theirs); err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdGetfd(pidfd, theirs, 0)
	if err != nil {
		return err
	}
	l, err := NewListener(fd)
	if err != nil {
		return err
	}
	os.Stdout.Write([]byte{1})
	told := io.Discard
	if path := os.Getenv(toldEnv); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		told = f
	}
	for {
		if err := l.Wait(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		c, ok, err := l.Next()
		if err != nil || !ok {
			continue
		}
		fmt.Fprintln(told, p.Name(c.Number), c.Args[0], c.Args[1])
		if err := l.Refuse(c, p.Refusal(c.Number)); err != nil {
			return err
		}
		if os.Getenv(leaveEnv) != "" {
			return l.Close()
		}
	}
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
