// Package vm runs the tests of containment and of what is left behind once more
// in a virtual machine, for what the machine at hand may not have: Debian's own
// kernel and a host with control groups v2 alone, which is what most users have.
package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/internal/testenv"
)

// suites are the tests that run inside, by package. They are those where the kind
// of control groups or the kernel matters, and short enough under emulation.
var suites = []struct{ pkg, tests string }{
	{"integration/containment", "TestProbe$/go|TestLandlockIsASecondFence|TestLimitsBite|TestOnlyLoopback|TestImageConfigGivesNoRights"},
	{"integration/crash", "TestKillWithoutDaemon|TestHundredStartsAndKills"},
	{"integration/lives", "TestControlGroupOfAServer"},
	{"runtime/cgroup", "TestKillAll|TestFreeze|TestFreezeGivenUp|TestFreezeNothing|TestLimitsThatAreHitAreToldOf|TestSetMemory"},
	{"netpolicy/nft", "TestEveryConnectionArrives|TestOwnLoopback|TestTheRestIsRefusedAndSeen|TestNoRulesNoWay"},
}

func TestControlGroupsV2(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images", "qemu")
	root := guest(t)
	cache, err := filepath.Abs("../../.cache/vm")
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, "../..", "hack/vm.sh", cache, root)
	t.Log(out)
	if !strings.Contains(out, "cgroups     v2") {
		t.Error("the guest's control groups are not v2")
	}
	if !strings.Contains(out, "transparent (nftables TPROXY)") {
		t.Error("the guest's kernel does not bring connections to the daemon transparently")
	}
	for _, s := range suites {
		for _, name := range strings.Split(s.tests, "|") {
			name, _, _ = strings.Cut(name, "/")
			name = strings.TrimSuffix(name, "$")
			if !strings.Contains(out, "--- PASS: "+name) {
				t.Errorf("%s of %s did not pass", name, s.pkg)
			}
		}
	}
	for _, bad := range []string{"--- FAIL", "--- SKIP", "panic:", "Kernel panic"} {
		if strings.Contains(out, bad) {
			t.Errorf("the guest says %q", bad)
		}
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}

// guest makes the folder that becomes the guest's root file system.
func guest(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	bin, tests, prebuilt := filepath.Join(root, "usr/local/bin"), filepath.Join(root, "tests"), filepath.Join(root, "prebuilt")
	for _, dir := range []string{bin, tests, prebuilt, filepath.Join(root, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var programs []string
	for _, p := range []string{"mcprun", "mcprun-cli", "mcprund", "mcprun-init", "mcprun-decoy", "containerd", "containerd-shim-runc-v2", "runc"} {
		programs = append(programs, filepath.Join(os.Getenv("MCPRUN_BIN"), p))
	}
	run(t, ".", "cp", append(programs, bin)...)
	for _, image := range []string{"gosdk", "busybox"} {
		run(t, ".", "cp", filepath.Join(os.Getenv("MCPRUN_IMAGES"), image+".oci.tar"), tests)
	}
	run(t, "../..", "go", "build", "-tags", "failpoints", "-o", prebuilt+"/mcprund", "./cmd/mcprund")
	run(t, "../..", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", prebuilt+"/probe", "./integration/probe")
	run(t, "../..", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", prebuilt+"/unruly", "./integration/lives/unruly")
	run(t, "../..", "go", "run", "./hack/mkimage", "-cache", filepath.Join(prebuilt, "cache"), "-o", prebuilt, "static:"+prebuilt+"/probe", "static:"+prebuilt+"/unruly")
	script := "#!/bin/sh\nexport MCPRUN_BIN=/usr/local/bin MCPRUN_IMAGES=/tests MCPRUN_TEST_PROMISES=all MCPRUN_TEST_PREBUILT=/prebuilt\n" +
		"mcprund -test-egress\nmcprund -run /tmp/v -data /tmp/v.data 2>/dev/null & sleep 3; mcprun version --run /tmp/v; mcprun shutdown --run /tmp/v\nfailed=0\n"
	for _, s := range suites {
		name := filepath.Base(s.pkg) + ".test"
		run(t, "../..", "go", "test", "-c", "-o", filepath.Join(tests, name), "./"+s.pkg)
		programs = append(programs, filepath.Join(tests, name))
		script += fmt.Sprintf("mkdir -p /src/%[1]s && cd /src/%[1]s && /tests/%[2]s -test.v -test.short -test.run '%[3]s' || failed=1\n", s.pkg, name, s.tests)
	}
	if err := os.WriteFile(filepath.Join(root, "run-tests"), []byte(script+"exit $failed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	libraries(t, root, programs)
	return root
}

// libraries copies the shared libraries that the programs are linked with.
func libraries(t *testing.T, root string, programs []string) {
	t.Helper()
	for _, p := range programs {
		out, _ := exec.Command("ldd", p).Output() // fails for static ones
		for _, f := range strings.Fields(string(out)) {
			if strings.HasPrefix(f, "/") {
				to := filepath.Join(root, f)
				run(t, ".", "mkdir", "-p", filepath.Dir(to))
				run(t, ".", "cp", "-L", f, to)
			}
		}
	}
}
