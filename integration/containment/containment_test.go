// Package containment tests, from inside real containers, what a server can do.
package containment

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/probe/result"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/runtime"
)

// maxAllowed bounds the operations that get through at all; 60 to 65 were seen,
// each of them looked at and harmless: reading the clock, the CPU's name, one's own limits.
const maxAllowed = 80

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &errs)
	}
	return string(out)
}

// open is a runtime with folders of its own.
func open(t *testing.T) *runtime.Runtime {
	t.Helper()
	testenv.Need(t, "root", "containerd")
	base, err := os.MkdirTemp("", "mcprun-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.Open(context.Background(), runtime.Options{
		Dirs: paths.Dirs{Run: filepath.Join(base, "run"), Data: filepath.Join(base, "data")}, Programs: os.Getenv("MCPRUN_BIN"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	return rt
}

// inside runs the probe in a container and returns its report.
func inside(t *testing.T, rt *runtime.Runtime, archive, profile string, args ...string) []result.Result {
	t.Helper()
	return limited(t, rt, archive, profile, 64, 256<<20, args...)
}

// limited is inside with limits of the caller's.
func limited(t *testing.T, rt *runtime.Runtime, archive, profile string, pids, memory int64, args ...string) []result.Result {
	t.Helper()
	return behind(t, rt, manifest.Runc, archive, profile, pids, memory, args...)
}

// behind is limited with another wall.
func behind(t *testing.T, rt *runtime.Runtime, wall manifest.Isolation, archive, profile string, pids, memory int64, args ...string) []result.Result {
	t.Helper()
	return probed(t, rt, archive, profile, args, func(p *runtime.Plan) {
		p.Server.Resources.Pids, p.Server.Resources.Memory, p.Server.Isolation = pids, memory, wall
	}, nil)
}

// probed runs the probe in a container; change alters what is asked for, and met, if there
// is one, meets the container before its report is read.
func probed(t *testing.T, rt *runtime.Runtime, archive, profile string, args []string, change func(*runtime.Plan), met func(*runtime.Instance)) []result.Result {
	t.Helper()
	m := manifest.Default()
	m.Name, m.Profile, m.Image = "probe", profile, manifest.Image{Path: archive}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	img, err := rt.Image(ctx, m.Image, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Command = append(append([]string(nil), img.Command...), args...)
	p, err := profiles.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	plan := runtime.Plan{ID: "probe-" + profile, Server: m, Image: img, Profile: p}
	change(&plan)
	inst, err := rt.Start(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	if inst.Refused != nil {
		go refuse(inst.Refused)
	}
	defer func() {
		if err := inst.Kill(); err != nil {
			t.Error(err)
		}
		if err := inst.Clean(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if m.Isolation == manifest.Runc { // gVisor's processes are none of the host's
		sameFilter(t, inst.Pid(), p)
	}
	if met != nil {
		met(inst)
	}
	said := make(chan []byte, 1)
	go func() {
		raw, _ := io.ReadAll(inst.Stderr)
		said <- raw
	}()
	inst.Stdio.SetReadDeadline(time.Now().Add(2 * time.Minute))
	results, err := result.Parse(inst.Stdio)
	if err != nil {
		inst.Kill()
		t.Fatalf("reading the report: %v\n%s", err, <-said)
	}
	return results
}

// refuse answers refused system calls until no process is left.
func refuse(r *runtime.Refused) {
	for r.Wait() == nil {
		if c, ok, err := r.Next(); err == nil && ok {
			r.Refuse(c)
		}
	}
}

func probeImage(t *testing.T) string {
	t.Helper()
	if path, ok := harness.Prebuilt("probe.oci.tar"); ok {
		return path
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "probe")
	run(t, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./integration/probe")
	run(t, "go", "run", "./hack/mkimage", "-cache", filepath.Join(dir, "cache"), "-o", dir, "static:"+program)
	return filepath.Join(dir, "probe.oci.tar")
}

// Nothing severe gets through. That the operations can succeed at all is shown
// by the probe's own test, which runs them as root in throw-away namespaces.
func TestProbe(t *testing.T) {
	rt := open(t)
	archive := probeImage(t)
	for _, profile := range profiles.Names() {
		t.Run(profile, func(t *testing.T) {
			results := inside(t, rt, archive, profile, "-limits")
			counts := result.Count(results)
			t.Logf("%s: %+v", profile, counts)
			if counts.Total < 350 {
				t.Errorf("only %d operations were tried", counts.Total)
			}
			for _, r := range result.LetThrough(results, true) {
				t.Errorf("severe: %s: %s %s", r.Name, r.Verdict, r.Detail)
			}
			if counts.Allowed > maxAllowed {
				for _, r := range result.LetThrough(results, false) {
					t.Logf("allowed: %s %s", r.Name, r.Detail)
				}
				t.Errorf("%d operations get through, at most %d are known to be harmless", counts.Allowed, maxAllowed)
			}
			for _, r := range results {
				if r.Verdict == result.Error {
					t.Errorf("not tried: %s: %s", r.Name, r.Detail)
				}
			}
		})
	}
}

// programs is a folder with links to the real programs, for a test to replace one.
func programs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "mcprun-init", "runc"} {
		if err := os.Symlink(filepath.Join(os.Getenv("MCPRUN_BIN"), name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// refused starts a daemon with the programs in bin, which must end for this reason.
func refused(t *testing.T, bin, reason string) {
	t.Helper()
	d := harness.Prepare(t, "-programs", bin)
	d.Start()
	if d.Ready() {
		t.Fatal("the daemon starts with a program that has a known hole")
	}
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(d.Dir), "daemon.log"))
	if err != nil || !strings.Contains(string(raw), reason) {
		t.Errorf("the reason is not given: %v\n%s", err, raw)
	}
}

// A runc with a known hole is refused before anything is started.
func TestOldRuncIsRefused(t *testing.T) {
	testenv.Need(t, "root", "containerd")
	bin := programs(t)
	control := harness.Prepare(t, "-programs", bin)
	control.Start()
	if !control.Ready() {
		t.Fatal("control: the daemon does not start with the real runc")
	}
	control.Shutdown()
	if err := os.Remove(filepath.Join(bin, "runc")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "runc"), []byte("#!/bin/sh\necho runc version 1.5.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, bin, `runc "v1.5.1" is older than v1.5.2`)
}
