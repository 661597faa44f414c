//go:build !failpoints

// Package failpoint names the moments at which a crash must be survived.
//
// In an ordinary build Hit does nothing and is compiled away. Built with the
// tag failpoints, the Nth Hit of the process, N read from MCPRUN_CRASH_AT, kills
// the process as a power cut would: no deferred function runs. A Hold waits while a
// file of its name is in the folder MCPRUN_HOLD: what hangs, and goes on some time.
package failpoint

// Hit marks one point; name is "package.step".
func Hit(string) {}

// Hold marks where something can hang; name is "package.what".
func Hold(string) {}
