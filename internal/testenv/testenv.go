// Package testenv decides whether a test may be skipped. Where the environment
// promises a feature (MCPRUN_TEST_PROMISES, a comma-separated list that the
// Makefile sets) a missing feature is a failure, so that a green run cannot hide
// that nothing was tested.
package testenv

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/runtime/landlock"
)

// Need ends the test when a feature is missing: a failure where it is promised,
// else a skip that says what to do. Features: root, containerd, images, qemu, netfilter, chromium, gvisor, landlock, vault.
func Need(t testing.TB, features ...string) {
	t.Helper()
	promised := strings.Split(os.Getenv("MCPRUN_TEST_PROMISES"), ",")
	for _, f := range features {
		fix := missing(f)
		switch {
		case fix == "":
		case slices.Contains(promised, f) || slices.Contains(promised, "all"):
			t.Fatalf("%s is promised here and missing: %s", f, fix)
		default:
			t.Skipf("needs %s: %s", f, fix)
		}
	}
}

// missing returns how to get feature f, or "" where it is there.
func missing(f string) string {
	switch f {
	case "root":
		if os.Geteuid() != 0 {
			return "run the tests as root"
		}
	case "containerd":
		return notAll("make build", "containerd", "containerd-shim-runc-v2", "runc", "mcprun-init", "mcprun-decoy", "mcprun", "mcprun-cli", "mcprund")
	case "images":
		if os.Getenv("MCPRUN_IMAGES") == "" {
			return "run the tests with make test, which builds the images"
		}
	case "netfilter": // the kernel says so itself when the rules are set
		if os.Geteuid() != 0 {
			return "run the tests as root"
		}
	case "qemu":
		for _, p := range []string{"qemu-system-x86_64", "mke2fs", "busybox", "cpio", "modprobe"} {
			if _, err := exec.LookPath(p); err != nil {
				return "hack/deps.sh test (no " + p + ")"
			}
		}
	case "chromium":
		for _, p := range []string{"chromium", "node"} {
			if _, err := exec.LookPath(p); err != nil {
				return "hack/deps.sh test (no " + p + ")"
			}
		}
	case "landlock":
		if _, err := landlock.ABI(); err != nil {
			return "a kernel with Landlock: " + err.Error()
		}
		return missing("root")
	case "gvisor":
		return notAll("make setup-gvisor", "runsc", "mcprun-runsc")
	case "vault":
		return notAll("make test-vault", "test/vault")
	default:
		return "unknown feature " + f
	}
	return ""
}

func notAll(fix string, programs ...string) string {
	dir := os.Getenv("MCPRUN_BIN")
	for _, p := range programs {
		if _, err := os.Stat(dir + "/" + p); err != nil {
			return fix + " (no " + p + "), and set MCPRUN_BIN"
		}
	}
	return ""
}
