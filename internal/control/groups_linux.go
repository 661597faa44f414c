package control

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups bounds a peer's supplementary groups; the kernel's own bound is
// 65536, and a user with more than these is judged by the first.
const maxGroups = 1024

// peerGroups asks the kernel for a peer's supplementary groups; none on an error,
// which denies what a group would have allowed.
func peerGroups(fd int) []uint32 {
	groups := make([]uint32, maxGroups)
	size := uint32(len(groups) * 4)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return groups[:size/4]
}
