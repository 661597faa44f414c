package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

type node struct {
	path         string
	severe       bool
	major, minor uint32 // where mknod should try to make it; 0 for none
	block        bool
	lookOnly     bool // opening it has an effect, such as arming a watchdog
}

// nodes are entries of /dev that a container should not have. Severe are the
// host's memory, disks, kernel log, and what loads or overlays them.
func nodes() []node {
	return []node{
		{path: "mem", severe: true, major: 1, minor: 1}, {path: "kmem", severe: true, major: 1, minor: 2},
		{path: "port", severe: true, major: 1, minor: 4}, {path: "kmsg", severe: true, major: 1, minor: 11},
		{path: "kvm", major: 10, minor: 232}, {path: "fuse", major: 10, minor: 229}, {path: "net/tun", major: 10, minor: 200},
		{path: "loop-control", severe: true, major: 10, minor: 237}, {path: "loop0", severe: true, major: 7, block: true},
		{path: "sda", severe: true, major: 8, block: true}, {path: "sda1", severe: true, major: 8, minor: 1, block: true},
		{path: "vda", severe: true, major: 254, block: true}, {path: "vda1", severe: true, major: 254, minor: 1, block: true},
		{path: "nvme0n1", severe: true, major: 259, block: true}, {path: "xvda", severe: true, major: 202, block: true},
		{path: "dm-0", severe: true, major: 253, block: true}, {path: "mapper/control", severe: true, major: 10, minor: 236},
		{path: "zram0", severe: true}, {path: "md0", severe: true}, {path: "sr0", severe: true}, {path: "ram0", severe: true},
		{path: "nbd0", severe: true}, {path: "sg0", severe: true}, {path: "bsg", severe: true}, {path: "raw/rawctl", severe: true},
		{path: "vhost-net"}, {path: "vhost-vsock"}, {path: "vfio/vfio", severe: true}, {path: "iommu", severe: true},
		{path: "rtc0"}, {path: "hpet"}, {path: "nvram", severe: true}, {path: "cpu/0/msr", severe: true}, {path: "cpu/0/cpuid"},
		{path: "cpu_dma_latency", lookOnly: true}, {path: "uinput", severe: true}, {path: "uhid", severe: true},
		{path: "input/event0", severe: true}, {path: "dri/card0", severe: true}, {path: "dri/renderD128"}, {path: "fb0", severe: true},
		{path: "snd/seq"}, {path: "tty0", severe: true}, {path: "tty1", severe: true}, {path: "ttyS0", severe: true},
		{path: "vcs", severe: true}, {path: "vcsa", severe: true}, {path: "bus/usb", severe: true}, {path: "btrfs-control"},
		{path: "autofs"}, {path: "userfaultfd"}, {path: "mcelog"}, {path: "snapshot", severe: true, lookOnly: true},
		{path: "watchdog", severe: true, lookOnly: true}, {path: "watchdog0", severe: true, lookOnly: true},
		{path: "disk", severe: true}, {path: "hwrng"}, {path: "tpm0", severe: true}, {path: "tpmrm0", severe: true},
		{path: "sgx_enclave"}, {path: "vsock"}, {path: "rfkill"}, {path: "ppp"}, {path: "cuse", severe: true}, {path: "udmabuf"},
		{path: "dma_heap"}, {path: "vga_arbiter", severe: true}, {path: "kfd"}, {path: "nvidiactl"}, {path: "binder"},
		{path: "usbmon0", severe: true}, {path: "ipmi0", severe: true}, {path: "mei0", severe: true}, {path: "ptp0"},
	}
}

func deviceOps() []op {
	var ops []op
	for _, n := range nodes() {
		ops = append(ops, op{name: "devices.entry." + strings.ReplaceAll(n.path, "/", "-"), severe: n.severe, run: func() outcome { return openEntry(n) }})
		if n.major != 0 {
			ops = append(ops, op{name: "devices.mknod." + strings.ReplaceAll(n.path, "/", "-"), severe: n.severe, run: func() outcome { return makeNode(n) }})
		}
	}
	return append(ops,
		op{name: "devices.mknod.whiteout", run: func() outcome { return makeNode(node{path: "whiteout"}) }},
		op{name: "devices.found.block", severe: true, run: func() outcome { return findNodes(fs.ModeDevice) }},
		op{name: "devices.found.char", run: func() outcome { return findNodes(fs.ModeDevice | fs.ModeCharDevice) }},
	)
}

func openEntry(n node) outcome {
	path := filepath.Join("/dev", n.path)
	if n.lookOnly {
		return effect(unix.Access(path, unix.R_OK))
	}
	return openDevice(path)
}

func openDevice(path string) outcome {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	return allowed(describe(fd))
}

// describe names what an open file really is: a mask is often /dev/null.
func describe(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	kind := "file"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		kind = "char"
	case unix.S_IFBLK:
		kind = "block"
	case unix.S_IFDIR:
		kind = "folder"
	}
	return fmt.Sprintf("%s %d:%d", kind, unix.Major(st.Rdev), unix.Minor(st.Rdev))
}

// makeNode makes a device node and opens it: on a nodev mount or behind a
// device filter a node is worth nothing.
func makeNode(n node) outcome {
	dir, remove, ok := scratch()
	if !ok {
		return absent("nowhere to make a node")
	}
	defer remove()
	path := filepath.Join(dir, "node")
	kind := uint32(unix.S_IFCHR)
	if n.block {
		kind = unix.S_IFBLK
	}
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(n.major, n.minor))); err != nil {
		return effect(err)
	}
	if n.major == 0 {
		return allowed("made")
	}
	o := openDevice(path)
	return o.with(strings.TrimSpace("made; opening it: " + o.errno + " " + o.detail))
}

// findNodes looks for devices outside the set that every container has.
func findNodes(kind fs.FileMode) outcome {
	usual := map[string]bool{}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts/ptmx"} {
		usual["/dev/"+name] = true
	}
	found := walk(func(path string, d fs.DirEntry) bool {
		return d.Type()&(fs.ModeDevice|fs.ModeCharDevice) == kind && !usual[path] && !strings.HasPrefix(path, "/dev/pts/")
	})
	return allowedList(found, "none found")
}
