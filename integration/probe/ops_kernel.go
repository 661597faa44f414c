package main

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// kernelOps are calls on the whole machine. Each is made so that it fails right
// behind its permission check; the comment says on what.
func kernelOps() []op {
	ops := []op{
		reachOp("kernel.init-module", true, unix.SYS_INIT_MODULE, badPointer, 0, badPointer),                     // an image of no bytes
		reachOp("kernel.finit-module", true, unix.SYS_FINIT_MODULE, minus(1), badPointer, 0),                     // no such file
		reachOp("kernel.delete-module", true, unix.SYS_DELETE_MODULE, badPointer, unix.O_NONBLOCK),               // a name that cannot be read
		reachOp("kernel.kexec-file-load", true, unix.SYS_KEXEC_FILE_LOAD, minus(1), minus(1), 0, 0, 1<<30),       // unknown flags
		reachOp("kernel.reboot", true, unix.SYS_REBOOT, 1, 1, 0, 0),                                              // wrong magic numbers
		reachOp("kernel.swapon", true, unix.SYS_SWAPON, badPointer, 0),                                           // a name that cannot be read
		reachOp("kernel.swapoff", true, unix.SYS_SWAPOFF, badPointer),                                            // the same
		reachOp("kernel.acct", true, unix.SYS_ACCT, badPointer),                                                  // the same; NULL would turn it off
		reachOp("kernel.quotactl", false, unix.SYS_QUOTACTL, 0x80000200, 0, 0, 0),                                // no device
		reachOp("kernel.quotactl-fd", false, unix.SYS_QUOTACTL_FD, minus(1), 0x80000200, 0, 0),                   // no such file
		reachOp("kernel.sethostname", false, unix.SYS_SETHOSTNAME, badPointer, minus(1)),                         // a negative length
		reachOp("kernel.setdomainname", false, unix.SYS_SETDOMAINNAME, badPointer, minus(1)),                     // the same
		reachOp("kernel.lookup-dcookie", false, unix.SYS_LOOKUP_DCOOKIE, 0, badPointer, 0),                       // no such cookie
		reachOp("kernel.syslog-size", false, unix.SYS_SYSLOG, 10, 0, 0),                                          // only asks
		reachOp("kernel.syslog-level", true, unix.SYS_SYSLOG, 8, 0, 0),                                           // level 0 is out of range
		reachOp("kernel.fanotify-mark", false, unix.SYS_FANOTIFY_MARK, minus(1), 0, 0, 0, badPointer),            // no such file
		reachOp("kernel.open-by-handle", false, unix.SYS_OPEN_BY_HANDLE_AT, minus(1), badPointer, 0),             // a handle that cannot be read
		reachOp("kernel.name-to-handle", false, unix.SYS_NAME_TO_HANDLE_AT, minus(1), badPointer, badPointer, 0), // the same
		reachOp("kernel.vmsplice", false, unix.SYS_VMSPLICE, minus(1), badPointer, 0, 0),                         // no such file
		reachOp("kernel.io-uring-enter", false, unix.SYS_IO_URING_ENTER, minus(1), 0, 0, 0, 0, 0),                // the same
		reachOp("kernel.io-uring-register", false, unix.SYS_IO_URING_REGISTER, minus(1), 0, 0, 0),                // the same
		{name: "kernel.syslog-read", severe: true, run: func() outcome {
			var buf [64]byte
			return effect(call(unix.SYS_SYSLOG, 3, uintptr(unsafe.Pointer(&buf)), uintptr(len(buf))))
		}},
		{name: "kernel.io-uring-setup", run: func() outcome {
			var params [120]byte // struct io_uring_params
			return effect(call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params))))
		}},
		{name: "kernel.io-setup", run: func() outcome {
			var ctx uintptr
			return effect(call(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx))))
		}},
		{name: "kernel.fanotify-init-content", severe: true, run: func() outcome {
			_, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
			return effect(err)
		}},
		{name: "kernel.fanotify-init-fid", run: func() outcome {
			_, err := unix.FanotifyInit(unix.FAN_REPORT_FID|unix.FAN_CLOEXEC, 0)
			return effect(err)
		}},
		{name: "kernel.handle-of-root", severe: true, run: openOwnHandle},
		{name: "kernel.handle-shocker", severe: true, run: shocker},
		{name: "kernel.seccomp-listener", run: func() outcome {
			runtime.LockOSThread()
			const setFilter, newListener = 1, 1 << 3
			return reached(call(unix.SYS_SECCOMP, setFilter, newListener, badPointer))
		}},
		{name: "kernel.coredump-limit", run: coredumpLimit},
	}
	return append(ops, kexecOps()...)
}

// openOwnHandle opens our own root by handle, which asks for CAP_DAC_READ_SEARCH
// over the file system.
func openOwnHandle() outcome {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
	if err != nil {
		return effect(err)
	}
	top, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	_, err = unix.OpenByHandleAt(top, h, unix.O_RDONLY|unix.O_CLOEXEC)
	return effect(err)
}

// shocker guesses the handle of the root folder of the file system below each
// mount: inode 2 of ext4, 128 of xfs (the "shocker" attack on early containers).
func shocker() outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	last := absent("no mount of a disk")
	for _, m := range ms {
		if m.virtual() || m.fstype == "overlay" {
			continue
		}
		for _, inode := range []byte{2, 128} {
			o := openInode(m, inode)
			if o.verdict == result.Allowed {
				return o
			}
			last = o
		}
	}
	return last
}

func openInode(m mount, inode byte) outcome {
	fd, err := unix.Open(m.point, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	defer unix.Close(fd)
	handle := []byte{inode, 0, 0, 0, 0, 0, 0, 0} // inode, generation
	const inoAndGeneration = 1                   // FILEID_INO32_GEN
	got, err := unix.OpenByHandleAt(fd, unix.NewFileHandle(inoAndGeneration, handle), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		if err == unix.ESTALE {
			return absent("no such inode on " + m.point)
		}
		return effect(err)
	}
	unix.Close(got)
	return allowed("opened inode " + itoa(int(inode)) + " below " + m.point)
}

func coredumpLimit() outcome {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &lim); err != nil {
		return effect(err)
	}
	return allowedIf(lim.Max > 0, "hard limit "+limitString(lim.Max))
}

func limitString(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return itoa(int(n))
}
