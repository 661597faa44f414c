// Package tryout runs a command of the host's under a seccomp filter, and tells which of its
// system calls are refused.
//
// It is for trying a profile, not for holding a program: the command has the user, the files
// and the network of whoever runs it. It takes the filter as bytes and talks to the kernel by
// itself, so that the client does not link libseccomp.
package tryout

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Filter is a filter that tells of what it refuses: bpf.Program.
type Filter struct {
	Program []byte // an array of struct sock_filter
	Newest  int    // calls with a greater number are answered with ENOSYS, as on an older kernel
}

// Call is a refused system call.
type Call struct {
	Pid    int
	Number int
	Args   [6]uint64
}

const (
	instruction     = 8    // size of struct sock_filter
	maxInstructions = 4096 // BPF_MAXINSNS
)

// notification and answer are struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type notification struct {
	ID     uint64
	Pid    uint32
	Flags  uint32
	Number int32
	Arch   uint32
	IP     uint64
	Args   [6]uint64
}

type answer struct {
	ID    uint64
	Value int64
	Error int32
	Flags uint32
}

// Run starts cmd under the filter and waits for it; refused is told of each refused call,
// from another goroutine that has ended when Run returns. execve is the number of that call:
// the one by which the command itself is started is let through, as it is in a container.
func Run(cmd *exec.Cmd, f Filter, execve int, refused func(Call)) error {
	if n := len(f.Program); n == 0 || n%instruction != 0 || n > maxInstructions*instruction {
		return fmt.Errorf("a filter of %d bytes", n)
	}
	type loaded struct {
		fd  int
		err error
	}
	load, started, ended := make(chan loaded), make(chan struct{}), make(chan error, 1)
	go func() {
		// The thread keeps the filter for good: it is locked, and ends with this goroutine.
		runtime.LockOSThread()
		fd, err := install(f.Program)
		load <- loaded{fd, err}
		if err != nil {
			return
		}
		<-started
		ended <- cmd.Start() // makes the child, which inherits the filter
	}()
	l := <-load
	if l.err != nil {
		return fmt.Errorf("loading the filter: %w", l.err)
	}
	listener := os.NewFile(uintptr(l.fd), "listener")
	defer listener.Close()
	stopped := make(chan error, 1)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	go func() { stopped <- listen(l.fd, int(r.Fd()), f, execve, refused) }()
	close(started)
	err = <-ended
	if err == nil {
		err = cmd.Wait()
	}
	w.Close() // whatever it left behind is refused by the kernel from now on
	if e := <-stopped; e != nil {
		err = errors.Join(err, fmt.Errorf("answering refused calls: %w", e))
	}
	return err
}

func install(program []byte) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	prog := unix.SockFprog{Len: uint16(len(program) / instruction), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// listen answers refused calls until stop has an end.
func listen(fd, stop int, f Filter, execve int, refused func(Call)) error {
	first := true
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop)}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
		case fds[0].Revents != 0 || fds[1].Revents != 0: // nobody is left, or it is over
			return nil
		}
		var n notification
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err == unix.ENOENT || err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		a := answer{ID: n.ID, Error: -int32(unix.EPERM)}
		switch {
		case int(n.Number) == execve && first:
			a.Error, a.Flags, first = 0, unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE, false
		case int(n.Number) > f.Newest:
			a.Error = -int32(unix.ENOSYS)
		}
		if a.Error != 0 {
			refused(Call{Pid: int(n.Pid), Number: int(n.Number), Args: n.Args})
		}
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && err != unix.ENOENT {
			return err
		}
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
