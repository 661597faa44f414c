package main

import (
	"os"
	"strings"
)

// mount is one line of /proc/self/mountinfo.
type mount struct {
	root, point, options, fstype, source, super string
}

func mounts() ([]mount, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMountinfo(string(raw)), nil
}

// parseMountinfo reads the format of proc_pid_mountinfo(5) and skips lines that
// are not in it.
func parseMountinfo(s string) []mount {
	var ms []mount
	for line := range strings.Lines(s) {
		before, after, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if !ok || len(a) < 6 || len(b) < 2 {
			continue
		}
		m := mount{root: unescape(a[3]), point: unescape(a[4]), options: a[5], fstype: b[0], source: unescape(b[1])}
		if len(b) > 2 {
			m.super = b[2]
		}
		ms = append(ms, m)
	}
	return ms
}

// unescape undoes the octal escapes of the kernel.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func (m mount) has(option string) bool {
	for o := range strings.SplitSeq(m.options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// virtual says that a mount shows the kernel's own data, not somebody's files.
func (m mount) virtual() bool {
	switch m.fstype {
	case "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs", "ramfs", "nsfs",
		"bpf", "debugfs", "tracefs", "securityfs", "configfs", "fusectl", "binfmt_misc", "hugetlbfs", "pstore", "efivarfs":
		return true
	}
	return false
}
