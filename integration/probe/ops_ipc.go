package main

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ipcOps() []op {
	return []op{
		{name: "ipc.segments", severe: true, run: func() outcome { return sysvObjects("shm") }},
		{name: "ipc.semaphores", severe: true, run: func() outcome { return sysvObjects("sem") }},
		{name: "ipc.queues", severe: true, run: func() outcome { return sysvObjects("msg") }},
		{name: "ipc.posix-queues", severe: true, run: func() outcome { return folder("/dev/mqueue") }},
		{name: "ipc.shmget", run: func() outcome {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, os.Getpagesize(), 0o600)
			if err == nil {
				unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return effect(err)
		}},
		reachOp("ipc.semget", false, unix.SYS_SEMGET, 0x70726f62, minus(1), 0),
		reachOp("ipc.msgget", false, unix.SYS_MSGGET, 0x70726f62, 0), // the key of no queue
		{name: "ipc.mq-open", run: func() outcome {
			name := [...]byte{'p', 'r', 'o', 'b', 'e', 0}
			return reached(call(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name)), unix.O_RDONLY, 0, 0))
		}},
	}
}

// sysvObjects lists what is in the IPC namespace; the probe leaves nothing
// there, so it is somebody else's.
func sysvObjects(kind string) outcome {
	raw, err := os.ReadFile("/proc/sysvipc/" + kind)
	if err != nil {
		return effect(err)
	}
	if lines := strings.Count(string(raw), "\n"); lines > 1 {
		return allowed(itoa(lines-1) + " in the namespace")
	}
	return absent("none")
}
