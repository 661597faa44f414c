package containment

import (
	"bytes"
	goruntime "runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
)

// sameFilter fails the test unless the filter that the kernel has of a process is the
// profile's, to the last instruction.
func sameFilter(t *testing.T, pid int, p *profiles.Profile) {
	t.Helper()
	s, err := p.Seccomp(goruntime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	want, err := bpf.NewProgram(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := loadedFilter(t, pid); !bytes.Equal(got, want.Filter) {
		t.Errorf("the kernel has a filter of %d bytes of process %d, the profile compiles to another one of %d", len(got), pid, len(want.Filter))
	}
}

// loadedFilter reads the newest filter of a process from the kernel.
func loadedFilter(t *testing.T, pid int) []byte {
	t.Helper()
	const ptraceSeccompGetFilter, instruction = 0x420c, 8
	goruntime.LockOSThread() // the tracer is a thread
	defer goruntime.UnlockOSThread()
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
	program := make([]byte, int(n)*instruction)
	if _, _, errno = syscall.Syscall6(syscall.SYS_PTRACE, ptraceSeccompGetFilter, uintptr(pid), 0, uintptr(unsafe.Pointer(&program[0])), 0, 0); errno != 0 {
		t.Fatal("reading the filter:", errno)
	}
	return program
}
