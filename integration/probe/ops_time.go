package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func timeOps() []op {
	return []op{
		// With neither a time nor a zone the call checks the permission and
		// changes nothing.
		{name: "time.settimeofday", severe: true, run: func() outcome { return effect(call(unix.SYS_SETTIMEOFDAY, 0, 0)) }},
		reachOp("time.clock-settime", false, unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, badPointer),
		{name: "time.adjtimex-read", run: func() outcome {
			_, err := unix.Adjtimex(&unix.Timex{})
			return effect(err)
		}},
		// A tick of 0 is out of range, which is found after the permission.
		{name: "time.adjtimex-set", severe: true, run: func() outcome {
			_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_TICK})
			return reached(err)
		}},
		{name: "time.clock-adjtime-set", severe: true, run: func() outcome {
			t := unix.Timex{Modes: unix.ADJ_TICK}
			return reached(call(unix.SYS_CLOCK_ADJTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&t))))
		}},
		{name: "time.alarm-clock", run: func() outcome {
			fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME_ALARM, unix.TFD_CLOEXEC) // could wake a sleeping machine
			if err == nil {
				unix.Close(fd)
			}
			return denyOnInvalid(err)
		}},
	}
}
