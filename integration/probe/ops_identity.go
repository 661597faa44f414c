package main

import (
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func identityOps() []op {
	zero := func(name string, nr uintptr, args ...uintptr) op {
		return op{name: "identity." + name, severe: true, run: func() outcome {
			if os.Getuid() == 0 {
				return absent("already 0; see identity.root")
			}
			return effect(call(nr, args...))
		}}
	}
	return []op{
		{name: "identity.root", run: func() outcome { return allowedIf(os.Getuid() == 0, "uid "+itoa(os.Getuid())) }},
		{name: "identity.host-root", severe: true, run: hostRoot},
		{name: "identity.host-ids", run: hostIDs},
		{name: "identity.root-group", run: rootGroup},
		zero("setuid", unix.SYS_SETUID, 0),
		zero("setgid", unix.SYS_SETGID, 0),
		zero("setreuid", unix.SYS_SETREUID, minus(1), 0),
		zero("setregid", unix.SYS_SETREGID, minus(1), 0),
		zero("setresuid", unix.SYS_SETRESUID, 0, 0, 0),
		zero("setresgid", unix.SYS_SETRESGID, 0, 0, 0),
		{name: "identity.setfsuid", severe: true, run: setfsuid},
		{name: "identity.setgroups-none", run: func() outcome { return effect(call(unix.SYS_SETGROUPS, 0, 0)) }},
		{name: "identity.setgroups-root", severe: true, run: func() outcome {
			if os.Getuid() == 0 {
				return absent("already 0; see identity.root")
			}
			groups := [1]uint32{0}
			return effect(call(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups))))
		}},
		{name: "identity.setuid-other", run: func() outcome { return effect(call(unix.SYS_SETUID, 65534)) }},
		{name: "identity.map.uid", severe: true, run: func() outcome { return writeMap("/proc/self/uid_map") }},
		{name: "identity.map.gid", severe: true, run: func() outcome { return writeMap("/proc/self/gid_map") }},
		{name: "identity.map.projid", run: func() outcome { return writeMap("/proc/self/projid_map") }},
		{name: "identity.map.setgroups", run: func() outcome { return writeMap("/proc/self/setgroups") }},
		{name: "identity.map.new-userns-root", severe: true, run: func() outcome { return mappedUserns(os.Getuid(), 1) }},
		{name: "identity.map.new-userns-range", severe: true, run: func() outcome { return mappedUserns(0, 65536) }},
		{name: "identity.chown", run: func() outcome {
			f, err := os.CreateTemp("", "probe-")
			if err != nil {
				return absent(err.Error())
			}
			defer os.Remove(f.Name())
			defer f.Close()
			other := 0
			if os.Getuid() == 0 {
				other = 65534
			}
			return effect(f.Chown(other, -1))
		}},
	}
}

// hostRoot is allowed when we are 0 and the map says that this is the 0 of the
// namespace above.
func hostRoot() outcome {
	raw, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return effect(err)
	}
	f := strings.Fields(string(raw))
	detail := "uid " + itoa(os.Getuid()) + ", map " + strings.Join(f, " ")
	return allowedIf(os.Getuid() == 0 && len(f) >= 3 && f[0] == "0" && f[1] == "0", detail)
}

// hostIDs is allowed without a user namespace, or with one that maps nothing
// away.
func hostIDs() outcome {
	raw, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return effect(err)
	}
	f := strings.Fields(string(raw))
	return allowedIf(len(f) >= 3 && f[0] == f[1], "map "+strings.Join(f, " "))
}

func rootGroup() outcome {
	groups, err := os.Getgroups()
	if err != nil {
		return effect(err)
	}
	for _, g := range append(groups, os.Getgid()) {
		if g == 0 {
			return allowed("gid 0")
		}
	}
	return denied("")
}

// setfsuid reports no error: a second call tells what the first one did.
func setfsuid() outcome {
	if os.Getuid() == 0 {
		return absent("already 0; see identity.root")
	}
	if err := call(unix.SYS_SETFSUID, 0); err != nil {
		return effect(err)
	}
	now, err := callValue(unix.SYS_SETFSUID, minus(1))
	if err != nil {
		return effect(err)
	}
	return allowedIf(now == 0, "fsuid "+itoa(int(now)))
}

// writeMap writes what is no map: the kernel says so after it has checked that
// there is none yet and that this process may set one.
func writeMap(path string) outcome {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return effect(err)
	}
	defer f.Close()
	_, err = f.WriteString("probe\n")
	return reached(err)
}

func mappedUserns(host, size int) outcome {
	return nsEffect(startSelf(&syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: host, Size: size}},
	}))
}
