package main

import "golang.org/x/sys/unix"

// obsoleteOps are calls that nobody has made for years; whatever answers is
// there only to be attacked.
func obsoleteOps() []op {
	return []op{
		reachOp("obsolete.uselib", false, unix.SYS_USELIB, badPointer),
		reachOp("obsolete.nfsservctl", false, unix.SYS_NFSSERVCTL, 0, 0, 0),
		reachOp("obsolete.sysctl", false, unix.SYS__SYSCTL, badPointer),
		reachOp("obsolete.create-module", false, unix.SYS_CREATE_MODULE, badPointer, 0),
		reachOp("obsolete.get-kernel-syms", false, unix.SYS_GET_KERNEL_SYMS, badPointer),
		reachOp("obsolete.query-module", false, unix.SYS_QUERY_MODULE, badPointer, 0, 0, 0, 0),
		reachOp("obsolete.ustat", false, unix.SYS_USTAT, 0, badPointer),
		reachOp("obsolete.sysfs", false, unix.SYS_SYSFS, 3, 0, 0),
		reachOp("obsolete.afs", false, unix.SYS_AFS_SYSCALL),
		reachOp("obsolete.tuxcall", false, unix.SYS_TUXCALL),
		reachOp("obsolete.security", false, unix.SYS_SECURITY),
		reachOp("obsolete.getpmsg", false, unix.SYS_GETPMSG),
		reachOp("obsolete.putpmsg", false, unix.SYS_PUTPMSG),
		reachOp("obsolete.epoll-ctl-old", false, unix.SYS_EPOLL_CTL_OLD),
		reachOp("obsolete.epoll-wait-old", false, unix.SYS_EPOLL_WAIT_OLD),
		reachOp("obsolete.vserver", false, unix.SYS_VSERVER),
		reachOp("obsolete.set-thread-area", false, unix.SYS_SET_THREAD_AREA, badPointer),
		reachOp("obsolete.get-thread-area", false, unix.SYS_GET_THREAD_AREA, badPointer),
		reachOp("obsolete.modify-ldt", false, unix.SYS_MODIFY_LDT, 1, badPointer, 0), // a length of 0 is refused
	}
}

// kexecOps: more segments than there can be, and unknown flags. No segments
// would unload what is loaded.
func kexecOps() []op {
	return []op{
		reachOp("kernel.kexec-load", true, unix.SYS_KEXEC_LOAD, 0, 1<<20, badPointer, 0xff),
		{name: "kernel.iopl", severe: true, run: func() outcome { return effect(call(unix.SYS_IOPL, 3)) }},
		{name: "kernel.ioperm", severe: true, run: func() outcome { return effect(call(unix.SYS_IOPERM, 0x80, 1, 1)) }},
	}
}
