package daemon

import (
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/killfolder"
	"github.com/mcprun/mcprun/limits"
)

// The time of a file is that of the kernel's last tick: one that was put there some
// milliseconds after a kill looked older than it, and voided nothing.
func TestIsNewer(t *testing.T) {
	at := time.Unix(1000, 0)
	other := limits.Kill{Who: "uid:0", Why: "odd", When: at, Way: wayCommand}
	own := limits.Kill{Who: "uid:0", Why: "a leak", When: at, Way: wayFile}
	for _, c := range []struct {
		why  string
		kill limits.Kill
		when time.Duration // of the file, after the kill
		want bool
	}{
		{"after it", other, time.Second, true},
		{"after it, by a tick that is behind", other, -9 * time.Millisecond, true},
		{"long before it", other, -time.Second, false},
		{"the file that ordered it", own, -time.Millisecond, false},
		{"the same file, written again", own, time.Second, true},
	} {
		o := killfolder.Order{Who: "uid:0", Why: "a leak", When: at.Add(c.when)}
		if got := isNewer(o, c.kill); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}
