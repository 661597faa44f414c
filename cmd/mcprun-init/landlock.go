package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRules bounds the rules for Landlock: more than 32 paths of the longest kind.
const maxRules = 256 << 10

// fileRights are those that the kernel takes for a file that is no folder.
const fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
	unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// enclose restricts this thread, and so all that it starts, to what the daemon says. Only
// this thread: the others of this program run nothing of the server's, and threads of
// one process that are restricted apart cannot signal each other on some kernels.
//
// The thread is the process's first one (see main), so that a server can still ask by a signal
// whether its parent lives.
func enclose(daemon io.Reader) error {
	var size uint32
	if err := binary.Read(daemon, binary.LittleEndian, &size); err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	if size == 0 {
		return nil // the kernel has none
	}
	if size > maxRules {
		return fmt.Errorf("rules of %d bytes", size)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(daemon, raw); err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	rules, err := parseRules(raw)
	if err != nil {
		return err
	}
	return rules.restrict()
}

// rules are what the daemon sends: see runtime/landlock.
type rules struct {
	set   unix.LandlockRulesetAttr
	paths []pathRule
}

type pathRule struct {
	allow uint64
	path  string
}

var errRules = errors.New("the rules are cut off")

func parseRules(raw []byte) (*rules, error) {
	const number = 8
	if len(raw) < 3*number {
		return nil, errRules
	}
	next := func() uint64 {
		n := binary.LittleEndian.Uint64(raw)
		raw = raw[number:]
		return n
	}
	r := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: next(), Handled_access_net: next(), Scoped: next()}}
	for len(raw) > 0 {
		if len(raw) < number {
			return nil, errRules
		}
		p := pathRule{allow: next()}
		name, rest, ended := bytes.Cut(raw, []byte{0})
		if !ended || len(name) == 0 || name[0] != '/' {
			return nil, errRules
		}
		p.path, raw = string(name), rest
		r.paths = append(r.paths, p)
	}
	return r, nil
}

func (r *rules) restrict() error {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&r.set)), unsafe.Sizeof(r.set), 0)
	if errno != 0 {
		return fmt.Errorf("making the rules: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, p := range r.paths {
		if err := p.add(int(fd)); err != nil {
			return fmt.Errorf("allowing %s: %w", p.path, err)
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("going under the rules: %w", errno)
	}
	return nil
}

func (p pathRule) add(set int) error {
	fd, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	allow := p.allow
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		allow &= fileRights
	}
	// The kernel's struct is packed: twelve bytes, of which Go's has four more at the end.
	attr := unix.LandlockPathBeneathAttr{Allowed_access: allow, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
