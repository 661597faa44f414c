package containment

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/probe/result"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/runtime"
)

// demanding is the busybox image with a config that asks for rights.
func demanding(t *testing.T, command ...string) string {
	t.Helper()
	plain, dir := t.TempDir(), t.TempDir()
	run(t, "tar", "-xf", harness.Image("busybox"), "-C", plain)
	index, err := layout.ImageIndexFromPath(plain)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.Config(img, v1.Config{
		User: "0:0", Entrypoint: command, WorkingDir: "/home",
		Env:          []string{"LD_PRELOAD=/evil.so", "PATH=/evil", "HOME=/evil", "FROM_IMAGE=1"},
		Volumes:      map[string]struct{}{"/workspace": {}},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	return dir
}

// said runs the command of an image in a container and returns what it prints.
func said(t *testing.T, image string) string {
	t.Helper()
	rt := open(t)
	m := manifest.Default()
	m.Name, m.Image = "says", manifest.Image{Path: image}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	img, err := rt.Image(ctx, m.Image, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := profiles.Load(m.Profile)
	if err != nil {
		t.Fatal(err)
	}
	inst, err := rt.Start(ctx, runtime.Plan{ID: "says", Server: m, Image: img, Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	go refuse(inst.Refused)
	defer func() {
		if err := inst.Kill(); err != nil {
			t.Error(err)
		}
		if err := inst.Clean(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	inst.Stdio.SetReadDeadline(time.Now().Add(time.Minute))
	out, err := io.ReadAll(inst.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// An image says what to run, never with which rights.
func TestImageConfigGivesNoRights(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	out := said(t, demanding(t, "/bin/sh", "-c", "id -u; id -g; pwd; env; cat /proc/self/mountinfo"))
	lines := strings.Split(out, "\n")
	if len(lines) < 4 {
		t.Fatalf("the container says %q", out)
	}
	// The control: the same config was read, for its command ran in its folder.
	if lines[2] != "/home" {
		t.Errorf("the image's working folder is not taken over: %q", lines[2])
	}
	if lines[0] != "1000" || lines[1] != "1000" {
		t.Errorf("user %q and group %q, want 1000 for both", lines[0], lines[1])
	}
	for _, banned := range []string{"evil", "LD_PRELOAD", "FROM_IMAGE", " /workspace "} {
		if strings.Contains(out, banned) {
			t.Errorf("%q comes from the image:\n%s", banned, out)
		}
	}
	if !slices.Contains(lines, "HOME=/tmp") {
		t.Errorf("our own environment is not there:\n%s", out)
	}
}

// interfaces reads /proc/net/dev: two lines of headings, then of each interface
// its name and counters. It returns the bytes each has received.
func interfaces(dev string) map[string]string {
	received := map[string]string{}
	for line := range strings.Lines(dev) {
		name, counters, ok := strings.Cut(strings.TrimSpace(line), ":")
		if f := strings.Fields(counters); ok && len(f) > 0 {
			received[name] = f[0]
		}
	}
	return received
}

// The container has lo alone, and it is not the host's: nothing ever went over it.
func TestOnlyLoopback(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	out := said(t, demanding(t, "/bin/sh", "-c", "cat /proc/net/dev; echo routes; cat /proc/net/route"))
	dev, routes, _ := strings.Cut(out, "routes\n")
	if diff := cmp.Diff(map[string]string{"lo": "0"}, interfaces(dev)); diff != "" {
		t.Errorf("interfaces and bytes received (-want +got):\n%s", diff)
	}
	if n := strings.Count(routes, "\n"); n > 1 { // the heading
		t.Errorf("there are routes:\n%s", routes)
	}
	// The control: the host's file, read in the same way, tells of traffic.
	if got := interfaces(busyHost(t)); got["lo"] == "" || got["lo"] == "0" {
		t.Errorf("the host's interfaces read as %q", got)
	}
}

// busyHost is the host's /proc/net/dev after something went over lo.
func busyHost(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	raw, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The limits of memory and processes bite, and are what server.yaml says: with
// higher ones the same program gets all it asks for.
func TestLimitsBite(t *testing.T) {
	testenv.Need(t, "root", "containerd")
	archive := probeImage(t)
	rt := open(t)
	for _, tc := range []struct {
		name         string
		pids, memory int64
		want         result.Verdict
	}{
		{"low", 64, 256 << 20, result.Denied},
		{"high", 512, 2 << 30, result.Allowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := 0
			for _, r := range limited(t, rt, archive, "go", tc.pids, tc.memory, "-limits", "-group", "limits") {
				if r.Name != "limits.memory" && r.Name != "limits.processes" {
					continue
				}
				seen++
				if r.Verdict != tc.want {
					t.Errorf("%s is %q (%s %s), want %q", r.Name, r.Verdict, r.Errno, r.Detail, tc.want)
				}
			}
			if seen != 2 {
				t.Errorf("%d of the two limits were tried", seen)
			}
		})
	}
}

// A containerd with a known hole is refused: the real program, built under an older version's name.
func TestOldContainerdIsRefused(t *testing.T) {
	testenv.Need(t, "root", "containerd")
	bin := programs(t)
	if err := os.Remove(filepath.Join(bin, "containerd")); err != nil {
		t.Fatal(err)
	}
	real := filepath.Join(os.Getenv("MCPRUN_BIN"), "containerd")
	raw, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(run(t, real, "--version")), " v")
	version, _, _ = strings.Cut("v"+version, " ")
	const old = "v2.3.1"
	if len(version) != len(old) {
		t.Fatalf("containerd calls itself %q, which %q cannot stand in for", version, old)
	}
	renamed := strings.ReplaceAll(string(raw), version, old)
	if err := os.WriteFile(filepath.Join(bin, "containerd"), []byte(renamed), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, bin, `containerd "v2.3.1" is older than v2.3.2`)
}
