package main

import (
	"slices"
	"strings"
)

// operations is the whole table, in the order in which it runs. The limits come
// last: they use up what the others need.
func operations() []op {
	return slices.Concat(
		fdOps(), capabilityOps(), environmentOps(),
		namespaceOps(), mountOps(), deviceOps(), procOps(), sysOps(), cgroupOps(),
		identityOps(), ptraceOps(), kernelOps(), bpfOps(), memoryOps(), keyOps(), timeOps(),
		schedulingOps(), ttyOps(), abiOps(), obsoleteOps(), newCallOps(),
		socketOps(), networkOps(), fileOps(), execOps(), ipcOps(), infoOps(), limitOps(),
	)
}

// sorted puts operations that came out of a map in a stable order.
func sorted(ops []op) []op {
	return slices.SortedFunc(slices.Values(ops), func(a, b op) int { return strings.Compare(a.name, b.name) })
}
