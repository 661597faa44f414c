package main

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// These can starve the host's other work; each changes only the short-lived
// process that tries it.
func schedulingOps() []op {
	return []op{
		{name: "scheduling.fifo", run: func() outcome {
			const fifo = 1
			priority := int32(1)
			return effect(call(unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))))
		}},
		{name: "scheduling.deadline", run: func() outcome {
			attr := unix.SchedAttr{Policy: 6, Runtime: 1e6, Deadline: 1e8, Period: 1e8} // SCHED_DEADLINE, 1%
			attr.Size = uint32(unsafe.Sizeof(attr))
			return busyIsDenied(unix.SchedSetAttr(0, &attr, 0))
		}},
		{name: "scheduling.nice", run: func() outcome { return effect(unix.Setpriority(unix.PRIO_PROCESS, 0, -5)) }},
		{name: "scheduling.ioprio-realtime", run: func() outcome {
			const process, realtime = 1, 1 << 13
			return effect(call(unix.SYS_IOPRIO_SET, process, 0, realtime))
		}},
		{name: "scheduling.affinity", run: func() outcome {
			var set unix.CPUSet
			for i := range 1024 {
				set.Set(i)
			}
			return effect(unix.SchedSetaffinity(0, &set))
		}},
		{name: "scheduling.oom-score", run: lowerOOMScore},
		{name: "scheduling.timer-slack", run: func() outcome { return effect(unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)) }},
		{name: "scheduling.core-cookie", run: func() outcome { return denyOnInvalid(unix.Prctl(unix.PR_SCHED_CORE, 99, 0, 0, 0)) }},
		{name: "scheduling.io-flusher", run: func() outcome { return effect(unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0)) }},
		{name: "scheduling.rlimit-nofile", run: func() outcome { return raiseLimit(unix.RLIMIT_NOFILE) }},
		{name: "scheduling.rlimit-nproc", run: func() outcome { return raiseLimit(unix.RLIMIT_NPROC) }},
		{name: "scheduling.rlimit-memlock", run: func() outcome { return raiseLimit(unix.RLIMIT_MEMLOCK) }},
		{name: "scheduling.rlimit-core", run: func() outcome { return raiseLimit(unix.RLIMIT_CORE) }},
		{name: "scheduling.rlimit-rtprio", run: func() outcome { return raiseLimit(unix.RLIMIT_RTPRIO) }},
		{name: "scheduling.rlimit-nice", run: func() outcome { return raiseLimit(unix.RLIMIT_NICE) }},
		{name: "scheduling.rlimit-of-init", run: func() outcome {
			var lim unix.Rlimit
			return effect(unix.Prlimit(1, unix.RLIMIT_NOFILE, nil, &lim)) // only reads
		}},
	}
}

func busyIsDenied(err error) outcome {
	o := effect(err)
	if o.errno == "EBUSY" {
		o.verdict = result.Denied
	}
	return o
}

// lowerOOMScore makes this process a less likely victim of the kernel's choice.
func lowerOOMScore() outcome {
	raw, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return effect(err)
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return broken(err.Error())
	}
	if now <= -1000 {
		return allowed("already -1000")
	}
	return effect(os.WriteFile("/proc/self/oom_score_adj", []byte(itoa(now-1)), 0))
}

func raiseLimit(which int) outcome {
	var lim unix.Rlimit
	if err := unix.Prlimit(0, which, nil, &lim); err != nil {
		return effect(err)
	}
	if lim.Max == unix.RLIM_INFINITY {
		return allowed("already unlimited")
	}
	lim.Max++
	return effect(unix.Prlimit(0, which, &lim, nil))
}
