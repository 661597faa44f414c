package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// abstractOutside is the name at which the test listens in the container's network
// namespace, outside of the container.
const abstractOutside = "@mcprun-probe-outside"

// runHanded receives a descriptor of a folder of the host's over stdin, as one that a
// runtime forgot to close would be (CVE-2024-21626), and tries what is to be had with it;
// then what a server may do in a folder that it was granted, /workspace. All in this
// process: the others would not have the descriptor.
func runHanded(stdout io.Writer) error {
	dir, err := received(0)
	if err != nil {
		return fmt.Errorf("receiving a folder: %w", err)
	}
	var rs []result.Result
	for _, o := range handedOps(dir) {
		rs = append(rs, toResult(o, o.run()))
	}
	return result.Write(stdout, rs)
}

func received(fd int) (int, error) {
	space := make([]byte, unix.CmsgSpace(4))
	var one [1]byte
	_, n, _, _, err := unix.Recvmsg(fd, one[:], space, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(space[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(errors.New("not one descriptor came"), err)
	}
	return fds[0], nil
}

func handedOps(dir int) []op {
	const granted, own = "/workspace", "/tmp"
	at := fmt.Sprintf("/proc/self/fd/%d", dir)
	return []op{
		{name: "handed.read", severe: true, run: func() outcome { return openedAt(dir, "file", unix.O_RDONLY) }},
		{name: "handed.write", severe: true, run: func() outcome { return openedAt(dir, "file", unix.O_WRONLY) }},
		{name: "handed.create", severe: true, run: func() outcome { return openedAt(dir, "made", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL) }},
		{name: "handed.list", severe: true, run: func() outcome { return openedAt(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY) }},
		{name: "handed.parent", severe: true, run: func() outcome { return openedAt(dir, "..", unix.O_RDONLY|unix.O_DIRECTORY) }},
		{name: "handed.execute", severe: true, run: func() outcome { return effect(exec.Command(at+"/program", "-noop").Run()) }},
		{name: "handed.abstract", severe: true, run: func() outcome { return connectUnix(abstractOutside) }},
		{name: "proc.self.oom-score-adj", run: func() outcome { return writable("/proc/self/oom_score_adj") }},
		{name: "proc.self.projid-map", run: func() outcome { return writable("/proc/self/projid_map") }},
		{name: "granted.fifo", run: func() outcome { return effect(unix.Mkfifo(filepath.Join(granted, "fifo"), 0o600)) }},
		{name: "granted.socket", run: func() outcome { return listenAt(filepath.Join(granted, "socket")) }},
		{name: "network.own-loopback", run: ownLoopback},
		// What must go on as before.
		{name: "granted.file", run: func() outcome { return moved(granted) }},
		{name: "granted.symlink", run: func() outcome { return effect(os.Symlink("elsewhere", filepath.Join(granted, "link"))) }},
		{name: "own.file", run: func() outcome { return moved(own) }},
		{name: "own.fifo", run: func() outcome { return effect(unix.Mkfifo(filepath.Join(own, "fifo"), 0o600)) }},
		{name: "own.socket", run: func() outcome { return listenAt(filepath.Join(own, "socket")) }},
		{name: "own.shm", run: func() outcome { return moved("/dev/shm") }},
		{name: "own.abstract", run: ownAbstract},
		{name: "own.null", run: func() outcome { return effect(os.WriteFile("/dev/null", []byte("x"), 0o600)) }},
		{name: "own.program", run: func() outcome { return effect(startSelf(nil)) }},
		{name: "own.parent", run: func() outcome { return effect(unix.Kill(os.Getppid(), 0)) }},
	}
}

func openedAt(dir int, name string, flags int) outcome {
	fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return effect(err)
}

// moved writes a file, cuts it, and moves it into another folder and out again.
func moved(dir string) outcome {
	file, folder := filepath.Join(dir, "moved"), filepath.Join(dir, "folder")
	for _, step := range []func() error{
		func() error { return os.WriteFile(file, []byte("text"), 0o600) },
		func() error { return os.Truncate(file, 2) },
		func() error { return os.Mkdir(folder, 0o700) },
		func() error { return os.Rename(file, filepath.Join(folder, "moved")) },
		func() error { return os.Rename(filepath.Join(folder, "moved"), file) },
		func() error { return os.Remove(folder) },
		func() error { return os.Remove(file) },
	} {
		if err := step(); err != nil {
			return effect(err).with(err.Error())
		}
	}
	return allowed("")
}

func listenAt(path string) outcome {
	l, err := net.Listen("unix", path)
	if err == nil {
		l.Close()
	}
	return effect(err)
}

func ownAbstract() outcome {
	const name = "@mcprun-probe-own"
	l, err := net.Listen("unix", name)
	if err != nil {
		return effect(err)
	}
	defer l.Close()
	return connectUnix(name)
}

// ownLoopback connects to a listener of this process.
func ownLoopback() outcome {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return effect(err).with("listening")
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		c.Close()
	}
	return effect(err)
}
