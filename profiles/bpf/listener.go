//go:build cgo

package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// Call is one system call that a filter holds back until it is answered.
type Call struct {
	ID     uint64 // for Refuse and Waits
	Pid    int    // the calling thread, as the reader's pid namespace numbers it
	Number int
	Args   [6]uint64
}

// Listener is told of the calls that a Program refuses. One goroutine may use it, but for
// Close.
//
// It cannot let a call through: there is no method for it, and what the kernel is sent is
// always an error number. A Learner can.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
}

// listenerLink is what the kernel calls the file that a filter's listener is.
const listenerLink = "anon_inode:seccomp notify"

// NewListener takes over the descriptor fd, which it closes in any case.
func NewListener(fd int) (*Listener, error) {
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err == nil && link != listenerLink {
		err = fmt.Errorf("descriptor is %q, not the listener of a filter", link)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // for the poller alone; a read of a notification never waits
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("taking the listener of a seccomp filter: %w", err)
	}
	l := &Listener{file: os.NewFile(uintptr(fd), listenerLink)}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("taking the listener of a seccomp filter: %w", err)
	}
	return l, nil
}

// Wait returns nil when a call waits, io.EOF when no process is left under the filter,
// and os.ErrClosed after Close. It holds nothing back: a call that waits is not yet taken,
// and a signal, the freezer or a kill reach its thread.
func (l *Listener) Wait() error {
	var events int16
	var pollErr error
	err := l.raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, pollErr = unix.Poll(fds, 0); pollErr != unix.EINTR {
				break
			}
		}
		events = fds[0].Revents
		return pollErr != nil || events != 0
	})
	switch {
	case err != nil:
		return fmt.Errorf("waiting for refused calls: %w", err)
	case pollErr != nil:
		return fmt.Errorf("waiting for refused calls: %w", pollErr)
	case events&unix.POLLIN != 0:
		return nil
	}
	return io.EOF
}

// Next takes one call that waits, after Wait. It reports false if it was gone already.
func (l *Listener) Next() (call Call, ok bool, err error) {
	var req *libseccomp.ScmpNotifReq
	var recvErr error
	if err := l.raw.Control(func(fd uintptr) { req, recvErr = libseccomp.NotifReceive(libseccomp.ScmpFd(fd)) }); err != nil {
		return Call{}, false, fmt.Errorf("taking a refused call: %w", err)
	}
	switch {
	case errors.Is(recvErr, unix.ENOENT) || errors.Is(recvErr, unix.EINTR):
		return Call{}, false, nil
	case recvErr != nil:
		return Call{}, false, fmt.Errorf("taking a refused call: %w", recvErr)
	}
	call = Call{ID: req.ID, Pid: int(req.Pid), Number: int(req.Data.Syscall)}
	copy(call.Args[:], req.Data.Args)
	return call, true, nil
}

// Waits reports whether the call still waits: only then are its thread, and what was read
// of it, still those that called.
func (l *Listener) Waits(c Call) bool {
	valid := false
	l.raw.Control(func(fd uintptr) { valid = libseccomp.NotifIDValid(libseccomp.ScmpFd(fd), c.ID) == nil })
	return valid
}

// Refuse answers a call with an error. One that is gone meanwhile is no error.
func (l *Listener) Refuse(c Call, errno unix.Errno) error {
	if errno == 0 { // would be success
		errno = unix.EPERM
	}
	var respErr error
	err := l.raw.Control(func(fd uintptr) {
		respErr = libseccomp.NotifRespond(libseccomp.ScmpFd(fd), &libseccomp.ScmpNotifResp{ID: c.ID, Error: int32(errno)}) // which negates it
	})
	if err == nil && !errors.Is(respErr, unix.ENOENT) {
		err = respErr
	}
	if err != nil {
		return fmt.Errorf("answering a refused call: %w", err)
	}
	return nil
}

// Close stops the listening. Calls that no rule allows are refused with ENOSYS from then on.
// It may be called again.
func (l *Listener) Close() error {
	if err := l.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Learner is a Listener that can also let calls through, for a server that is watched to
// learn what it needs. The kernel warns that what lies in memory can change after a look at
// it; whoever lets a call through must have judged its number and its arguments alone, which
// are the kernel's own copy.
type Learner struct{ *Listener }

// LetThrough has the kernel go on with a call. One that is gone meanwhile is no error.
func (l Learner) LetThrough(c Call) error {
	var respErr error
	err := l.raw.Control(func(fd uintptr) {
		respErr = libseccomp.NotifRespond(libseccomp.ScmpFd(fd), &libseccomp.ScmpNotifResp{ID: c.ID, Flags: libseccomp.NotifRespFlagContinue})
	})
	if err == nil && !errors.Is(respErr, unix.ENOENT) {
		err = respErr
	}
	if err != nil {
		return fmt.Errorf("letting a call through: %w", err)
	}
	return nil
}
