// Package landlock says what a server may do with files and TCP, for the kernel's
// Landlock, in which mcprun-init encloses the server before it starts it. It is a second
// fence: it holds what the mounts, the devices and the network namespace hold, by other
// code of the kernel, and a little more.
//
// It allows and never takes away: as all of the image may be executed, what is mounted
// noexec below it is held by its mount alone. It does not see what was opened before, nor stat,
// chmod, flock and the like, nor the connections to sockets that have a path.
//
// Rules are made here and carried out by mcprun-init, which imports nothing of ours.
package landlock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// MinABI is that of Linux 5.19: the one before it refuses to move a file to another folder.
const MinABI = 2

// What later versions can restrict.
const (
	abiTruncate = 3
	abiTCP      = 4
	abiIoctl    = 5
	// ABIScopes is that of Linux 6.12.
	ABIScopes = 6
)

const (
	readFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR

	// ReadExecute is for what belongs to the image.
	ReadExecute = readFiles | unix.LANDLOCK_ACCESS_FS_EXECUTE
	// Devices is for those of /dev: nothing is made or removed there.
	Devices = readFiles | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// Write is for a folder of the host's. No sockets and pipes: a program of the host
	// that takes one for a file would hang, or talk with the server.
	Write = readFiles | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
	// Own is for a file system of the container's own, in memory.
	Own = Write | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO

	// all are the kinds of access to files that the rules know: what none of them allows
	// is refused.
	all = ReadExecute | Devices | Own | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// Path allows something beneath a path of the container.
type Path struct {
	Path  string
	Allow uint64
}

// Rules are what the kernel is told.
type Rules struct {
	Files, Net, Scoped uint64 // what is refused where nothing allows it
	Paths              []Path
}

// New makes the rules for a kernel of some version. Without tcp no TCP connection can be
// made. A version below MinABI has no rules.
func New(abi int, paths []Path, tcp bool) *Rules {
	if abi < MinABI {
		return nil
	}
	r := &Rules{Files: all}
	if abi < abiTruncate {
		r.Files &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < abiIoctl {
		r.Files &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= abiTCP && !tcp {
		r.Net = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= ABIScopes {
		r.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	for _, p := range paths {
		r.Paths = append(r.Paths, Path{Path: p.Path, Allow: p.Allow & r.Files})
	}
	return r
}

// Append adds the rules to a message to mcprun-init: their length, what is restricted, and
// each path with what is allowed. No rules are a length of zero.
func (r *Rules) Append(message []byte) []byte {
	if r == nil {
		return binary.LittleEndian.AppendUint32(message, 0)
	}
	var body []byte
	for _, set := range []uint64{r.Files, r.Net, r.Scoped} {
		body = binary.LittleEndian.AppendUint64(body, set)
	}
	for _, p := range r.Paths {
		body = binary.LittleEndian.AppendUint64(body, p.Allow)
		body = append(append(body, p.Path...), 0)
	}
	return append(binary.LittleEndian.AppendUint32(message, uint32(len(body))), body...)
}

var names = []struct {
	bits uint64
	name string
}{
	{unix.LANDLOCK_ACCESS_FS_EXECUTE, "execute"}, {readFiles, "read"}, {unix.LANDLOCK_ACCESS_FS_WRITE_FILE, "write"},
	{unix.LANDLOCK_ACCESS_FS_MAKE_REG, "make"}, {unix.LANDLOCK_ACCESS_FS_REMOVE_FILE, "remove"}, {unix.LANDLOCK_ACCESS_FS_MAKE_SOCK, "sockets"}, {unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, "ioctl"},
}

// String is all of it on one line.
func (r *Rules) String() string {
	if r == nil {
		return "none"
	}
	return strings.Join(r.Lines(), "; ")
}

// Lines are what is allowed where, for people; none without rules.
func (r *Rules) Lines() []string {
	if r == nil {
		return nil
	}
	var out []string
	for _, p := range r.Paths {
		var may []string
		for _, n := range names {
			if p.Allow&n.bits == n.bits {
				may = append(may, n.name)
			}
		}
		out = append(out, p.Path+": "+strings.Join(may, " "))
	}
	if r.Net != 0 {
		out = append(out, "no TCP")
	}
	return out
}

// Version names a version, for people.
func Version(abi int) string { return fmt.Sprintf("version %d", abi) }

// ABI asks the kernel which version of Landlock it has. An error says why there is none
// that can be used.
func ABI() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.ENOSYS:
		return 0, errors.New("the kernel is built without it (CONFIG_SECURITY_LANDLOCK)")
	case errno == unix.EOPNOTSUPP:
		return 0, errors.New("it was not turned on at boot (lsm=landlock,...)")
	case errno != 0:
		return 0, fmt.Errorf("asking the kernel for it: %w", errno)
	case v < MinABI:
		return 0, fmt.Errorf("the kernel has version %d, which refuses to move files; version %d is needed", v, MinABI)
	}
	return int(v), nil
}
