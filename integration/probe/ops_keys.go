package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Keyrings of a user are shared by all of that user's processes on the machine
// when they are in one user namespace.
func keyOps() []op {
	keyctl := func(name string, severe bool, args ...uintptr) op {
		return op{name: "keys." + name, severe: severe, run: func() outcome { return reached(call(unix.SYS_KEYCTL, args...)) }}
	}
	return []op{
		{name: "keys.add", run: func() outcome {
			_, err := unix.AddKey("user", "probe", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING) // goes with the process
			return effect(err)
		}},
		{name: "keys.request", run: func() outcome {
			// no call-out information: the kernel starts no helper
			return reached(call(unix.SYS_REQUEST_KEY, uintptr(cstr("user")), uintptr(cstr("probe-none")), 0, 0))
		}},
		{name: "keys.user-keyring", severe: true, run: func() outcome {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, false)
			return effect(err)
		}},
		{name: "keys.session-keyring", run: func() outcome {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			return effect(err)
		}},
		{name: "keys.read-session", run: func() outcome {
			var buf [64]byte
			return reached(call(unix.SYS_KEYCTL, unix.KEYCTL_READ, minus(-unix.KEY_SPEC_SESSION_KEYRING), uintptr(unsafe.Pointer(&buf)), uintptr(len(buf))))
		}},
		keyctl("join-session", false, unix.KEYCTL_JOIN_SESSION_KEYRING, badPointer),
		keyctl("describe", false, unix.KEYCTL_DESCRIBE, 0, 0, 0),
		keyctl("search", false, unix.KEYCTL_SEARCH, 0, badPointer, badPointer, 0),
		keyctl("persistent", false, unix.KEYCTL_GET_PERSISTENT, minus(1), 0),
		keyctl("chown", false, unix.KEYCTL_CHOWN, 0, minus(1), minus(1)),
		keyctl("dh-compute", false, unix.KEYCTL_DH_COMPUTE, 0, 0, 0, 0),
		reachOp("keys.add-call", false, unix.SYS_ADD_KEY, badPointer, badPointer, 0, 0, 0),
	}
}
