package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// int80 makes a system call by the numbers and the entry of 32-bit programs,
// which a filter that knows only the 64-bit numbers mistakes for others.
func int80(nr, a1, a2, a3 uint32) int32

// abiOps are calls by the numbers of the two other ABIs of x86-64, with arguments
// that do nothing. Severe are those that fail on a permission first, so that any
// other error means privilege.
func abiOps() []op {
	var ops []op
	for _, c := range []struct {
		name       string
		severe     bool
		nr, a1, a2 uint32
	}{
		{"getpid", false, 20, 0, 0},
		{"unshare-uts", false, 310, unix.CLONE_NEWUTS, 0},
		{"mount", false, 21, badPointer, badPointer},
		{"umount2", false, 52, badPointer, 0},
		{"pivot-root", true, 217, badPointer, badPointer},
		{"ptrace", false, 26, 0xffff, 0},
		{"init-module", true, 128, badPointer, 0},
		{"delete-module", true, 129, badPointer, 0},
		{"reboot", true, 88, 1, 1},
		{"kexec-load", true, 283, 0, 1 << 20},
		{"bpf", false, 357, 0xffff, badPointer},
		{"perf-event-open", false, 336, badPointer, 0},
		{"keyctl", false, 288, 0xffff, 0},
		{"add-key", false, 286, badPointer, badPointer},
		{"io-uring-setup", false, 425, 1, badPointer},
		{"userfaultfd", false, 374, 0xff000000, 0},
		{"clone3", false, 435, badPointer, 0},
		{"setns", false, 346, 0xffffffff, 0},
		{"open-by-handle", false, 342, 0xffffffff, badPointer},
		{"process-vm-readv", false, 347, 1, badPointer},
		{"swapon", true, 87, badPointer, 0},
		{"acct", true, 51, badPointer, 0},
		{"syslog", false, 103, 10, 0},
		{"iopl", false, 110, 4, 0}, // 4 is out of range
		{"modify-ldt", false, 123, 1, badPointer},
		{"personality", false, 136, 0xffffffff, 0},
		{"socket-vsock", true, 359, unix.AF_VSOCK, unix.SOCK_STREAM},
		{"socketcall", false, 102, 0, badPointer},
		{"vm86", false, 166, 0xffff, badPointer},
		{"vm86old", false, 113, badPointer, 0},
	} {
		ops = append(ops, op{name: "abi.i386." + c.name, severe: c.severe, run: func() outcome {
			return inFork(func() int32 { return int80(c.nr, c.a1, c.a2, 0) })
		}})
	}
	const x32 = 1 << 30 // __X32_SYSCALL_BIT
	for _, c := range []struct {
		name   string
		severe bool
		nr     uintptr
		a1, a2 uintptr
	}{
		{"getpid", false, unix.SYS_GETPID, 0, 0},
		{"ptrace", false, 521, 0xffff, 0},
		{"unshare-uts", false, unix.SYS_UNSHARE, unix.CLONE_NEWUTS, 0},
		{"mount", false, unix.SYS_MOUNT, badPointer, badPointer},
		{"bpf", false, unix.SYS_BPF, 0xffff, badPointer},
		{"keyctl", false, unix.SYS_KEYCTL, 0xffff, 0},
		{"kexec-load", true, 528, 0, 1 << 20},
		{"socket-vsock", true, unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM},
	} {
		ops = append(ops, op{name: "abi.x32." + c.name, severe: c.severe, run: func() outcome {
			return inFork(func() int32 {
				_, _, e := unix.RawSyscall(x32|c.nr, c.a1, c.a2, 0)
				return -int32(e)
			})
		}})
	}
	return ops
}

// inFork makes a call in a process of one thread and returns what it came to. A
// filter that kills the thread for a foreign ABI would leave a Go program hanging
// without it; here the end of the thread is the end of the process. do must make
// no call into the Go runtime.
func inFork(do func() int32) outcome {
	var ignore [4]uint64 // struct sigaction of zeros: the default, which is to end
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return effect(e)
	}
	if pid == 0 {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSYS), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
		code := exitCode(do())
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
		}
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil {
		return effect(err)
	}
	switch {
	case status.Signaled() && status.Signal() == unix.SIGSYS:
		return outcome{verdict: result.Denied, errno: "SIGSYS", detail: "killed by the filter"}
	case status.Signaled():
		return absent("no such entry: " + unix.SignalName(status.Signal()))
	case status.ExitStatus() == 0:
		return reached(nil)
	}
	return reached(syscall.Errno(status.ExitStatus()))
}

// exitCode makes the value of a raw call an exit status: 0, or the error number.
func exitCode(ret int32) uintptr {
	const maxErrno = 255 // all that these calls answer with
	if ret < 0 && ret >= -maxErrno {
		return uintptr(-ret)
	}
	return 0
}
