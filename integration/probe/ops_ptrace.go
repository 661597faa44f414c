package main

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Everything in reach of these calls is of this container, so none is severe:
// processes of others are looked for in the proc group.
func ptraceOps() []op {
	parent, self := os.Getppid(), os.Getpid()
	return []op{
		{name: "ptrace.traceme", run: func() outcome { return effect(call(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0)) }},
		{name: "ptrace.seize-parent", run: func() outcome {
			// Seizing does not stop; the end of this process lets go.
			return effect(call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(parent), 0, 0))
		}},
		{name: "ptrace.peek-parent", run: func() outcome {
			return reached(call(unix.SYS_PTRACE, unix.PTRACE_PEEKDATA, uintptr(parent), badPointer, badPointer))
		}},
		{name: "ptrace.readv-parent", run: func() outcome { return processVM(unix.SYS_PROCESS_VM_READV, parent) }},
		{name: "ptrace.writev-parent", run: func() outcome { return processVM(unix.SYS_PROCESS_VM_WRITEV, parent) }},
		{name: "ptrace.readv-init", run: func() outcome { return processVM(unix.SYS_PROCESS_VM_READV, 1) }},
		reachOp("ptrace.kcmp-self", false, unix.SYS_KCMP, uintptr(self), uintptr(self), 1, 0, 0),
		reachOp("ptrace.kcmp-parent", false, unix.SYS_KCMP, uintptr(self), uintptr(parent), 1, 0, 0),
		{name: "ptrace.pidfd-open", run: func() outcome {
			_, err := unix.PidfdOpen(parent, 0)
			return effect(err)
		}},
		{name: "ptrace.pidfd-getfd", run: func() outcome {
			fd, err := unix.PidfdOpen(parent, 0)
			if err != nil {
				return effect(err).with("pidfd_open")
			}
			_, err = unix.PidfdGetfd(fd, 1, 0)
			return effect(err)
		}},
		reachOp("ptrace.pidfd-getfd-call", false, unix.SYS_PIDFD_GETFD, minus(1), 0, 0),
		reachOp("ptrace.process-madvise", false, unix.SYS_PROCESS_MADVISE, minus(1), badPointer, 0, 0, 0),
		reachOp("ptrace.process-mrelease", false, unix.SYS_PROCESS_MRELEASE, minus(1), 0),
		{name: "ptrace.set-ptracer", run: func() outcome { return denyOnInvalid(unix.Prctl(unix.PR_SET_PTRACER, 0, 0, 0, 0)) }},
		// Signal 0 is a question, not a signal.
		{name: "ptrace.signal-all", run: func() outcome { return effect(unix.Kill(-1, 0)) }},
		{name: "ptrace.signal-init", run: func() outcome { return effect(unix.Kill(1, 0)) }},
		{name: "ptrace.robust-list-init", run: func() outcome {
			var head, size uintptr
			return effect(call(unix.SYS_GET_ROBUST_LIST, 1, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size))))
		}},
	}
}

// processVM asks for memory of pid at an address that is never mapped: EFAULT
// comes after the permission check.
func processVM(nr uintptr, pid int) outcome {
	var buf [8]byte
	local := [2]uintptr{uintptr(unsafe.Pointer(&buf)), uintptr(len(buf))}
	remote := [2]uintptr{badPointer, uintptr(len(buf))}
	return reached(call(nr, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0))
}
