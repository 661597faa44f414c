package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The control runs the same operations as root with every capability and no
// filter, in namespaces of its own and with a root folder of its own, so that
// what is denied in a container is seen to be possible elsewhere.

// witness is, for a group, an operation that the control must see allowed.
func witnesses() map[string]string {
	return map[string]string{
		"fds":          "fds.inherited",
		"capabilities": "capabilities.held.SYS_ADMIN",
		"environment":  "environment.session",
		"namespaces":   "namespaces.unshare.uts",
		"mounts":       "mounts.fs.tmpfs",
		"devices":      "devices.entry.kmsg",
		"proc":         "proc.write.sys-kernel-core_pattern",
		"sys":          "sys.present",
		"cgroups":      "cgroups.visible",
		"identity":     "identity.host-root",
		"ptrace":       "ptrace.seize-parent",
		"kernel":       "kernel.reboot",
		"bpf":          "bpf.prog-load",
		"memory":       "memory.userfaultfd",
		"keys":         "keys.add",
		"time":         "time.settimeofday",
		"scheduling":   "scheduling.nice",
		"tty":          "tty.ptmx",
		"sockets":      "sockets.raw.icmp",
		"network":      "network.connect.metadata",
		"files":        "files.create.root-etc",
		"exec":         "exec.from.root-tmp",
		"ipc":          "ipc.shmget",
		"info":         "info.kernel-version",
		"limits":       "limits.processes",
		"abi":          "abi.i386.getpid",
		"obsolete":     "obsolete.modify-ldt",
		"new-calls":    "new-calls.mseal",
	}
}

// notInControl names operations that could change the machine even in fresh
// namespaces: a family of sockets or a file system that the kernel does not
// have yet makes it load a module, and mounting a hierarchy of version 1 can take
// a controller away from version 2.
func notInControl(name string) bool {
	if family, ok := strings.CutPrefix(name, "sockets.family."); ok {
		return !slices.Contains([]string{"unix", "inet", "inet6", "netlink", "packet"}, family)
	}
	switch name {
	case "sockets.alg-bind", "sockets.sctp", "sockets.dccp", "abi.i386.socket-vsock", "abi.x32.socket-vsock",
		"mounts.fs.fuse", "mounts.fsopen.ext4", "mounts.cgroup1.memory":
		return true
	}
	return false
}

// runControl starts this program again inside fresh namespaces.
func runControl(args []string, stdout, stderr io.Writer) error {
	if os.Getuid() != 0 {
		return errNotRoot
	}
	self, err := os.Open(selfPath)
	if err != nil {
		return fmt.Errorf("opening this program: %w", err)
	}
	defer self.Close()
	args = append(slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-control" || a == "--control" }), "-inside-control")
	cmd := exec.Command(selfPath, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.ExtraFiles = []*os.File{self} // to be found as inherited
	cmd.Env = []string{"PATH=/bin", "SSH_CONNECTION=control"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		Setsid:     true,
	}
	return cmd.Run()
}

// enterControl gives the process a root of its own, with nothing of the host's
// files, and a network of its own in which everything answers.
func enterControl() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("not the first process of a namespace: start with -control")
	}
	if err := controlRoot(); err != nil {
		return err
	}
	if err := controlNodes(); err != nil {
		return err
	}
	return controlNetwork()
}

// controlRoot builds a root folder in memory and moves into it.
func controlRoot() error {
	const at = "/tmp" // hidden below the new root, in this mount namespace only
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=128m,mode=0755"); err != nil {
		return fmt.Errorf("mounting a root: %w", err)
	}
	for _, dir := range []string{"proc", "sys", "dev/net", "dev/shm", "dev/pts", "tmp", "etc", "usr/bin", "run", "root", "var/tmp", "old"} {
		if err := os.MkdirAll(filepath.Join(at, dir), 0o755); err != nil {
			return err
		}
	}
	for _, m := range []struct{ kind, to, data string }{
		{"proc", "proc", ""}, {"sysfs", "sys", ""}, {"cgroup2", "sys/fs/cgroup", ""}, {"devpts", "dev/pts", "newinstance,ptmxmode=0666"},
	} {
		if err := unix.Mount(m.kind, filepath.Join(at, m.to), m.kind, unix.MS_NOSUID|unix.MS_NOEXEC, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.kind, err)
		}
	}
	if err := unix.PivotRoot(at, filepath.Join(at, "old")); err != nil {
		return fmt.Errorf("moving into the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's files: %w", err)
	}
	return nil
}

// controlNodes makes devices that can be opened without an effect.
func controlNodes() error {
	for _, n := range []struct {
		path         string
		major, minor uint32
	}{
		{"null", 1, 3}, {"zero", 1, 5}, {"mem", 1, 1}, {"kmsg", 1, 11}, {"fuse", 10, 229}, {"net/tun", 10, 200}, {"loop-control", 10, 237},
	} {
		if err := unix.Mknod("/dev/"+n.path, unix.S_IFCHR|0o600, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("making /dev/%s: %w", n.path, err)
		}
	}
	return os.Symlink("pts/ptmx", "/dev/ptmx")
}

// controlNetwork brings lo up with some of the addresses that are tried, and
// listens there.
func controlNetwork() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for name, ip := range map[string]net.IP{"lo": {127, 0, 0, 1}, "lo:1": {169, 254, 169, 254}, "lo:2": {10, 0, 0, 1}, "lo:3": {1, 1, 1, 1}} {
		if err := setAddress(fd, name, ip); err != nil {
			return fmt.Errorf("giving lo the address %s: %w", ip, err)
		}
	}
	if err := interfaceUp(fd, "lo"); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	for _, port := range []string{"80", "443"} {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go answer(l)
	}
	return nil
}

func answer(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n")
		conn.Close()
	}
}
