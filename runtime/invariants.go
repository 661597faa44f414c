package runtime

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// CheckInvariants refuses a spec that gives a container more than any server may
// have. Spec calls it on what it made: a mistake in the builder, or a manifest
// that finds one, stops here and not in the kernel.
//
// It does not judge whether a grant is wise: a folder that server.yaml grants is granted.
func CheckInvariants(s *specs.Spec) error {
	for _, check := range []struct {
		name string
		ok   func(*specs.Spec) error
	}{
		{"namespaces", checkNamespaces},
		{"ids", checkIDs},
		{"process", checkProcess},
		{"root", checkRoot},
		{"mounts", checkMounts},
		{"limits", checkLimits},
		{"seccomp", checkSeccomp},
		{"proc", checkProc},
		{"nothing else", checkNothingElse},
	} {
		if err := check.ok(s); err != nil {
			return fmt.Errorf("refusing to build a container: %s: %w", check.name, err)
		}
	}
	return nil
}

// preparedNetwork is the path of a namespace that a process holds open: no path
// of the file system, where somebody could have put another one.
var preparedNetwork = regexp.MustCompile(`^/proc/[1-9][0-9]*/fd/[0-9]+$`)

func checkNamespaces(s *specs.Spec) error {
	want := map[specs.LinuxNamespaceType]bool{
		specs.UserNamespace: true, specs.PIDNamespace: true, specs.MountNamespace: true, specs.NetworkNamespace: true,
		specs.IPCNamespace: true, specs.UTSNamespace: true, specs.CgroupNamespace: true,
	}
	for _, ns := range s.Linux.Namespaces {
		prepared := ns.Type == specs.NetworkNamespace && preparedNetwork.MatchString(ns.Path)
		if ns.Path != "" && !prepared {
			return fmt.Errorf("%s namespace is joined, not made", ns.Type)
		}
		delete(want, ns.Type)
	}
	for t := range want {
		return fmt.Errorf("no %s namespace of its own", t)
	}
	return nil
}

// lowestID keeps a container's ids clear of every user of the host and of
// systemd's dynamic and container ranges (which end at 1879048191).
const lowestID = 1879048192

func checkIDs(s *specs.Spec) error {
	for _, maps := range [][]specs.LinuxIDMapping{s.Linux.UIDMappings, s.Linux.GIDMappings} {
		if len(maps) != 1 || maps[0].ContainerID != 0 || maps[0].Size != IDRange || maps[0].HostID < lowestID {
			return fmt.Errorf("mapping %v is not one range of %d from %d up", maps, IDRange, lowestID)
		}
	}
	return nil
}

func checkProcess(s *specs.Spec) error {
	p := s.Process
	switch {
	case !p.NoNewPrivileges:
		return fmt.Errorf("no_new_privs is off")
	case p.Capabilities == nil:
		return fmt.Errorf("capabilities are unset, which means all of a default")
	case len(p.Capabilities.Bounding)+len(p.Capabilities.Effective)+len(p.Capabilities.Permitted)+len(p.Capabilities.Inheritable)+len(p.Capabilities.Ambient) > 0:
		return fmt.Errorf("capabilities are granted")
	case p.User.UID != ServerUID || p.User.GID != ServerUID || len(p.User.AdditionalGids) > 0:
		return fmt.Errorf("user is not %d", ServerUID)
	case p.Terminal:
		return fmt.Errorf("a terminal is attached")
	case len(p.Args) < 3 || p.Args[0] != initTarget || p.Args[1] != socketTarget:
		return fmt.Errorf("the first process is not mcprun-init")
	case p.ApparmorProfile != "" || p.SelinuxLabel != "":
		return fmt.Errorf("a label is set")
	}
	return nil
}

func checkRoot(s *specs.Spec) error {
	if !s.Root.Readonly {
		return fmt.Errorf("the root file system is writable")
	}
	return nil
}

func checkMounts(s *specs.Spec) error {
	for _, m := range s.Mounts {
		if !hasOption(m, "nosuid") {
			return fmt.Errorf("%s lacks nosuid", m.Destination)
		}
		// /dev is a tmpfs into which runc puts null, zero, full, random, urandom, tty.
		if m.Type != "proc" && m.Type != "devpts" && m.Destination != "/dev" && !hasOption(m, "nodev") {
			return fmt.Errorf("%s lacks nodev", m.Destination)
		}
		if m.Destination != initTarget && !hasOption(m, "noexec") {
			return fmt.Errorf("%s lacks noexec", m.Destination)
		}
		for _, o := range m.Options {
			if strings.Contains(o, "shared") || o == "rbind" || o == "suid" || o == "dev" || o == "exec" {
				return fmt.Errorf("%s has option %s", m.Destination, o)
			}
		}
		switch m.Type {
		case "proc", "devpts":
		case "tmpfs":
			if !hasSize(m) {
				return fmt.Errorf("%s has no size", m.Destination)
			}
		case "bind":
			if err := checkBind(m); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s has type %s", m.Destination, m.Type)
		}
	}
	return nil
}

func checkBind(m specs.Mount) error {
	own := strings.HasPrefix(m.Destination, GivenDir) || m.Destination == ResolvConf || m.Destination == HostsFile
	switch {
	case own && len(m.UIDMappings)+len(m.GIDMappings) > 0: // only grants have such maps
		return fmt.Errorf("a folder is mounted over %s", m.Destination)
	case own && !hasOption(m, "ro"):
		return fmt.Errorf("%s is writable", m.Destination)
	case !own && (len(m.UIDMappings) != 1 || len(m.GIDMappings) != 1 || m.UIDMappings[0].Size != 1 || m.GIDMappings[0].Size != 1):
		return fmt.Errorf("%s does not map exactly its owner", m.Destination)
	case !own && hasOption(m, "ro") == hasOption(m, "rw"):
		return fmt.Errorf("%s is not one of ro and rw", m.Destination)
	}
	for _, bad := range []string{"/proc", "/sys", "/dev", "/.mcprun"} {
		if !own && (m.Destination == bad || strings.HasPrefix(m.Destination, bad+"/")) {
			return fmt.Errorf("a folder is mounted over %s", bad)
		}
	}
	if m.Destination == "/" {
		return fmt.Errorf("a folder is mounted over /")
	}
	return nil
}

func hasSize(m specs.Mount) bool {
	for _, o := range m.Options {
		if strings.HasPrefix(o, "size=") && o != "size=0" {
			return true
		}
	}
	return false
}

func checkLimits(s *specs.Spec) error {
	r := s.Linux.Resources
	switch {
	case r == nil || r.Memory == nil || r.CPU == nil || r.Pids == nil:
		return fmt.Errorf("memory, cpu or pids is unlimited")
	case r.Memory.Limit == nil || *r.Memory.Limit <= 0 || r.Memory.Swap == nil || *r.Memory.Swap != *r.Memory.Limit:
		return fmt.Errorf("memory is unlimited or may swap")
	case r.CPU.Quota == nil || *r.CPU.Quota <= 0 || r.CPU.Period == nil || *r.CPU.Period == 0:
		return fmt.Errorf("cpu is unlimited")
	case r.Pids.Limit == nil || *r.Pids.Limit <= InitTasks:
		return fmt.Errorf("pids is unlimited")
	case len(r.Devices) != 1 || r.Devices[0].Allow:
		return fmt.Errorf("devices are allowed")
	}
	want := map[string]bool{"RLIMIT_NOFILE": true, "RLIMIT_FSIZE": true, "RLIMIT_CORE": true}
	for _, l := range s.Process.Rlimits {
		delete(want, l.Type)
		if l.Type == "RLIMIT_CORE" && l.Hard != 0 {
			return fmt.Errorf("core files are on")
		}
	}
	for l := range want {
		return fmt.Errorf("%s is unset", l)
	}
	return nil
}

// checkSeccomp: the filter is loaded by the first process (see fence). One of the
// runtime's would come before it, with answers that the daemon is not told of.
func checkSeccomp(s *specs.Spec) error {
	if s.Linux.Seccomp != nil {
		return fmt.Errorf("a second filter is loaded")
	}
	return nil
}

func checkProc(s *specs.Spec) error {
	masked := strings.Join(s.Linux.MaskedPaths, " ") + " "
	for _, p := range maskedPaths() {
		if !strings.Contains(masked, p+" ") {
			return fmt.Errorf("%s is not masked", p)
		}
	}
	readonly := strings.Join(s.Linux.ReadonlyPaths, " ") + " "
	for _, p := range readonlyPaths() {
		if !strings.Contains(readonly, p+" ") {
			return fmt.Errorf("%s is writable", p)
		}
	}
	return nil
}

// checkNothingElse refuses the parts of the spec that nothing here uses, since
// each of them reaches the host.
func checkNothingElse(s *specs.Spec) error {
	l := s.Linux
	switch {
	case s.Hooks != nil:
		return fmt.Errorf("hooks run on the host")
	case len(l.Devices) > 0:
		return fmt.Errorf("devices are passed in")
	case len(l.Sysctl) > 0:
		return fmt.Errorf("sysctls are set")
	case l.RootfsPropagation != "private":
		return fmt.Errorf("mounts propagate")
	case l.IntelRdt != nil || l.Personality != nil || l.MountLabel != "" || len(l.NetDevices) > 0:
		return fmt.Errorf("an unused part of the spec is set")
	case !strings.HasPrefix(l.CgroupsPath, "/mcprun"):
		return fmt.Errorf("cgroup %q is not under mcprun's", l.CgroupsPath)
	}
	return nil
}
