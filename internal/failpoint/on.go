//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	hits    atomic.Int64
	crashAt = func() int64 { n, _ := strconv.ParseInt(os.Getenv("MCPRUN_CRASH_AT"), 10, 64); return n }()
	crashIn = os.Getenv("MCPRUN_CRASH_IN")
	trace   = os.Getenv("MCPRUN_CRASH_TRACE") != ""
)

// Hit kills the process when it is the one that MCPRUN_CRASH_AT counts to, or the
// first with the name in MCPRUN_CRASH_IN: what goes on at the same time moves the count.
func Hit(name string) {
	n := hits.Add(1)
	if trace {
		fmt.Fprintf(os.Stderr, "failpoint %d %s\n", n, name)
	}
	if n == crashAt || name == crashIn {
		fmt.Fprintf(os.Stderr, "failpoint: crash at %d %s\n", n, name)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

var holds = os.Getenv("MCPRUN_HOLD")

// Hold waits for as long as it is to.
func Hold(name string) {
	for holds != "" {
		if _, err := os.Stat(filepath.Join(holds, name)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
