package main

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

const (
	afAlg       = 38
	kernelCrypt = 5 // SOCK_SEQPACKET
)

// hammer makes a call that its profile refuses, from n threads without end.
func hammer(n int) (string, error) {
	for range n {
		go func() {
			runtime.LockOSThread()
			for {
				syscall.Syscall(syscall.SYS_SOCKET, afAlg, kernelCrypt, 0)
			}
		}()
	}
	return "hammering", nil
}

// smoke hides what it does behind n calls that mean nothing.
func smoke(n int) (string, error) {
	for i := range n {
		syscall.Syscall(syscall.SYS_PRCTL, uintptr(5000+i), 0, 0)
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, 16, 1, 0, 0, 0, 0)
	return "ptrace: " + errno.Error(), nil
}

// backdoor does what a back door would: each answer is the kernel's, as an error.
func backdoor(int) (string, error) {
	var out []string
	say := func(what string, errno syscall.Errno) { out = append(out, what+": "+errno.Error()) }
	_, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, afAlg, kernelCrypt, 0)
	say("alg", errno)
	_, _, errno = syscall.RawSyscall6(syscall.SYS_PTRACE, 16, 1, 0, 0, 0, 0)
	say("ptrace", errno)
	path := []byte("/proc/1/root\x00")
	_, _, errno = syscall.RawSyscall(syscall.SYS_CHROOT, uintptr(unsafe.Pointer(&path[0])), 0, 0)
	say("chroot", errno)
	_, _, errno = syscall.RawSyscall(syscall.SYS_SYNC, 0, 0, 0)
	say("sync", errno)
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if errno == 0 {
		syscall.Close(int(fd))
	}
	say("unix", errno)
	fd, _, errno = syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if errno == 0 {
		syscall.Close(int(fd))
	}
	say("inet", errno)
	return fmt.Sprint(strings.Join(out, "; ")), nil
}
