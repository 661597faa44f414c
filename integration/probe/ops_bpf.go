package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func bpfOps() []op {
	ops := []op{
		{name: "bpf.prog-load", severe: true, run: bpfProgLoad},
		{name: "bpf.map-create", run: func() outcome {
			// an array of one value of eight bytes; gone with the process
			attr := [32]uint32{0: 2, 1: 4, 2: 8, 3: 1}
			return effect(call(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), 72))
		}},
		{name: "bpf.empty-request", run: func() outcome {
			var attr [32]uint32
			return reached(call(unix.SYS_BPF, minus(1), uintptr(unsafe.Pointer(&attr)), 16))
		}},
	}
	// Those that list or fetch what others made are severe.
	for _, c := range []struct {
		name   string
		cmd    uintptr
		severe bool
	}{
		{"prog-next-id", unix.BPF_PROG_GET_NEXT_ID, true}, {"map-next-id", unix.BPF_MAP_GET_NEXT_ID, true},
		{"link-next-id", unix.BPF_LINK_GET_NEXT_ID, true}, {"btf-next-id", unix.BPF_BTF_GET_NEXT_ID, true},
		{"prog-by-id", unix.BPF_PROG_GET_FD_BY_ID, true}, {"map-by-id", unix.BPF_MAP_GET_FD_BY_ID, true},
		{"obj-get", unix.BPF_OBJ_GET, false}, {"raw-tracepoint", unix.BPF_RAW_TRACEPOINT_OPEN, false},
		{"prog-attach", unix.BPF_PROG_ATTACH, false}, {"link-create", unix.BPF_LINK_CREATE, false},
		{"btf-load", unix.BPF_BTF_LOAD, false}, {"task-fd-query", unix.BPF_TASK_FD_QUERY, false},
	} {
		ops = append(ops, op{name: "bpf." + c.name, severe: c.severe, run: func() outcome {
			var attr [32]uint32
			return reached(call(unix.SYS_BPF, c.cmd, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)))
		}})
	}
	return append(ops,
		op{name: "bpf.perf.self", run: func() outcome { return perf(0, -1, unix.PerfBitExcludeKernel|unix.PerfBitExcludeHv) }},
		op{name: "bpf.perf.kernel", severe: true, run: func() outcome { return perf(0, -1, 0) }},
		op{name: "bpf.perf.machine", severe: true, run: func() outcome { return perf(-1, 0, unix.PerfBitExcludeKernel) }},
		reachOp("bpf.perf.call", false, unix.SYS_PERF_EVENT_OPEN, badPointer, 0, minus(1), minus(1), 0),
	)
}

// bpfProgLoad loads a socket filter that returns 0 and is attached to nothing.
func bpfProgLoad() outcome {
	program := [2]uint64{0x00000000000000b7, 0x0000000000000095} // r0 = 0; exit
	license := [4]byte{'G', 'P', 'L'}
	attr := struct {
		kind, count      uint32
		program, license uint64
		rest             [40]uint32
	}{kind: 1, count: uint32(len(program)), program: uint64(addressOf(unsafe.Pointer(&program))), license: uint64(addressOf(unsafe.Pointer(&license)))}
	return effect(call(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), 48,
		uintptr(unsafe.Pointer(&program)), uintptr(unsafe.Pointer(&license)))) // the last two only keep them alive and in place
}

// addressOf is the address of a value that is also an argument of call, which
// makes the compiler keep it on the heap.
func addressOf(p unsafe.Pointer) uintptr { return uintptr(p) }

func perf(pid, cpu int, bits uint64) outcome {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Bits: bits | unix.PerfBitDisabled}
	attr.Size = uint32(unsafe.Sizeof(attr))
	_, err := unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return effect(err)
}
