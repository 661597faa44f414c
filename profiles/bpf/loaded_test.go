//go:build cgo && linux && amd64

package bpf

import (
	"bufio"
	"bytes"
	"encoding/json"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/mcprun/mcprun/profiles"
)

// maxStub is more than the instructions that runc puts in front of a filter
// for one architecture.
const maxStub = 16

// The filter that a container of runc has is the one that Compile describes,
// behind runc's few instructions for calls newer than all that are named.
func TestRuncLoadsWhatCompileDescribes(t *testing.T) {
	needRoot(t)
	dir := testFolder(t)
	for _, profile := range profiles.Names() {
		c := newContainer(t, profile, dir, []string{"/test/server", "hold"}, nil)
		cmd := c.command("run")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
			t.Fatalf("%s: the program said %q, %v", profile, line, err)
		}
		state, err := c.command("state").Output()
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Pid int }
		if err := json.Unmarshal(state, &s); err != nil {
			t.Fatal(err)
		}
		loaded := loadedFilter(t, s.Pid)
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: the program ended with %v", profile, err)
		}
		want := exported(t, compiled(t, profile, "amd64"))
		stub := (len(loaded) - len(want)) / instructionSize
		t.Logf("%s: %d instructions loaded, %d of them runc's", profile, len(loaded)/instructionSize, stub)
		if !bytes.HasSuffix(loaded, want) || stub < 1 || stub > maxStub {
			t.Errorf("%s: what runc loaded is not 1 to %d instructions and then the compiled filter", profile, maxStub)
			continue
		}
		last := lastNumber(t, profile)
		for number, want := range map[uint32]uint32{last: retAllow, last + 1: retErrno | uint32(syscall.ENOSYS), 1000: retErrno | uint32(syscall.ENOSYS), 272: retErrno | uint32(syscall.EPERM)} {
			if got := evaluate(t, loaded, auditX86_64, number, [6]uint64{}); got != want {
				t.Errorf("%s: call %d answers %#x, want %#x", profile, number, got, want)
			}
		}
	}
}

// lastNumber is the number of the newest call that the profile allows.
func lastNumber(t *testing.T, profile string) uint32 {
	t.Helper()
	p, err := profiles.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	last := uintptr(0)
	for _, call := range p.Calls("amd64") {
		last = max(last, numberOf(t, call))
	}
	return uint32(last)
}

// loadedFilter reads the newest filter of a process from the kernel.
func loadedFilter(t *testing.T, pid int) []byte {
	t.Helper()
	const ptraceSeccompGetFilter = 0x420c
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(pid); err != nil {
		t.Fatal("attaching:", err)
	}
	defer syscall.PtraceDetach(pid)
	if _, err := syscall.Wait4(pid, nil, syscall.WALL, nil); err != nil {
		t.Fatal("waiting:", err)
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, ptraceSeccompGetFilter, uintptr(pid), 0, 0, 0, 0)
	if errno != 0 {
		t.Fatal("asking for the size of the filter:", errno)
	}
	program := make([]byte, int(n)*instructionSize)
	if _, _, errno = syscall.Syscall6(syscall.SYS_PTRACE, ptraceSeccompGetFilter, uintptr(pid), 0, uintptr(unsafe.Pointer(&program[0])), 0, 0); errno != 0 {
		t.Fatal("reading the filter:", errno)
	}
	return program
}
