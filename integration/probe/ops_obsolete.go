package main

import "golang.org/x/sys/unix"

// newCallOps are calls younger than most lists: a list that allows what it does
// not know lets them through.
func newCallOps() []op {
	return []op{
		reachOp("new-calls.cachestat", false, unix.SYS_CACHESTAT, minus(1), badPointer, badPointer, 0),
		reachOp("new-calls.fchmodat2", false, unix.SYS_FCHMODAT2, minus(1), badPointer, 0, 0),
		reachOp("new-calls.map-shadow-stack", false, unix.SYS_MAP_SHADOW_STACK, 1, 0, 0),
		reachOp("new-calls.mseal", false, unix.SYS_MSEAL, 1, 0, 0),
		reachOp("new-calls.futex-wait", false, unix.SYS_FUTEX_WAIT, badPointer, 0, 0, minus(1), 0, 0),
		reachOp("new-calls.futex-requeue", false, unix.SYS_FUTEX_REQUEUE, badPointer, minus(1), 0, 0),
		reachOp("new-calls.lsm-get-self-attr", false, unix.SYS_LSM_GET_SELF_ATTR, 0, badPointer, badPointer, minus(1)),
		reachOp("new-calls.lsm-set-self-attr", false, unix.SYS_LSM_SET_SELF_ATTR, 0, badPointer, 0, minus(1)),
		reachOp("new-calls.lsm-list-modules", false, unix.SYS_LSM_LIST_MODULES, badPointer, badPointer, minus(1)),
		reachOp("new-calls.setxattrat", false, unix.SYS_SETXATTRAT, minus(1), badPointer, 0, badPointer, badPointer, 0),
		reachOp("new-calls.getxattrat", false, unix.SYS_GETXATTRAT, minus(1), badPointer, 0, badPointer, badPointer, 0),
		reachOp("new-calls.listxattrat", false, unix.SYS_LISTXATTRAT, minus(1), badPointer, 0, badPointer, 0),
		reachOp("new-calls.removexattrat", false, unix.SYS_REMOVEXATTRAT, minus(1), badPointer, 0, badPointer),
		reachOp("new-calls.file-getattr", false, unix.SYS_FILE_GETATTR, minus(1), badPointer, badPointer, 0, 0),
		reachOp("new-calls.file-setattr", false, unix.SYS_FILE_SETATTR, minus(1), badPointer, badPointer, 0, 0),
		reachOp("new-calls.listns", false, unix.SYS_LISTNS, badPointer, badPointer, 0, 0),
		reachOp("new-calls.landlock-create", false, unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1), // asks for the version; of use to defenders
		reachOp("new-calls.unknown-600", false, 600),
		reachOp("new-calls.unknown-100000", false, 100_000),
	}
}
