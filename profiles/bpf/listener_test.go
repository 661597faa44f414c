//go:build cgo && linux && amd64

package bpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/profiles"
)

// A Program is the filter of the profile, instruction for instruction, but that it tells
// of what the profile refuses with EPERM.
func TestProgramIsTheProfileThatTells(t *testing.T) {
	const retNotify = 0x7fc00000
	for _, profile := range profiles.Names() {
		p, err := programOf(profile)
		if err != nil {
			t.Fatal(err)
		}
		plain := exported(t, compiled(t, profile, "amd64"))
		var told int
		for i := 0; i < len(plain); i += instructionSize {
			if code, k := binary.LittleEndian.Uint16(plain[i:]), binary.LittleEndian.Uint32(plain[i+4:]); code == 0x06 && k == retErrno|uint32(syscall.EPERM) {
				binary.LittleEndian.PutUint32(plain[i+4:], retNotify)
				told++
			}
		}
		if told == 0 || !bytes.Equal(plain, p.Filter) {
			t.Errorf("%s: the two differ in more than the answer to what is refused (%d places)", profile, told)
		}
	}
}

// Each refused call is told of, with its arguments; an allowed one never leaves the kernel.
func TestRefusedCallsAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "told")
	t.Setenv(toldEnv, path)
	const afAlg, afUnix = 38, 1
	attempts := []attempt{
		{unix.SYS_GETPID, [6]uint64{}},
		{unix.SYS_SOCKET, [6]uint64{afAlg, 5}},
		{unix.SYS_SOCKET, [6]uint64{afUnix, 1}},
		{unix.SYS_PTRACE, [6]uint64{16, 1}},
		{unix.SYS_CLONE3, [6]uint64{ones, ones}}, // has an answer of its own, which the kernel gives
	}
	got := try(t, "node", attempts)
	want := []syscall.Errno{0, syscall.EPERM, 0, syscall.EPERM, syscall.ENOSYS}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("attempt %d: %v, want %v", i, got[i], want[i])
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if told := string(raw); told != fmt.Sprintf("socket %d 5\nptrace 16 1\n", afAlg) {
		t.Errorf("told of %q", told)
	}
}

// The library negates the number of an error once more. Sent negated, each refusal was a
// success for the program: mount and setuid "worked". They never did, but a program that
// believes it has given up its rights goes on as if it had.
func TestNoAnswerIsASuccess(t *testing.T) {
	for _, number := range []uintptr{unix.SYS_SETUID, unix.SYS_MOUNT, unix.SYS_CHROOT, unix.SYS_UNSHARE} {
		if got := try(t, profiles.Strict, []attempt{{number, [6]uint64{}}}); got[0] != syscall.EPERM {
			t.Errorf("call %d answers %v, want EPERM", number, got[0])
		}
	}
}

// When whoever was told is gone, the kernel refuses by itself.
func TestRefusedWithNobodyToTell(t *testing.T) {
	t.Setenv(leaveEnv, "1")
	var attempts []attempt
	for range 20 {
		attempts = append(attempts, attempt{unix.SYS_CHROOT, [6]uint64{}})
	}
	got := try(t, profiles.Strict, attempts)
	if got[0] != syscall.EPERM {
		t.Errorf("the first answers %v, want EPERM", got[0])
	}
	for i, errno := range got[1:] {
		// The listener may take a moment to be gone; what waits then is answered by its end.
		if errno != syscall.ENOSYS {
			t.Errorf("%d after it left: %v, want ENOSYS", i, errno)
		}
	}
}

// A descriptor that is no filter's listener is refused, and closed.
func TestNewListenerTakesNothingElse(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewListener(fd); err == nil || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("NewListener = %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is still open: %v", err)
	}
}

// A program that is refused from many threads ends as if nobody watched.
func TestManyThreadsAreRefused(t *testing.T) {
	const script = `
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
bad = []
def work():
    for _ in range(200):
        if libc.socket(38, 5, 0) != -1 or ctypes.get_errno() != 1:
            bad.append(ctypes.get_errno())
threads = [threading.Thread(target=work) for _ in range(32)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(bad), "wrong")
`
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	out, err := helper(t, "exec", "python", python, "-c", script).CombinedOutput()
	if err != nil || string(out) != "0 wrong\n" {
		t.Errorf("%q, %v", out, err)
	}
}
