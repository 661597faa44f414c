package runtime

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun/manifest"
)

const (
	// IDRange is how many user and group ids a container has: as many as images use.
	IDRange = 65536
	// ServerUID is the user, inside the container, that the server runs as. It is not
	// 0, so that a file of the image that only root may write stays so.
	ServerUID = 1000
	// InitTasks is what mcprun-init itself takes out of the pids limit: its Go
	// threads, so that the number in server.yaml is the server's own.
	InitTasks = 8
	// SentryTasks is what gVisor takes out of it: the threads of the server's kernel and
	// of its gofer.
	SentryTasks = 64
	// shmSize bounds /dev/shm, which counts as memory of the container.
	shmSize = 16 << 20

	initTarget   = "/.mcprun/init"
	socketTarget = "/.mcprun/io"
	// GivenDir is where a server finds what the daemon gives it, but for the two
	// files that programs look for elsewhere.
	GivenDir   = "/.mcprun/"
	ResolvConf = "/etc/resolv.conf"
	HostsFile  = "/etc/hosts"
	// defaultPath is the only PATH: the image's own environment is not taken over.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// oomScore makes the kernel take the server rather than the host's programs.
	oomScore = 500
)

// Placement is what the host contributes to a spec: where things are and which
// ids the container maps to. Nothing in it comes from server.yaml or the image.
type Placement struct {
	IDBase     uint32 // first host uid and gid of the container's range
	InitPath   string // mcprun-init on the host
	SocketPath string // the listening socket on the host
	Cgroup     string // path of the container's cgroup below each hierarchy's root
	Sources    []Source
	Network    string      // the namespace to join, as /proc/PID/fd/N; "" makes one of its own, with nothing in it
	Given      []GivenFile // what the daemon gives the server to read, in order
	Env        []string    // what the daemon adds to the environment, after server.yaml's
}

// GivenFile is one file that the daemon wrote for the server: how names are
// asked, whom to trust, a placeholder for a credential.
type GivenFile struct {
	Path string // on the host, in the instance's own folder
	To   string // where the server sees it, read-only
}

// Source is one checked host path, in the order of the manifest's bind mounts.
type Source struct {
	Path     string // what to mount; the runtime compares what was mounted with what was checked
	UID, GID uint32 // the owner on disk, who the server acts as within it
}

// Program is what runs: taken from server.yaml, else from the image.
type Program struct {
	Command []string
	WorkDir string
}

// Spec makes the OCI runtime spec of one container. It is pure: the same inputs
// give the same spec. CheckInvariants holds for every spec it returns. The seccomp
// filter is not in it: see fence.
func Spec(m *manifest.Server, prog Program, p Placement) (*specs.Spec, error) {
	if len(prog.Command) == 0 {
		return nil, fmt.Errorf("no command: neither server.yaml nor the image names one")
	}
	files, err := fileMounts(m, p)
	if err != nil {
		return nil, err
	}
	cwd := prog.WorkDir
	if cwd == "" {
		cwd = "/"
	}
	s := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: string(m.Name),
		Process: &specs.Process{
			User:            specs.User{UID: ServerUID, GID: ServerUID},
			Args:            append([]string{initTarget, socketTarget}, prog.Command...),
			Env:             append(environment(m), p.Env...),
			Cwd:             cwd,
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			Rlimits:         rlimits(m.Resources),
			OOMScoreAdj:     ptr(oomScore),
		},
		Mounts: slices.Concat(systemMounts(m, p), files, givenMounts(p.Given)),
		Linux: &specs.Linux{
			Namespaces:        ownNamespaces(p.Network),
			UIDMappings:       []specs.LinuxIDMapping{{ContainerID: 0, HostID: p.IDBase, Size: IDRange}},
			GIDMappings:       []specs.LinuxIDMapping{{ContainerID: 0, HostID: p.IDBase, Size: IDRange}},
			CgroupsPath:       p.Cgroup,
			Resources:         resources(m),
			MaskedPaths:       maskedPaths(),
			ReadonlyPaths:     readonlyPaths(),
			RootfsPropagation: "private",
		},
	}
	return s, CheckInvariants(s)
}

// ownNamespaces are all of the container's own. That of the network is fresh, with
// only lo and nobody listening, or one that the daemon has prepared for this
// container alone (see netpolicy/netns).
func ownNamespaces(network string) []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.UserNamespace}, {Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
		{Type: specs.NetworkNamespace, Path: network},
		{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
	}
}

// environment is the whole of it: ours, then what server.yaml names.
func environment(m *manifest.Server) []string {
	env := []string{"PATH=" + defaultPath, "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8"}
	for _, v := range m.Environment {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

func rlimits(r manifest.Resources) []specs.POSIXRlimit {
	files, size := uint64(r.OpenFiles), uint64(r.FileSize)
	return []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: files, Hard: files},
		{Type: "RLIMIT_FSIZE", Soft: size, Hard: size},
		{Type: "RLIMIT_CORE", Soft: 0, Hard: 0}, // a core file would hold what the server holds
	}
}

const cpuPeriod = 100_000 // microseconds: the kernel's own default

func resources(m *manifest.Server) *specs.LinuxResources {
	r := m.Resources
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, // runc adds null, zero, random, tty back
		Memory:  &specs.LinuxMemory{Limit: ptr(r.Memory), Swap: ptr(r.Memory)},
		CPU:     &specs.LinuxCPU{Quota: ptr(r.MilliCPU * cpuPeriod / 1000), Period: ptr(uint64(cpuPeriod))},
		Pids:    &specs.LinuxPids{Limit: ptr(hostTasks(m.Isolation, r.Pids))},
	}
}

// systemMounts are the same for every server but for the size of /tmp. There is
// no /sys: a user namespace cannot mount it safely, and no server needs it.
func systemMounts(m *manifest.Server, p Placement) []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", shmSize)}},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", m.Tmp)}},
		{Destination: initTarget, Type: "bind", Source: p.InitPath, Options: []string{"bind", "ro", "nosuid", "nodev"}},
		{Destination: socketTarget, Type: "bind", Source: p.SocketPath, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}},
	}
}

// fileMounts are the granted folders. The mount maps the owner on disk to the
// server's user: what the server writes belongs to the folder's owner, and no
// file of another user's becomes readable.
func fileMounts(m *manifest.Server, p Placement) ([]specs.Mount, error) {
	var out []specs.Mount
	next := 0
	for _, f := range m.Files {
		if f.Tmpfs {
			out = append(out, specs.Mount{Destination: f.To, Type: "tmpfs", Source: "tmpfs",
				Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", f.Size)}})
			continue
		}
		if next == len(p.Sources) {
			return nil, fmt.Errorf("files: no checked source for %s", f.To)
		}
		src := p.Sources[next]
		next++
		access := "ro"
		if f.Access == manifest.Write {
			access = "rw"
		}
		server := p.IDBase + ServerUID
		out = append(out, specs.Mount{
			Destination: f.To, Type: "bind", Source: src.Path,
			Options:     []string{"bind", access, "nosuid", "nodev", "noexec", "private", "idmap"},
			UIDMappings: []specs.LinuxIDMapping{{ContainerID: src.UID, HostID: server, Size: 1}},
			GIDMappings: []specs.LinuxIDMapping{{ContainerID: src.GID, HostID: server, Size: 1}},
		})
	}
	if next != len(p.Sources) {
		return nil, fmt.Errorf("files: %d sources for %d folders", len(p.Sources), next)
	}
	return out, nil
}

// givenMounts are the daemon's files, which the server can read and nothing else.
func givenMounts(files []GivenFile) []specs.Mount {
	var out []specs.Mount
	for _, f := range files {
		out = append(out, specs.Mount{Destination: f.To, Type: "bind", Source: f.Path, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
	}
	return out
}

// maskedPaths tell about the host or its hardware; none is needed to run a tool.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kallsyms",
		"/proc/kmsg", "/proc/locks", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/modules",
		"/proc/sched_debug", "/proc/scsi", "/proc/slabinfo", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo", "/proc/config.gz",
		"/proc/buddyinfo", "/proc/bus", "/proc/cmdline", "/proc/consoles", "/proc/crypto", "/proc/devices", "/proc/fs", "/proc/misc",
		"/proc/pagetypeinfo", "/proc/pressure", "/proc/tty", "/proc/vmstat", "/proc/zoneinfo", "/proc/partitions", "/proc/iomem", "/proc/ioports", "/proc/swaps", "/proc/diskstats", "/proc/sysvipc", "/sys",
	}
}

// readonlyPaths are the parts of /proc that change something.
func readonlyPaths() []string {
	return []string{"/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/driver", "/proc/mtrr"}
}

func ptr[T any](v T) *T { return &v }

// hasOption says whether a mount carries an option.
func hasOption(m specs.Mount, option string) bool { return slices.Contains(m.Options, option) }
