package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// infoOps tell what shows of the machine. None is severe: they help to choose an
// attack, and are none.
func infoOps() []op {
	file := func(name, path string) op {
		return op{name: "info." + name, run: func() outcome {
			s, o := head(path)
			line, _, _ := strings.Cut(s, "\n")
			return o.with(line)
		}}
	}
	return []op{
		{name: "info.kernel-version", run: func() outcome {
			var u unix.Utsname
			if err := unix.Uname(&u); err != nil {
				return effect(err)
			}
			return allowed(unix.ByteSliceToString(u.Release[:]))
		}},
		{name: "info.hostname", run: func() outcome {
			name, err := os.Hostname()
			if err != nil {
				return effect(err)
			}
			return allowed(name)
		}},
		{name: "info.cpus", run: func() outcome { return allowed(itoa(runtime.NumCPU())) }},
		{name: "info.sysinfo", run: func() outcome {
			var s unix.Sysinfo_t
			if err := unix.Sysinfo(&s); err != nil {
				return effect(err)
			}
			return allowed(itoa(int(uint64(s.Totalram)*uint64(s.Unit)>>20)) + " MiB of memory, " + itoa(int(s.Procs)) + " threads")
		}},
		{name: "info.landlock", run: func() outcome {
			v, err := callValue(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
			if err != nil {
				return effect(err)
			}
			return allowed("version " + itoa(int(v)) + ": a server may confine itself further")
		}},
		file("cpu-model", "/proc/cpuinfo"),
		file("memory", "/proc/meminfo"),
		file("load", "/proc/loadavg"),
		file("uptime", "/proc/uptime"),
		file("boot-id", "/proc/sys/kernel/random/boot_id"),
		file("machine-id", "/etc/machine-id"),
		file("version", "/proc/version"),
		file("statistics", "/proc/stat"),
		file("filesystems", "/proc/filesystems"),
		file("consoles", "/proc/consoles"),
	}
}
