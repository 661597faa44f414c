package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func execOps() []op {
	var ops []op
	// A program that the server wrote by itself; where the file system is
	// read-only otherwise, these are the only places for one.
	for _, dir := range []string{"/tmp", "/dev/shm", "/var/tmp", "/run", "/dev", "/home", "/"} {
		ops = append(ops, op{name: pathName("exec.from", "root"+dir), run: func() outcome { return execFrom(dir) }})
	}
	return append(ops,
		op{name: "exec.from.work-folder", run: func() outcome { return execFrom(".") }},
		op{name: "exec.memfd", run: execMemfd},
		op{name: "exec.map-from-tmp", run: mapExecutable},
		op{name: "exec.setuid-copy", run: setuidCopy},
	)
}

// copySelf writes this program to a file.
func copySelf(to *os.File) error {
	from, err := os.Open(selfPath)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

func execFrom(dir string) outcome {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return effect(err)
	}
	defer os.Remove(f.Name())
	err = copySelf(f)
	f.Chmod(0o700)
	f.Close()
	if err != nil {
		return effect(err)
	}
	path, err := filepath.Abs(f.Name())
	if err != nil {
		return broken(err.Error())
	}
	return effect(exec.Command(path, "-noop").Run())
}

func execMemfd() outcome {
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC)
	if err != nil {
		return effect(err)
	}
	f := os.NewFile(uintptr(fd), "probe")
	if err := copySelf(f); err != nil {
		return effect(err)
	}
	// The descriptor is this process's; its child finds the file through it.
	return effect(exec.Command("/proc/"+itoa(os.Getpid())+"/fd/"+itoa(fd), "-noop").Run())
}

// mapExecutable maps a file of our own for execution.
func mapExecutable() outcome {
	dir, remove, ok := scratch()
	if !ok {
		return absent(errNothing.Error())
	}
	defer remove()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, make([]byte, os.Getpagesize()), 0o700); err != nil {
		return effect(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return effect(err)
	}
	defer f.Close()
	_, err = syscall.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	return effect(err)
}

// setuidCopy makes a file of our own set-user-id, which matters when its folder
// is the host's.
func setuidCopy() outcome {
	f, err := os.CreateTemp("", "probe-")
	if err != nil {
		return absent(errNothing.Error())
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return effect(unix.Fchmod(int(f.Fd()), 0o4700))
}
