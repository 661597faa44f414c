package main

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

func cgroupOps() []op {
	return []op{
		{name: "cgroups.visible", run: func() outcome { return allowedList(cgroupMounts(), "no hierarchy is mounted") }},
		{name: "cgroups.path", run: cgroupPath},
		{name: "cgroups.writable-mount", severe: true, run: cgroupWritable},
		{name: "cgroups.procs", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/cgroup.procs") }) }},
		{name: "cgroups.kill", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/cgroup.kill") }) }},
		{name: "cgroups.freeze", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/cgroup.freeze") }) }},
		{name: "cgroups.subtree-control", severe: true, run: func() outcome {
			return eachCgroup(func(d string) outcome { return writable(d + "/cgroup.subtree_control") })
		}},
		{name: "cgroups.release-agent", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/release_agent") }) }},
		{name: "cgroups.notify-on-release", severe: true, run: func() outcome {
			return eachCgroup(func(d string) outcome { return writable(d + "/notify_on_release") })
		}},
		{name: "cgroups.devices-allow", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/devices.allow") }) }},
		{name: "cgroups.memory-limit", severe: true, run: func() outcome {
			return eachCgroup(func(d string) outcome {
				return firstOf(writable(d+"/memory.max"), writable(d+"/memory.limit_in_bytes"))
			})
		}},
		{name: "cgroups.pids-limit", severe: true, run: func() outcome { return eachCgroup(func(d string) outcome { return writable(d + "/pids.max") }) }},
		{name: "cgroups.mkdir", severe: true, run: func() outcome { return eachCgroup(makeCgroup) }},
	}
}

// cgroupMounts are the mount points of every hierarchy in sight.
func cgroupMounts() []string {
	ms, _ := mounts()
	var points []string
	for _, m := range ms {
		if m.fstype == "cgroup" || m.fstype == "cgroup2" {
			points = append(points, m.point)
		}
	}
	return points
}

// cgroupPath says whether the path of our own cgroup shows where on the host it
// lies.
func cgroupPath() outcome {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return effect(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[2] != "/" {
			return allowed("the host's path is shown")
		}
	}
	return absent("every path is /")
}

func cgroupWritable() outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	last := absent("no hierarchy is mounted")
	for _, m := range ms {
		if m.fstype != "cgroup" && m.fstype != "cgroup2" {
			continue
		}
		if !m.has("ro") {
			return allowed(m.point)
		}
		last = denied("read-only")
	}
	return last
}

// eachCgroup tries every hierarchy until one lets it.
func eachCgroup(try func(dir string) outcome) outcome {
	last := absent("no hierarchy is mounted")
	for _, dir := range cgroupMounts() {
		last = firstOf(try(dir), last)
		if last.verdict == result.Allowed {
			break
		}
	}
	return last
}

// firstOf is a if it is worse than b: allowed, then denied, then the rest.
func firstOf(a, b outcome) outcome {
	if a.verdict == result.Allowed || b.verdict != result.Allowed && a.verdict == result.Denied {
		return a
	}
	return b
}

func makeCgroup(dir string) outcome {
	path := filepath.Join(dir, "probe-made")
	if err := unix.Mkdir(path, 0o700); err != nil {
		return effect(err)
	}
	return effect(unix.Rmdir(path))
}
