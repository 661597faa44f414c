package main

import (
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// atSelf is AT_FDCWD as a raw argument.
func atSelf() uintptr { return minus(-unix.AT_FDCWD) }

// cstr is the pointer of a C string for call; the string must be a constant or
// be kept alive by the caller.
func cstr(s string) unsafe.Pointer {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		return nil
	}
	return unsafe.Pointer(p)
}

// fileSystems are tried one by one. A severe one shows the host's data, or the
// kernel's without the masks over what the container was given.
func fileSystems() []struct {
	name   string
	severe bool
} {
	return []struct {
		name   string
		severe bool
	}{
		{"tmpfs", true}, {"ramfs", true}, {"proc", true}, {"sysfs", true}, {"devtmpfs", true}, {"devpts", false},
		{"mqueue", false}, {"cgroup2", true}, {"overlay", false}, {"bpf", true}, {"debugfs", true}, {"tracefs", true},
		{"securityfs", true}, {"configfs", true}, {"fusectl", false}, {"binfmt_misc", true}, {"hugetlbfs", false},
		{"pstore", true}, {"efivarfs", true}, {"fuse", false},
	}
}

func mountOps() []op {
	var ops []op
	for _, fs := range fileSystems() {
		ops = append(ops, op{name: "mounts.fs." + fs.name, severe: fs.severe, run: func() outcome {
			data := ""
			if fs.name == "overlay" {
				data = "lowerdir=/etc:/usr"
			}
			return tryMount(fs.name, fs.name, 0, data)
		}})
	}
	for _, fs := range []string{"tmpfs", "proc", "sysfs", "cgroup2", "overlay", "devpts", "ext4"} {
		ops = append(ops, op{name: "mounts.fsopen." + fs, run: func() outcome {
			return reached(call(unix.SYS_FSOPEN, uintptr(cstr(fs)), 0))
		}})
	}
	return append(append(ops,
		op{name: "mounts.cgroup1.memory", severe: true, run: func() outcome { return tryMount("cgroup", "cgroup", 0, "memory") }},
		op{name: "mounts.bind.root", severe: true, run: func() outcome { return tryMount("/", "", unix.MS_BIND, "") }},
		op{name: "mounts.bind.recursive", severe: true, run: func() outcome { return tryMount("/", "", unix.MS_BIND|unix.MS_REC, "") }},
		op{name: "mounts.bind.proc", severe: true, run: func() outcome { return tryMount("/proc", "", unix.MS_BIND, "") }},
		op{name: "mounts.propagation.private", run: func() outcome { return effect(unix.Mount("", "/", "", unix.MS_PRIVATE, "")) }},
		op{name: "mounts.propagation.slave", run: func() outcome { return effect(unix.Mount("", "/", "", unix.MS_SLAVE, "")) }},
		op{name: "mounts.move", severe: true, run: func() outcome { return reached(unix.Mount("/proc", "/proc/self", "", unix.MS_MOVE, "")) }},
		op{name: "mounts.remount.root-rw", severe: true, run: func() outcome { return remount("/", unix.MS_BIND) }},
		op{name: "mounts.remount.superblock-rw", severe: true, run: remountSuperblock},
		op{name: "mounts.remount.each-rw", severe: true, run: remountEach},
		op{name: "mounts.remount.proc-options", run: func() outcome { return remount("/proc", 0) }},
		op{name: "mounts.shared", severe: true, run: sharedMounts},
		op{name: "mounts.umount.nothing", run: func() outcome { return reached(unix.Unmount("/proc/self", unix.MNT_DETACH)) }},
		op{name: "mounts.umount.each", severe: true, run: umountEach},
		op{name: "mounts.pivot-root", run: func() outcome { return reached(call(unix.SYS_PIVOT_ROOT, badPointer, badPointer)) }},
		op{name: "mounts.chroot", run: func() outcome { return effect(unix.Chroot("/")) }},
		op{name: "mounts.chroot.breakout", severe: true, run: chrootBreakout},
	), newMountOps()...)
}

// newMountOps are the calls of the file-descriptor based mount interface, which
// old filters forget.
func newMountOps() []op {
	openTree := func(flags uintptr) outcome {
		return effect(call(unix.SYS_OPEN_TREE, atSelf(), uintptr(cstr("/")), flags|unix.OPEN_TREE_CLOEXEC))
	}
	return []op{
		{name: "mounts.open-tree.handle", run: func() outcome { return openTree(0) }},
		{name: "mounts.open-tree.clone", severe: true, run: func() outcome { return openTree(unix.OPEN_TREE_CLONE) }},
		{name: "mounts.open-tree.recursive", severe: true, run: func() outcome { return openTree(unix.OPEN_TREE_CLONE | unix.AT_RECURSIVE) }},
		{name: "mounts.open-tree-attr", severe: true, run: func() outcome {
			return effect(call(unix.SYS_OPEN_TREE_ATTR, atSelf(), uintptr(cstr("/")), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, 0, 0))
		}},
		reachOp("mounts.fsconfig", false, unix.SYS_FSCONFIG, minus(1), 0, 0, 0, 0),
		reachOp("mounts.fsmount", false, unix.SYS_FSMOUNT, minus(1), 0, 0),
		{name: "mounts.fspick", run: func() outcome {
			return reached(call(unix.SYS_FSPICK, atSelf(), uintptr(cstr("/")), 0))
		}},
		reachOp("mounts.move-mount", false, unix.SYS_MOVE_MOUNT, minus(1), badPointer, minus(1), badPointer, 0),
		{name: "mounts.setattr", severe: true, run: func() outcome {
			attr := unix.MountAttr{} // asks for no change
			return effect(call(unix.SYS_MOUNT_SETATTR, atSelf(), uintptr(cstr("/")), 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)))
		}},
		{name: "mounts.fsmount.tmpfs", severe: true, run: fsmountTmpfs},
		reachOp("mounts.statmount", false, unix.SYS_STATMOUNT, badPointer, badPointer, 0, 0),
		reachOp("mounts.listmount", false, unix.SYS_LISTMOUNT, badPointer, badPointer, 0, 0),
	}
}

// scratch makes a folder wherever that is possible.
func scratch() (dir string, remove func(), ok bool) {
	for _, base := range []string{"/tmp", "/dev/shm", "/run", "/var/tmp", "."} {
		if dir, err := os.MkdirTemp(base, "probe-"); err == nil {
			return dir, func() { os.RemoveAll(dir) }, true
		}
	}
	return "", func() {}, false
}

// tryMount mounts and, if that worked, detaches at once.
func tryMount(source, fstype string, flags uintptr, data string) outcome {
	target, remove, ok := scratch()
	defer remove()
	if !ok {
		target = "/" // the permission is checked before the target matters
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return effect(err)
	}
	unix.Unmount(target, unix.MNT_DETACH)
	return allowed("")
}

// fsmountTmpfs makes a file system that is attached nowhere and ends with the
// process.
func fsmountTmpfs() outcome {
	fd, err := callValue(unix.SYS_FSOPEN, uintptr(cstr("tmpfs")), 0)
	if err != nil {
		return effect(err)
	}
	const create = 6 // FSCONFIG_CMD_CREATE
	if err := call(unix.SYS_FSCONFIG, fd, create, 0, 0, 0); err != nil {
		return effect(err)
	}
	return effect(call(unix.SYS_FSMOUNT, fd, 0, 0))
}

// flagsOf keeps the restrictions of a mount other than read-only: a remount that
// drops one is refused for that alone where mounts are locked.
func flagsOf(m mount) uintptr {
	var flags uintptr
	for option, flag := range map[string]uintptr{
		"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
		"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
	} {
		if m.has(option) {
			flags |= flag
		}
	}
	return flags
}

func remount(point string, kind uintptr) outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	var flags uintptr
	for _, m := range ms {
		if m.point == point {
			flags = flagsOf(m)
		}
	}
	return effect(unix.Mount("", point, "", unix.MS_REMOUNT|kind|flags, ""))
}

// remountSuperblock asks for the file system itself, not this mount of it. The
// control has a tmpfs of its own as root, so that no host file system changes.
func remountSuperblock() outcome { return remount("/", 0) }

// remountEach makes every read-only mount writable, and back.
func remountEach() outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	var got []string
	last := absent("no read-only mount")
	for _, m := range ms {
		if !m.has("ro") {
			continue
		}
		flags := unix.MS_REMOUNT | unix.MS_BIND | flagsOf(m)
		err := unix.Mount("", m.point, "", flags, "")
		if err == nil {
			got = append(got, m.point)
			unix.Mount("", m.point, "", flags|unix.MS_RDONLY, "")
			continue
		}
		last = effect(err)
	}
	if len(got) > 0 {
		return allowed(strings.Join(got, " "))
	}
	return last
}

// umountEach marks each mount for expiry, which asks for every permission of an
// unmount and removes nothing the first time.
func umountEach() outcome {
	ms, err := mounts()
	if err != nil {
		return effect(err)
	}
	var got []string
	last := absent("no mount")
	for _, m := range ms {
		err := unix.Unmount(m.point, unix.MNT_EXPIRE)
		switch err {
		case unix.EAGAIN, unix.EBUSY:
			got = append(got, m.point)
		case unix.EINVAL:
			last = denied("locked mount")
		default:
			last = effect(err)
		}
	}
	if len(got) > 0 {
		return allowed(strings.Join(got, " "))
	}
	return last
}

// sharedMounts looks for mounts that would carry a mount out to the host.
func sharedMounts() outcome {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return effect(err)
	}
	if strings.Contains(string(raw), " shared:") {
		return allowed("a mount is shared")
	}
	return absent("no shared mount")
}

// chrootBreakout is the classic way out of a root that was only set by chroot.
func chrootBreakout() outcome {
	var before, after unix.Stat_t
	if err := unix.Stat("/", &before); err != nil {
		return effect(err)
	}
	top, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	if err := unix.Chroot("/proc"); err != nil {
		return effect(err)
	}
	if err := unix.Fchdir(top); err != nil {
		return effect(err)
	}
	const deep = 64 // more levels than any root lies below
	if err := os.Chdir(filepath.Join(strings.Split(strings.Repeat("../", deep), "/")...)); err != nil {
		return effect(err)
	}
	if err := unix.Stat(".", &after); err != nil {
		return effect(err)
	}
	if before.Dev == after.Dev && before.Ino == after.Ino {
		return denied("chroot works, but nothing lies above the root")
	}
	return allowed("a folder above the root")
}
