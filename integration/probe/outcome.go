package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// op is one dangerous operation. run must do no harm when it succeeds.
type op struct {
	name   string // its group, a dot, the rest
	severe bool   // by itself: host access, escape, other tenants' data, or privilege
	here   bool   // must run in the first process: a child would see its own fds and capabilities
	limits bool   // runs only with -limits: it uses up what the limit should bound
	run    func() outcome
}

func (o op) group() string {
	g, _, _ := strings.Cut(o.name, ".")
	return g
}

// outcome is what one operation came to. The zero value has no verdict and is
// reported as an error.
type outcome struct {
	verdict result.Verdict
	errno   string
	detail  string
}

func allowed(detail string) outcome { return outcome{verdict: result.Allowed, detail: detail} }
func denied(detail string) outcome  { return outcome{verdict: result.Denied, detail: detail} }
func absent(detail string) outcome  { return outcome{verdict: result.Absent, detail: detail} }
func broken(detail string) outcome  { return outcome{verdict: result.Error, detail: detail} }

// with adds a detail to o.
func (o outcome) with(detail string) outcome {
	o.detail = detail
	return o
}

// allowedIf is for conditions that are read, not tried.
func allowedIf(yes bool, detail string) outcome {
	if yes {
		return allowed(detail)
	}
	return denied(detail)
}

// allowedList is allowed with the findings, or absent without any.
func allowedList(found []string, none string) outcome {
	if len(found) == 0 {
		return absent(none)
	}
	return allowed(strings.Join(found, " "))
}

func errnoOf(err error) (syscall.Errno, bool) {
	var e syscall.Errno
	ok := errors.As(err, &e)
	return e, ok
}

func isRefusal(e syscall.Errno) bool {
	switch e {
	case unix.EPERM, unix.EACCES, unix.EROFS:
		return true
	}
	return false
}

func isAbsence(e syscall.Errno) bool {
	switch e {
	case unix.ENOSYS, unix.ENOENT, unix.ENOTDIR, unix.ENODEV, unix.ENXIO, unix.ENOTSUP,
		unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.ENOPROTOOPT, unix.ENOTTY:
		return true
	}
	return false
}

// effect judges an operation that would have had its effect on success.
func effect(err error) outcome {
	if err == nil {
		return allowed("")
	}
	e, ok := errnoOf(err)
	if !ok {
		if errors.Is(err, fs.ErrNotExist) {
			return absent(err.Error())
		}
		return broken(err.Error())
	}
	o := outcome{verdict: result.Error, errno: unix.ErrnoName(e)}
	switch {
	case isRefusal(e):
		o.verdict = result.Denied
	case isAbsence(e):
		o.verdict = result.Absent
	}
	return o
}

// reached judges a call whose arguments are chosen so that it cannot succeed:
// any error but a refusal comes from the code that a filter should keep out
// of reach, so it counts as allowed.
func reached(err error) outcome {
	if err == nil {
		return allowed("")
	}
	e, ok := errnoOf(err)
	if !ok {
		return broken(err.Error())
	}
	o := outcome{verdict: result.Allowed, errno: unix.ErrnoName(e), detail: "reached the kernel code"}
	switch {
	case isRefusal(e):
		o.verdict, o.detail = result.Denied, ""
	case e == unix.ENOSYS:
		o.verdict, o.detail = result.Absent, ""
	}
	return o
}

// call makes a raw system call.
//
//go:uintptrescapes
func call(nr uintptr, args ...uintptr) error {
	_, err := callValue(nr, args...)
	return err
}

// callValue is call with the value that came back.
//
//go:uintptrescapes
func callValue(nr uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	v, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if e != 0 {
		return 0, e
	}
	return v, nil
}

// minus is a negative argument of a raw call.
func minus(n int) uintptr { return uintptr(-n) }

// badPointer is an address that no process can map: mmap_min_addr is above it.
const badPointer = 1

// reachOp is an operation that only asks whether a call gets to the kernel.
func reachOp(name string, severe bool, nr uintptr, args ...uintptr) op {
	return op{name: name, severe: severe, run: func() outcome { return reached(call(nr, args...)) }}
}
