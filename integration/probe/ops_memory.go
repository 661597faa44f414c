package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

func memoryOps() []op {
	page := uintptr(os.Getpagesize())
	return []op{
		{name: "memory.memfd-secret", run: func() outcome { return effect(call(unix.SYS_MEMFD_SECRET, 0)) }},
		{name: "memory.userfaultfd", run: func() outcome { return effect(call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC)) }},
		{name: "memory.userfaultfd-user", run: func() outcome {
			const userModeOnly = 1
			return effect(call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly))
		}},
		reachOp("memory.mbind", false, unix.SYS_MBIND, 0, 0, 0, 0, 0, 0),
		reachOp("memory.set-mempolicy", false, unix.SYS_SET_MEMPOLICY, 0, 0, 0),
		reachOp("memory.get-mempolicy", false, unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0),
		reachOp("memory.set-mempolicy-home", false, unix.SYS_SET_MEMPOLICY_HOME_NODE, 1, 0, 0, 1),
		reachOp("memory.move-pages", false, unix.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, 0),
		reachOp("memory.move-pages-init", false, unix.SYS_MOVE_PAGES, 1, 0, 0, 0, 0, 0),
		reachOp("memory.migrate-pages", false, unix.SYS_MIGRATE_PAGES, 0, 0, 0, 0),
		reachOp("memory.remap-file-pages", false, unix.SYS_REMAP_FILE_PAGES, 1, 0, 0, 0, 0),
		reachOp("memory.pkey-alloc", false, unix.SYS_PKEY_ALLOC, minus(1), 0),
		// The address is never mapped, so no page can be poisoned.
		{name: "memory.hwpoison", severe: true, run: func() outcome {
			err := call(unix.SYS_MADVISE, 0, page, unix.MADV_HWPOISON)
			if err == unix.EINVAL {
				return absent("not in this kernel")
			}
			return reached(err)
		}},
		{name: "memory.map-null", run: func() outcome {
			return effect(call(unix.SYS_MMAP, 0, page, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, minus(1), 0))
		}},
		{name: "memory.map-write-exec", run: func() outcome {
			_, err := unix.Mmap(-1, 0, int(page), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			return effect(err)
		}},
		{name: "memory.map-huge", run: func() outcome {
			_, err := unix.Mmap(-1, 0, 2<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_HUGETLB)
			if err == unix.ENOMEM {
				return absent("no huge pages")
			}
			return effect(err)
		}},
		{name: "memory.lock-beyond-limit", run: lockBeyondLimit},
		{name: "memory.lock-all", run: func() outcome {
			const onFault = 4 // MCL_ONFAULT: nothing is brought in
			return noMemoryIsDenied(unix.Mlockall(unix.MCL_FUTURE | onFault))
		}},
		{name: "memory.personality-no-randomize", run: func() outcome { return personality(0x0040000) }},
		{name: "memory.personality-read-implies-exec", run: func() outcome { return personality(0x0400000) }},
		{name: "memory.personality-compat-layout", run: func() outcome { return personality(0x0200000) }},
		{name: "memory.personality-mmap-page-zero", run: func() outcome { return personality(0x0100000) }},
		{name: "memory.personality-linux32", run: func() outcome { return personality(0x0000008) }},
		{name: "memory.personality-uname26", run: func() outcome { return personality(0x0020000) }},
		{name: "memory.core-dumpable", run: func() outcome { return effect(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)) }},
		{name: "memory.set-mm", run: func() outcome { return denyOnInvalid(unix.Prctl(unix.PR_SET_MM, 999, 0, 0, 0)) }},
		{name: "memory.speculation-enable", run: func() outcome {
			const storeBypass, enable = 0, 1 << 1
			o := effect(unix.Prctl(unix.PR_SET_SPECULATION_CTRL, storeBypass, enable, 0, 0))
			if o.errno == "ERANGE" {
				o.verdict = result.Denied
			}
			return o
		}},
	}
}

func personality(p uintptr) outcome { return effect(call(unix.SYS_PERSONALITY, p)) }

// noMemoryIsDenied is effect where the kernel answers a limit with ENOMEM or
// EAGAIN.
func noMemoryIsDenied(err error) outcome {
	o := effect(err)
	if o.errno == "ENOMEM" || o.errno == "EAGAIN" {
		o.verdict = result.Denied
	}
	return o
}

// lockBeyondLimit locks one page more than the limit, without bringing pages in.
func lockBeyondLimit() outcome {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return effect(err)
	}
	const sane = 1 << 30 // a larger limit is none
	if lim.Cur > sane {
		return allowed("limit " + limitString(lim.Cur))
	}
	size := int(lim.Cur) + os.Getpagesize()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return effect(err)
	}
	const onFault = 1 // MLOCK_ONFAULT
	return noMemoryIsDenied(call(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&b[0])), uintptr(size), onFault))
}
