package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// capabilityNames are the 41 of Linux 6.18, by number.
func capabilityNames() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
		NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
		SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
		SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}

// Each of these alone is known to lead to the host when the container's user
// is not mapped to another.
func severeCapability(name string) bool {
	switch name {
	case "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "SYS_TIME", "DAC_READ_SEARCH", "MAC_ADMIN",
		"MAC_OVERRIDE", "SYSLOG", "BPF", "PERFMON", "SYS_PACCT", "AUDIT_CONTROL", "CHECKPOINT_RESTORE", "NET_ADMIN":
		return true
	}
	return false
}

func capabilityOps() []op {
	const noRoot = 1 // SECBIT_NOROOT
	var ops []op
	for n, name := range capabilityNames() {
		ops = append(ops, op{name: "capabilities.held." + name, severe: severeCapability(name), here: true, run: func() outcome { return heldCapability(n) }})
	}
	return append(ops,
		op{name: "capabilities.beyond-known", severe: true, here: true, run: unknownCapabilities},
		op{name: "capabilities.no-new-privs-unset", run: func() outcome { return statusField("NoNewPrivs", "0") }},
		op{name: "capabilities.seccomp-unset", run: func() outcome { return statusField("Seccomp", "0") }},
		op{name: "capabilities.capset-admin", severe: true, run: capsetAdmin},
		op{name: "capabilities.ambient-raise", severe: true, run: func() outcome {
			return denyOnInvalid(unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0))
		}},
		op{name: "capabilities.securebits", run: func() outcome {
			return effect(unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0)) // only this process
		}},
		op{name: "capabilities.bounding-drop", run: func() outcome {
			return denyOnInvalid(unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_WAKE_ALARM, 0, 0, 0))
		}},
		op{name: "capabilities.file", run: fileCapability},
		op{name: "capabilities.setuid-exec", severe: true, run: setuidExec},
	)
}

// statusFields reads /proc/self/status.
func statusFields() (map[string]string, error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(line, ":")
		fields[k] = strings.TrimSpace(v)
	}
	return fields, nil
}

func statusField(name, bad string) outcome {
	fields, err := statusFields()
	if err != nil {
		return effect(err)
	}
	return allowedIf(fields[name] == bad, name+" is "+fields[name])
}

func capabilitySets() (map[string]uint64, error) {
	fields, err := statusFields()
	if err != nil {
		return nil, err
	}
	sets := map[string]uint64{}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if set == "CapAmb" && fields[set] == "" {
			continue // gVisor shows none; what is ambient is permitted as well
		}
		if sets[set], err = strconv.ParseUint(fields[set], 16, 64); err != nil {
			return nil, fmt.Errorf("reading %s: %w", set, err)
		}
	}
	return sets, nil
}

// heldCapability is allowed when any set has it, the bounding set included: an
// exec can bring that one back.
func heldCapability(n int) outcome {
	sets, err := capabilitySets()
	if err != nil {
		return effect(err)
	}
	var in []string
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"} {
		if sets[set]&(1<<n) != 0 {
			in = append(in, set)
		}
	}
	return allowedIf(len(in) > 0, strings.Join(in, " "))
}

func unknownCapabilities() outcome {
	sets, err := capabilitySets()
	if err != nil {
		return effect(err)
	}
	for name, set := range sets {
		if set>>len(capabilityNames()) != 0 {
			return allowed(fmt.Sprintf("%s is %#x", name, set))
		}
	}
	return absent("none")
}

// capsetAdmin asks for CAP_SYS_ADMIN on top of what is held.
func capsetAdmin() outcome {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return effect(err)
	}
	data[0].Permitted |= 1 << unix.CAP_SYS_ADMIN
	data[0].Effective = data[0].Permitted
	return effect(call(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0]))))
}

// denyOnInvalid is effect where EINVAL and EPERM both mean no.
func denyOnInvalid(err error) outcome {
	o := effect(err)
	if o.errno == "EINVAL" {
		o.verdict = result.Denied
	}
	return o
}

// fileCapability puts a capability on a file of our own, in the plain format
// that only the host's root may write.
func fileCapability() outcome {
	dir, remove, ok := scratch()
	if !ok {
		return absent(errNothing.Error())
	}
	defer remove()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		return effect(err)
	}
	// struct vfs_cap_data, revision 2, effective, permitted CAP_SYS_ADMIN.
	data := []byte{1, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return effect(unix.Setxattr(path, "security.capability", data, 0))
}

// setuidExec says whether a set-user-id program would work here. It runs none:
// what an unknown one does without arguments is not known to be harmless.
func setuidExec() outcome {
	fields, err := statusFields()
	if err != nil {
		return effect(err)
	}
	if fields["NoNewPrivs"] == "1" {
		return denied("no_new_privs is set")
	}
	found := setuidFiles()
	if len(found) == 0 {
		return absent("no set-user-id file")
	}
	for _, path := range found {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOSUID == 0 {
			return allowed(path)
		}
	}
	return denied("all on nosuid mounts")
}
