package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// pathName names an operation on a path: the prefix, a dot, the path with hyphens.
func pathName(prefix, path string) string {
	return prefix + "." + strings.ReplaceAll(strings.Trim(path, "/"), "/", "-")
}

// isDevice says that a path was masked by /dev/null.
func isDevice(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR
}

// writable opens a file for writing and closes it without a write.
func writable(path string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	defer unix.Close(fd)
	if isDevice(fd) {
		return denied("masked by a device")
	}
	return allowed("opened for writing")
}

// maxRead is how much of a file is looked at.
const maxRead = 64 << 10

func head(path string) (string, outcome) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", effect(err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if isDevice(fd) {
		return "", denied("masked by a device")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil && len(b) == 0 {
		return "", effect(err)
	}
	if len(b) == 0 {
		return "", denied("empty")
	}
	return string(b), allowed("")
}

// readable reads the beginning of a file; an empty one is a mask.
func readable(path string) outcome {
	_, o := head(path)
	return o
}

// opened opens a file that must not be read, because reading takes data away
// or blocks.
func opened(path string) outcome {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	defer unix.Close(fd)
	if isDevice(fd) {
		return denied("masked by a device")
	}
	return allowed("opened")
}

// addresses reads a file of lines that begin with an address; without privilege
// the kernel prints zeros.
func addresses(path string) outcome {
	s, o := head(path)
	if o.verdict != result.Allowed {
		return o
	}
	for line := range strings.Lines(s) {
		first, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if len(first) >= 8 && strings.Trim(first, "0-") != "" && strings.Trim(first, "0123456789abcdef-") == "" {
			return allowed("addresses are shown")
		}
	}
	return denied("addresses are hidden")
}

// folder lists a folder; an empty one is a mask.
func folder(path string) outcome {
	entries, err := os.ReadDir(path)
	if err != nil {
		return effect(err)
	}
	if len(entries) == 0 {
		return denied("empty")
	}
	return allowed(entries[0].Name() + " …")
}

// creatable makes a file in a folder and removes it.
func creatable(dir string) outcome {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return effect(err)
	}
	f.Close()
	return effect(os.Remove(f.Name()))
}

// exists only looks.
func exists(path string) outcome {
	if _, err := os.Lstat(path); err != nil {
		return effect(err)
	}
	return allowed("exists")
}

// outside says whether a link of /proc leads to another file than ours.
func outside(link, ours string) outcome {
	var a, b unix.Stat_t
	if err := unix.Stat(link, &a); err != nil {
		return effect(err)
	}
	if err := unix.Stat(ours, &b); err != nil {
		return effect(err)
	}
	if a.Dev == b.Dev && a.Ino == b.Ino {
		return absent("leads to our own " + ours)
	}
	return allowed(filepath.Clean(link) + " leads elsewhere")
}

var errNothing = errors.New("nothing to try it on")
