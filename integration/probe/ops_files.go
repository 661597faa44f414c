package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

func fileOps() []op {
	var ops []op
	// None is severe: a writable layer of its own gives a container no more than
	// a place to stay.
	for _, dir := range []string{
		"/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local/bin", "/bin", "/sbin", "/lib", "/dev", "/dev/shm", "/dev/mqueue", "/dev/pts",
		"/run", "/var", "/var/run", "/var/tmp", "/var/lib", "/tmp", "/home", "/root", "/opt", "/srv", "/boot", "/sys", "/proc", "/mnt", "/media",
		"/etc/ssl", "/etc/cron.d",
	} {
		ops = append(ops, op{name: strings.TrimSuffix(pathName("files.create", "root"+dir), "-"), run: func() outcome { return creatable(dir) }})
	}
	for _, path := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/ld.so.preload", "/etc/ld.so.cache", "/bin/sh", "/lib/ld-linux-x86-64.so.2"} {
		ops = append(ops, op{name: pathName("files.write", path), run: func() outcome { return writable(path) }})
	}
	// Where hosts' sockets are usually mounted by mistake.
	for _, path := range []string{
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
		"/run/systemd/private", "/run/dbus/system_bus_socket", "/run/udev/control", "/run/systemd/journal/socket", "/tmp/.X11-unix/X0",
		"/run/snapd.socket", "/var/lib/kubelet/pod-resources/kubelet.sock", "/run/libvirt/libvirt-sock", "/run/mcprun.sock", "/run/mcprun/mcprun.sock",
	} {
		ops = append(ops, op{name: pathName("files.socket", path), severe: true, run: func() outcome { return connectUnix(path) }})
	}
	// Looked for, not read.
	for _, path := range []string{
		"/host", "/rootfs", "/hostfs", "/mnt/host", "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet", "/etc/kubernetes",
		"/var/run/secrets/kubernetes.io", "/root/.ssh", "/root/.aws", "/root/.docker", "/root/.kube", "/.dockerenv", "/run/.containerenv", "/boot/vmlinuz",
	} {
		severe := path != "/.dockerenv" && path != "/run/.containerenv"
		ops = append(ops, op{name: pathName("files.exists", path), severe: severe, run: func() outcome { return exists(path) }})
	}
	return append(ops,
		op{name: "files.read.shadow", run: func() outcome { return readable("/etc/shadow") }},
		op{name: "files.found.setuid", run: func() outcome { return allowedList(setuidFiles(), "none found") }},
		op{name: "files.found.sockets", run: foundSockets},
		op{name: "files.found.world-writable", run: worldWritable},
		op{name: "files.mountinfo.host-paths", run: hostPaths},
		op{name: "files.mountinfo.writable-binds", run: writableBinds},
		op{name: "files.mountinfo.disk-device", run: diskMounts},
		op{name: "files.mountinfo.no-nosuid", run: func() outcome { return mountsWithout("nosuid") }},
		op{name: "files.mountinfo.no-nodev", run: func() outcome { return mountsWithout("nodev") }},
		op{name: "files.hardlink-foreign", severe: true, run: hardlink},
		op{name: "files.immutable", run: immutable},
	)
}

func setuidFiles() []string {
	return walk(func(path string, d fs.DirEntry) bool {
		if !d.Type().IsRegular() {
			return false
		}
		info, err := d.Info()
		return err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0
	})
}

func foundSockets() outcome {
	return allowedList(walk(func(path string, d fs.DirEntry) bool { return d.Type()&fs.ModeSocket != 0 }), "none found")
}

// worldWritable looks for folders that anybody may write and that are not the
// usual ones.
func worldWritable() outcome {
	usual := map[string]bool{"/tmp": true, "/var/tmp": true, "/dev/shm": true, "/dev/mqueue": true, "/run/lock": true}
	return allowedList(walk(func(path string, d fs.DirEntry) bool {
		return d.IsDir() && !usual[path] && unix.Access(path, unix.W_OK) == nil && os.Getuid() != 0
	}), "none found")
}

func connectUnix(path string) outcome {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return effect(err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	switch err {
	case unix.EPROTOTYPE, unix.EAGAIN: // somebody is there
		return allowed("exists")
	case unix.ECONNREFUSED:
		return absent("nobody listens")
	}
	return effect(err)
}

func mountList(pick func(mount) (string, bool), none string) outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	var found []string
	for _, m := range ms {
		if s, ok := pick(m); ok {
			found = append(found, s)
		}
	}
	return allowedList(found, none)
}

// hostPaths lists what mountinfo says about folders of the host: the roots of
// bind mounts and the layers of an overlay.
func hostPaths() outcome {
	return mountList(func(m mount) (string, bool) {
		switch {
		case m.fstype == "overlay" && strings.Contains(m.super, "lowerdir"):
			return m.point + ":" + m.super, true
		case !m.virtual() && m.root != "/":
			return m.point + ":" + m.root, true
		}
		return "", false
	}, "no path of the host")
}

func writableBinds() outcome {
	return mountList(func(m mount) (string, bool) { return m.point, !m.virtual() && !m.has("ro") }, "none")
}

func diskMounts() outcome {
	return mountList(func(m mount) (string, bool) { return m.point + ":" + m.source, strings.HasPrefix(m.source, "/dev/") }, "none")
}

// mountsWithout lists writable mounts that lack a restriction, but not the device
// nodes that every container is given one by one.
func mountsWithout(option string) outcome {
	return mountList(func(m mount) (string, bool) {
		return m.point, !m.has("ro") && !m.has(option) && m.fstype != "devpts" && m.fstype != "devtmpfs" && m.fstype != "proc"
	}, "none")
}

// hardlink makes a second name of a file that is not ours.
func hardlink() outcome {
	if os.Getuid() == 0 {
		return absent("every file is ours")
	}
	dir, remove, ok := scratch()
	if !ok {
		return absent(errNothing.Error())
	}
	defer remove()
	last := absent(errNothing.Error())
	for _, path := range []string{"/etc/passwd", "/etc/shadow", "/bin/sh"} {
		err := os.Link(path, dir+"/link")
		if e, ok := errnoOf(err); ok && e == unix.EXDEV {
			last = denied("on another file system")
			continue
		}
		if last = effect(err); last.verdict == result.Allowed {
			return last.with(path)
		}
	}
	return last
}

// immutable sets a file attribute that only a privileged user may set.
func immutable() outcome {
	f, err := os.CreateTemp("", "probe-")
	if err != nil {
		return absent(errNothing.Error())
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const immutableFlag = 0x10 // FS_IMMUTABLE_FL
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutableFlag); err != nil {
		return effect(err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0); err != nil {
		return broken(fmt.Sprintf("clearing the attribute of %s: %v", f.Name(), err))
	}
	return allowed("")
}
