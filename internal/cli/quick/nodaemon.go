package quick

import (
	"fmt"
	"time"

	"github.com/mcprun/mcprun/runtime/cgroup"
)

// killCgroup ends every process in the daemon's parent cgroup, by itself.
func killCgroup(parent string, wait time.Duration) (int, error) {
	h, err := cgroup.Find()
	if err != nil {
		return 0, err
	}
	n := len(h.Processes("/" + parent))
	if err := h.KillAll("/"+parent, wait); err != nil {
		return n, fmt.Errorf("ending the processes: %w", err)
	}
	return n, nil
}
