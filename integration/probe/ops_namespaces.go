package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

type nsKind struct {
	name string // in /proc/self/ns
	flag uintptr
	// Only a user namespace gives privilege by itself: all capabilities over
	// the code that most kernel exploits of recent years started from.
	severe bool
}

func nsKinds() []nsKind {
	return []nsKind{
		{"mnt", unix.CLONE_NEWNS, false},
		{"uts", unix.CLONE_NEWUTS, false},
		{"ipc", unix.CLONE_NEWIPC, false},
		{"user", unix.CLONE_NEWUSER, true},
		{"pid", unix.CLONE_NEWPID, false},
		{"net", unix.CLONE_NEWNET, false},
		{"cgroup", unix.CLONE_NEWCGROUP, false},
		{"time", unix.CLONE_NEWTIME, false},
	}
}

// nsEffect is effect where "no more of them" is a refusal by a limit.
func nsEffect(err error) outcome {
	if e, ok := errnoOf(err); ok && (e == unix.ENOSPC || e == unix.EUSERS) {
		return outcome{verdict: result.Denied, errno: unix.ErrnoName(e), detail: "limit of namespaces"}
	}
	return effect(err)
}

func namespaceOps() []op {
	var ops []op
	for _, k := range nsKinds() {
		ops = append(ops,
			op{name: "namespaces.unshare." + k.name, severe: k.severe, run: func() outcome { return unshareNS(k) }},
			op{name: "namespaces.clone3." + k.name, severe: k.severe, run: func() outcome { return clone3NS(k) }},
			op{name: "namespaces.setns." + k.name, run: func() outcome { return setnsOwn(k) }},
			op{name: "namespaces.setns-init." + k.name, severe: true, run: func() outcome { return setnsInit(k) }},
		)
		if k.name != "time" { // clone has no flag for it
			ops = append(ops, op{name: "namespaces.clone." + k.name, severe: k.severe, run: func() outcome { return cloneNS(k) }})
		}
	}
	for _, with := range nsKinds() {
		if with.name == "user" || with.name == "time" {
			continue
		}
		ops = append(ops, op{name: "namespaces.clone.user+" + with.name, severe: true, run: func() outcome {
			return nsEffect(startSelf(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | with.flag}))
		}})
	}
	return append(ops,
		op{name: "namespaces.setns.pidfd", run: setnsPidfd},
		op{name: "namespaces.parent.user", severe: true, run: func() outcome { return nsParent("user", unix.NS_GET_PARENT) }},
		op{name: "namespaces.parent.pid", severe: true, run: func() outcome { return nsParent("pid", unix.NS_GET_PARENT) }},
		op{name: "namespaces.owner.net", run: func() outcome { return nsParent("net", unix.NS_GET_USERNS) }},
		op{name: "namespaces.owner.mnt", run: func() outcome { return nsParent("mnt", unix.NS_GET_USERNS) }},
		op{name: "namespaces.clone.parent", run: func() outcome {
			return reached(cloneAndExit(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0))
		}},
		op{name: "namespaces.clone3.plain", run: func() outcome { return clone3NS(nsKind{}) }},
		op{name: "namespaces.clone3.into-cgroup", run: func() outcome {
			args := cloneArgs{flags: unix.CLONE_INTO_CGROUP, exitSignal: uint64(unix.SIGCHLD), cgroup: 1 << 20}
			return reached(cloneAndExit(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)))
		}},
	)
}

func unshareNS(k nsKind) outcome {
	if k.name == "user" { // wants a process with one thread, which Go has only between fork and exec
		return nsEffect(startSelf(&syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWUSER}))
	}
	runtime.LockOSThread() // and let it end with the process
	return nsEffect(unix.Unshare(int(k.flag)))
}

func cloneNS(k nsKind) outcome {
	return nsEffect(cloneAndExit(unix.SYS_CLONE, k.flag|uintptr(unix.SIGCHLD), 0))
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
}

func clone3NS(k nsKind) outcome {
	args := cloneArgs{flags: uint64(k.flag), exitSignal: uint64(unix.SIGCHLD)}
	return nsEffect(cloneAndExit(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)))
}

// cloneAndExit forks without exec. The child makes no call into the Go runtime,
// of which it has a copy without the other threads: it exits at once.
//
//go:uintptrescapes
func cloneAndExit(nr, a1, a2 uintptr) error {
	pid, _, e := unix.RawSyscall6(nr, a1, a2, 0, 0, 0, 0)
	if e != 0 {
		return e
	}
	if pid == 0 {
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	unix.Wait4(int(pid), nil, 0, nil)
	return nil
}

// setnsOwn enters the namespace that the process is in already: the permission
// check is the same, and nothing changes.
func setnsOwn(k nsKind) outcome {
	fd, err := unix.Open("/proc/self/ns/"+k.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	runtime.LockOSThread()
	return reached(unix.Setns(fd, int(k.flag)))
}

// setnsInit enters a namespace of process 1 if that is not ours: then process 1
// is the host's.
func setnsInit(k nsKind) outcome {
	var ours, init unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+k.name, &ours); err != nil {
		return effect(err)
	}
	if err := unix.Stat("/proc/1/ns/"+k.name, &init); err != nil {
		return effect(err)
	}
	if ours.Ino == init.Ino {
		return absent("process 1 is in our own")
	}
	fd, err := unix.Open("/proc/1/ns/"+k.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	runtime.LockOSThread()
	unix.Unshare(unix.CLONE_FS) // a thread that shares its root cannot change mount namespace
	return effect(unix.Setns(fd, int(k.flag)))
}

func setnsPidfd() outcome {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return effect(err).with("pidfd_open")
	}
	runtime.LockOSThread()
	return reached(unix.Setns(fd, unix.CLONE_NEWUTS|unix.CLONE_NEWIPC))
}

// nsParent asks for a handle on the namespace above ours.
func nsParent(kind string, request uintptr) outcome {
	fd, err := unix.Open("/proc/self/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	up, err := callValue(unix.SYS_IOCTL, uintptr(fd), request, 0)
	if err != nil {
		return effect(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(up), &st); err != nil {
		return effect(err)
	}
	return allowed(fmt.Sprintf("got namespace %d", st.Ino))
}
