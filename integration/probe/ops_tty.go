package main

import (
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

func ttyOps() []op {
	return []op{
		{name: "tty.tiocsti-given", severe: true, here: true, run: typeIntoGiven},
		{name: "tty.tiocsti-own", run: typeIntoOwn},
		{name: "tty.tioclinux", severe: true, run: pasteOnConsole},
		{name: "tty.console", severe: true, run: func() outcome { return sameTerminal("/dev/console") }},
		{name: "tty.controlling", run: func() outcome { return openDevice("/dev/tty") }},
		{name: "tty.ptmx", run: func() outcome { return openDevice("/dev/ptmx") }},
		reachOp("tty.vhangup", false, unix.SYS_VHANGUP), // the process has no terminal to hang up
	}
}

// ownTerminal makes a pair and makes its inner end the controlling terminal.
func ownTerminal() (int, error) {
	outer, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.IoctlSetPointerInt(outer, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	n, err := unix.IoctlGetInt(outer, unix.TIOCGPTN)
	if err != nil {
		return -1, err
	}
	inner, err := unix.Open("/dev/pts/"+itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return inner, unix.IoctlSetInt(inner, unix.TIOCSCTTY, 0)
}

// typeIntoGiven tries the terminal that the container was started on, where what
// is typed may be run by the shell outside.
func typeIntoGiven() outcome {
	last := absent("no terminal")
	for fd := range 3 {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			last = firstOf(typeInto(fd), last)
		}
	}
	return last
}

func typeIntoOwn() outcome {
	fd, err := ownTerminal()
	if err != nil {
		return effect(err).with("making a terminal")
	}
	return typeInto(fd)
}

// typeInto passes no character: EFAULT comes after the checks, EIO means that the
// machine has switched it off.
func typeInto(fd int) outcome {
	err := call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, 0)
	switch err {
	case unix.EIO:
		return outcome{verdict: result.Denied, errno: "EIO", detail: "switched off on this machine"}
	case unix.EFAULT:
		return reached(err)
	}
	return effect(err)
}

// pasteOnConsole asks a virtual console, where there is one, for the request that
// pastes text into it, without an argument.
func pasteOnConsole() outcome {
	fd, err := unix.Open("/dev/tty0", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	err = call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCLINUX, 0)
	if err == unix.EFAULT {
		return reached(err)
	}
	return effect(err)
}

// sameTerminal says whether /dev/console is the machine's.
func sameTerminal(path string) outcome {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return effect(err)
	}
	if unix.Major(st.Rdev) != 5 {
		return denied("not the machine's console")
	}
	return openDevice(path)
}
