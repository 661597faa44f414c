package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// hide leaves behind what whoever looks at it afterwards is to stumble over: links out,
// files that hang or do something when they are opened, names that are commands, a tree
// without end, a file of 60 GiB, and n more files.
func hide(n int) (string, error) {
	deep := "/tmp/deep" + strings.Repeat("/d", 100)
	var failed []string
	for what, err := range map[string]error{
		"note":     os.WriteFile("/tmp/note", []byte("evidence\n"), 0o600),
		"env":      os.WriteFile("/tmp/env", []byte(strings.Join(os.Environ(), "\n")), 0o600),
		"shm":      os.WriteFile("/dev/shm/note", []byte("shared\n"), 0o600),
		"shadow":   os.Symlink("/etc/shadow", "/tmp/shadow"),
		"root":     os.Symlink("/proc/1/root", "/tmp/root"),
		"up":       os.Symlink("../../../../../../../../etc", "/tmp/up"),
		"fifo":     syscall.Mkfifo("/tmp/fifo", 0o666),
		"odd":      os.WriteFile("/tmp/a\n\x1b[31m\xff", []byte("odd"), 0o600),
		"mode":     syscall.Chmod("/tmp/note", 0o1755), // setuid is refused
		"deep":     os.MkdirAll(deep, 0o700),
		"in there": os.WriteFile(deep+"/hidden", nil, 0o600),
		"sparse":   sparse("/tmp/sparse", 60<<30, "needle"),
		"socket":   listen("/tmp/sock"),
	} {
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", what, err))
		}
	}
	if err := os.Mkdir("/tmp/many", 0o700); err != nil {
		return "", err
	}
	for i := range n {
		f, err := os.Create(filepath.Join("/tmp/many", fmt.Sprint(i)))
		if err != nil {
			return "", err
		}
		f.Close()
	}
	fmt.Fprintln(os.Stderr, "unruly: all is hidden")
	return "hidden " + strings.Join(failed, "; "), nil
}

// sparse makes a file that is nearly all hole.
func sparse(path string, size int64, needle string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(needle), size/2); err != nil {
		return err
	}
	return f.Truncate(size)
}

// listener stays open.
var listener net.Listener

func listen(path string) (err error) {
	listener, err = net.Listen("unix", path)
	return err
}
