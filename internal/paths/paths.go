// Package paths says where mcprun keeps things, for the daemon and for the
// commands that must find them without one. It touches no file.
package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// Defaults of a daemon that runs as a system service.
const (
	DefaultRun  = "/run/mcprun"
	DefaultData = "/var/lib/mcprun"
	// DefaultPolicy is the operator's policy.yaml.
	DefaultPolicy = "/etc/mcprun/policy.yaml"
)

// Dirs are the two folders of one daemon: Run is lost at a reboot, Data is kept.
type Dirs struct{ Run, Data string }

func (d Dirs) Socket() string       { return filepath.Join(d.Run, "mcprun.sock") }
func (d Dirs) PidFile() string      { return filepath.Join(d.Run, "daemon.lock") }
func (d Dirs) Instances() string    { return filepath.Join(d.Run, "i") }
func (d Dirs) Containerd() string   { return filepath.Join(d.Run, "containerd") }
func (d Dirs) Runc() string         { return filepath.Join(d.Run, "runc") }
func (d Dirs) ContainerdDB() string { return filepath.Join(d.Data, "containerd") }
func (d Dirs) Audit() string        { return filepath.Join(d.Data, "audit") }
func (d Dirs) Keys() string         { return filepath.Join(d.Data, "keys") }

// Known is where is kept what one server was asked before.
func (d Dirs) Known(server string) string { return filepath.Join(d.Data, "known", server+".json") }
func (d Dirs) Switches() string           { return filepath.Join(d.Data, "switches") }
func (d Dirs) Factors() string            { return filepath.Join(d.Keys(), "authenticators.json") }

// Limits is where is kept what was used of budgets.
func (d Dirs) Limits() string { return filepath.Join(d.Data, "limits.json") }

// OldFactor is where an earlier version kept one secret for everybody.
func (d Dirs) OldFactor() string { return filepath.Join(d.Keys(), "factor.json") }

// Kill is the folder in which the appearance of a file is a kill.
func (d Dirs) Kill() string { return filepath.Join(d.Data, "kill") }

// Drill is where the decoy of a drill is while it goes on; otherwise it is not there.
func (d Dirs) Drill() string { return filepath.Join(d.Data, "drill") }

// Preserved is where is kept what killed servers left, for a look at it.
func (d Dirs) Preserved() string  { return filepath.Join(d.Data, "preserved") }
func (d Dirs) DaemonLog() string  { return filepath.Join(d.Data, "daemon.log") }
func (d Dirs) Names() string      { return filepath.Join(d.Data, "names") }
func (d Dirs) ServerLogs() string { return filepath.Join(d.Data, "logs") }

// CgroupParent is the name of the cgroup, below the root of each hierarchy, that
// holds every container of the daemon with these folders and nothing else.
func (d Dirs) CgroupParent() string {
	if d.Run == DefaultRun {
		return "mcprun"
	}
	sum := sha256.Sum256([]byte(filepath.Clean(d.Run)))
	return "mcprun-" + hex.EncodeToString(sum[:4])
}
