package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// instruction is the size of struct sock_filter; the kernel takes at most maxInstructions
// (BPF_MAXINSNS).
const (
	instruction     = 8
	maxInstructions = 4096
)

// fence encloses the server by Landlock, then puts every thread of this process, and so all that it starts, under the filter
// that the daemon sends, hands the daemon the filter's listener, and returns when the
// daemon has it. Until then nothing of the image has run; without a word from the daemon
// nothing will.
func fence(conn int) error {
	daemon := os.NewFile(uintptr(conn), "daemon")
	defer daemon.Close()
	if err := enclose(daemon); err != nil {
		return fmt.Errorf("Landlock: %w", err)
	}
	var size uint32
	if err := binary.Read(daemon, binary.LittleEndian, &size); err != nil {
		return fmt.Errorf("reading the filter: %w", err)
	}
	if size == 0 || size%instruction != 0 || size > maxInstructions*instruction {
		return fmt.Errorf("a filter of %d bytes", size)
	}
	var told [1]byte // whether the daemon is to be told of refused calls
	if _, err := io.ReadFull(daemon, told[:]); err != nil {
		return fmt.Errorf("reading the filter: %w", err)
	}
	filter := make([]byte, size)
	if _, err := io.ReadFull(daemon, filter); err != nil {
		return fmt.Errorf("reading the filter: %w", err)
	}
	listener, err := install(filter, told[0] != 0)
	if err != nil {
		return fmt.Errorf("loading the filter: %w", err)
	}
	// This process must not keep it: with the daemon gone, what is refused is to be
	// refused by the kernel, not to wait.
	if listener >= 0 {
		defer unix.Close(listener)
	}
	if err := binary.Write(daemon, binary.LittleEndian, uint32(listener)); err != nil {
		return fmt.Errorf("telling the daemon: %w", err)
	}
	var taken [1]byte
	if _, err := io.ReadFull(daemon, taken[:]); err != nil {
		return fmt.Errorf("waiting for the daemon: %w", err)
	}
	return nil
}

// install loads the filter for all threads; without a listener, -1, where nobody is told.
// A call that waits for an answer can only be
// interrupted by a kill once the daemon has taken it (WAIT_KILLABLE_RECV): the signals with
// which a Go program stops its own threads would make it start over without end.
func install(filter []byte, told bool) (listener int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	prog := unix.SockFprog{Len: uint16(len(filter) / instruction), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if !told {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return -1, errno
	}
	if !told {
		if fd != 0 {
			return -1, fmt.Errorf("thread %d has another filter", fd)
		}
		return -1, nil
	}
	return int(fd), nil
}
