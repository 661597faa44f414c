package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

const (
	// maxChildren is how many processes are tried; a limit must be below it.
	maxChildren = 200
	// maxAllocate is how much memory is tried.
	maxAllocate = 1 << 30
)

func limitOps() []op {
	return []op{
		{name: "limits.memory-unset", run: func() outcome { return cgroupLimit("memory", "memory.max", "memory.limit_in_bytes") }},
		{name: "limits.pids-unset", run: func() outcome { return cgroupLimit("pids", "pids.max", "pids.max") }},
		{name: "limits.cpu-unset", run: func() outcome { return cgroupLimit("cpu", "cpu.max", "cpu.cfs_quota_us") }},
		{name: "limits.nofile-unset", run: func() outcome {
			var lim unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
				return effect(err)
			}
			const sane = 1 << 20
			return allowedIf(lim.Max > sane, "hard limit "+limitString(lim.Max))
		}},
		{name: "limits.processes", limits: true, run: manyChildren},
		{name: "limits.memory", limits: true, run: muchMemory},
	}
}

// cgroupLimit reads the limit that applies to us, where a hierarchy shows it.
func cgroupLimit(controller, v2, v1 string) outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	paths, err := cgroupPaths()
	if err != nil {
		return effect(err)
	}
	for _, m := range ms {
		var file string
		switch {
		case m.fstype == "cgroup2":
			file = filepath.Join(m.point, paths[""], v2)
		case m.fstype == "cgroup" && strings.Contains(","+m.super+",", ","+controller+","):
			file = filepath.Join(m.point, paths[controller], v1)
		default:
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		s := strings.TrimSpace(string(raw))
		const unlimitedV1 = "9223372036854771712" // the largest multiple of a page
		return allowedIf(strings.HasPrefix(s, "max") || s == "-1" || s == unlimitedV1, s)
	}
	return absent("no hierarchy shows it")
}

// cgroupPaths are our cgroups by controller; "" is the v2 hierarchy.
func cgroupPaths() (map[string]string, error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for c := range strings.SplitSeq(f[1], ",") {
				paths[c] = f[2]
			}
		}
	}
	return paths, nil
}

// manyChildren forks processes that only wait, until it is refused, and ends
// them.
func manyChildren() outcome {
	runtime.LockOSThread() // the children die with this thread
	var children []int
	defer func() {
		for _, pid := range children {
			unix.Kill(pid, unix.SIGKILL)
			unix.Wait4(pid, nil, 0, nil)
		}
	}()
	for range maxChildren {
		pid, err := forkWaiting()
		if err != nil {
			if e, ok := errnoOf(err); ok && e == unix.EAGAIN {
				return outcome{verdict: result.Denied, errno: "EAGAIN", detail: "after " + itoa(len(children))}
			}
			return effect(err)
		}
		children = append(children, pid)
	}
	return allowed(itoa(maxChildren) + " processes")
}

// forkWaiting starts a copy of this process that makes no call into the Go
// runtime and waits for its end.
func forkWaiting() (int, error) {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	if pid == 0 {
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
		for {
			unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0) // no file, no time limit
		}
	}
	return int(pid), nil
}

// muchMemory touches memory in a child, which the limit should kill.
func muchMemory() outcome {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return effect(e)
	}
	if pid == 0 {
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
		code := uintptr(0)
		_, _, e := unix.RawSyscall6(unix.SYS_MMAP, 0, maxAllocate, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE, minus(1), 0)
		if e != 0 {
			code = 1
		}
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
		}
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil {
		return effect(err)
	}
	switch {
	case status.Signaled():
		return outcome{verdict: result.Denied, errno: unix.SignalName(status.Signal()), detail: "killed on the way to 1 GiB"}
	case status.ExitStatus() != 0:
		return denied("mapping was refused")
	}
	return allowed("1 GiB")
}
