// Command mcprun-init is the first process in every container.
//
//	mcprun-init SOCKET COMMAND [ARG…]
//
// It connects to SOCKET three times: over the first it gets the rules for Landlock and the
// seccomp filter that it puts itself under, the second becomes the server's stdin and stdout, the third
// its stderr. Then it starts COMMAND, reaps what the command leaves behind, and ends
// with the command's exit code. As it is pid 1, its end is the end of every process in
// the container.
//
// It ends at once when the daemon's side of the first connection is gone, so
// that no server outlives the daemon that guards it, whatever the server does
// with its stdin.
//
// All else that confines the server stands before its first instruction: the
// namespaces, the mounts, the limits, no_new_privs.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of a shell, which people know, for a command that did not start,
// and one of our own for a daemon that is gone.
const (
	exitCannotRun = 126
	exitNotFound  = 127
	exitUsage     = 2
	exitSignal    = 128 // plus the number
	exitDaemon    = 125
)

// The main goroutine stays on the process's first thread, which is the one that Landlock
// restricts and that starts the server: see enclose.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) < 3 {
		os.Stderr.WriteString("mcprun-init: usage: mcprun-init SOCKET COMMAND [ARG...]\n")
		os.Exit(exitUsage)
	}
	os.Exit(run(os.Args[1], os.Args[2:]))
}

func run(socket string, command []string) int {
	// Nothing of this process is for the server to read, though it has the same user id.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fail("hiding the memory of init", err, exitCannotRun)
	}
	// Whatever was left open before us must not reach the server.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fail("closing inherited files", err, exitCannotRun)
	}
	daemon, err := connect(socket)
	if err != nil {
		return fail("connecting to the daemon", err, exitCannotRun)
	}
	stdio, err := connect(socket)
	if err != nil {
		return fail("connecting stdin and stdout", err, exitCannotRun)
	}
	stderr, err := connect(socket)
	if err != nil {
		return fail("connecting stderr", err, exitCannotRun)
	}
	if err := unix.Dup3(stderr, 2, 0); err != nil {
		return fail("placing stderr", err, exitCannotRun)
	}
	if err := fence(daemon); err != nil {
		return fail("going behind the fences", err, exitCannotRun)
	}
	path, err := lookPath(command[0])
	if err != nil {
		return fail("starting "+command[0], err, exitNotFound)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	child, err := syscall.ForkExec(path, command, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{uintptr(stdio), uintptr(stdio), uintptr(stderr)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fail("starting "+command[0], err, exitCannotRun)
	}
	go func() {
		for s := range signals {
			syscall.Kill(child, s.(syscall.Signal))
		}
	}()
	go func() {
		waitHangup(stdio)
		os.Exit(exitDaemon)
	}()
	return reap(child)
}

func connect(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

// waitHangup returns when both directions of the socket are closed, which the
// death of the daemon does. A daemon that only closes its sending side, to let
// the server finish, does not end it.
func waitHangup(fd int) {
	for {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			return
		}
	}
}

// reap collects every process that ends in the container until the command does.
func reap(child int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fail("waiting for the server", err, exitCannotRun)
		case pid == child && status.Exited():
			return status.ExitStatus()
		case pid == child && status.Signaled():
			return exitSignal + int(status.Signal())
		}
	}
}

// lookPath finds a command as execvp does, along the container's PATH.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := dir + "/" + name
		var st syscall.Stat_t
		if syscall.Stat(path, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG && st.Mode&0o111 != 0 {
			return path, nil
		}
	}
	return "", syscall.ENOENT
}

func fail(doing string, err error, code int) int {
	os.Stderr.WriteString("mcprun-init: " + doing + ": " + err.Error() + "\n")
	return code
}
