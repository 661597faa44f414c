package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFd is as far as inherited descriptors are looked for.
const maxFd = 4096

func fdOps() []op {
	return []op{
		{name: "fds.inherited", here: true, run: func() outcome { return allowedList(describeFds(inherited()), "only 0, 1 and 2") }},
		{name: "fds.folders", severe: true, here: true, run: folderFds},
		{name: "fds.sockets", severe: true, here: true, run: socketFds},
		{name: "fds.terminal", here: true, run: terminalFds},
		{name: "fds.work-folder", severe: true, here: true, run: workFolder},
	}
}

// inherited are the open descriptors from 3 on. It opens none to find them, so
// that it does not find its own; the runtime's own are closed on exec.
func inherited() []int {
	var fds []int
	for fd := 3; fd < maxFd; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

func describeFds(fds []int) []string {
	var out []string
	for _, fd := range fds {
		link, err := os.Readlink("/proc/self/fd/" + itoa(fd))
		if err != nil {
			link = err.Error()
		}
		out = append(out, itoa(fd)+":"+link)
	}
	return out
}

func fdsOfKind(kind uint32, none string) outcome {
	var found []int
	for _, fd := range inherited() {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == kind {
			found = append(found, fd)
		}
	}
	return allowedList(describeFds(found), none)
}

// folderFds: an open folder of the host is a way out of every root.
func folderFds() outcome { return fdsOfKind(unix.S_IFDIR, "no open folder") }

// socketFds: 0, 1 and 2 may be sockets; more are somebody's left open.
func socketFds() outcome { return fdsOfKind(unix.S_IFSOCK, "no open socket") }

func terminalFds() outcome {
	var found []int
	for fd := range 3 {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			found = append(found, fd)
		}
	}
	return allowedList(describeFds(found), "no terminal")
}

// workFolder finds a current folder outside the root, as in CVE-2024-21626.
func workFolder() outcome {
	dir, err := os.Readlink("/proc/self/cwd")
	if err != nil {
		return effect(err)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil {
		return effect(err)
	}
	got := strings.TrimRight(string(buf[:n]), "\x00")
	return allowedIf(strings.HasPrefix(got, "(unreachable)"), dir)
}
