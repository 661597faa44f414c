//go:build !failpoints

// Package failpoint names the moments at which a crash must be survived.
//
// In an ordinary build Hit does nothing and is compiled away. Built with the
// tag failpoints, the Nth Hit of the process, N read from MCPRUN_CRASH_AT, kills
// the process as a power cut would: no deferred function runs.
package failpoint

// Hit marks one point; name is "package.step".
func Hit(string) {}
