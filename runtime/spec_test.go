package runtime

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/manifest/manifesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// placement is a fixed one, with a source for each granted folder.
func placement(t testing.TB, m *manifest.Server) Placement {
	t.Helper()
	out := Placement{
		Network: "/proc/77/fd/9", Given: []GivenFile{{"/run/mcprun/i/x/given-0", ResolvConf}, {"/run/mcprun/i/x/given-1", GivenDir + "ca.pem"}}, Env: []string{"SSL_CERT_FILE=/.mcprun/ca.pem"},
		IDBase: lowestID + 3*IDRange, InitPath: "/opt/mcprun/mcprun-init", SocketPath: "/run/mcprun/i/x/io", Cgroup: "/mcprun/x",
	}
	for _, f := range m.Files {
		if !f.Tmpfs {
			out.Sources = append(out.Sources, Source{Path: "/held/" + strings.Trim(f.To, "/"), UID: 1001, GID: 1002})
		}
	}
	return out
}

// The golden files are the whole of what a container gets: a change of them is
// a change of the containment and is to be read as one.
func TestSpecGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := manifest.Parse(file, raw)
			if err != nil {
				t.Fatal(err)
			}
			p := placement(t, m)
			if filepath.Base(file) == "smallest.yaml" { // as while locking: no network at all
				p.Network, p.Given, p.Env = "", nil, nil
			}
			spec, err := Spec(m, program(Plan{Server: m, Image: Image{Command: []string{"/image-command"}, WorkDir: "/image-dir"}}), p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(spec, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden.json"
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("spec differs (-want +got); if it is meant, run with -update:\n%s", diff)
			}
		})
	}
}

// No manifest loosens an invariant, whatever valid values it has.
func TestNoManifestLoosensAnInvariant(t *testing.T) {
	for seed := range uint64(3000) {
		m := manifesttest.Random(rand.New(rand.NewPCG(seed, 1)))
		spec, err := Spec(m, Program{Command: []string{"/server"}}, placement(t, m))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		if err := CheckInvariants(spec); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		for _, mount := range spec.Mounts {
			if strings.HasPrefix(mount.Source, "/held/") != (len(mount.UIDMappings) == 1) {
				t.Fatalf("seed %d: mount %v is neither ours nor granted", seed, mount)
			}
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add(uint64(1), "/server", "/dir", uint32(0))
	f.Fuzz(func(t *testing.T, seed uint64, command, dir string, owner uint32) {
		m := manifesttest.Random(rand.New(rand.NewPCG(seed, 2)))
		p := placement(t, m)
		for i := range p.Sources {
			p.Sources[i].UID, p.Sources[i].GID = owner, owner
		}
		spec, err := Spec(m, Program{Command: []string{command}, WorkDir: dir}, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckInvariants(spec); err != nil {
			t.Fatal(err)
		}
	})
}

// Each row takes one protection away; the check must name it. The untouched spec
// is the control.
func TestInvariantsBite(t *testing.T) {
	m := manifest.Default()
	m.Name = "x"
	m.Files = []manifest.File{{From: "./w", To: "/workspace"}}
	build := func() *specs.Spec {
		s, err := Spec(m, Program{Command: []string{"/server"}}, placement(t, m))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := CheckInvariants(build()); err != nil {
		t.Fatalf("control: %v", err)
	}
	grant := func(s *specs.Spec) *specs.Mount { // the folder of the manifest, before the daemon's own files
		return &s.Mounts[slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return len(m.UIDMappings) > 0 })]
	}
	rows := []struct {
		name, reason string
		loosen       func(*specs.Spec)
	}{
		{"the host's network", "joined", func(s *specs.Spec) { s.Linux.Namespaces[3].Path = "/proc/1/ns/net" }},
		{"a network by a path that can be swapped", "joined", func(s *specs.Spec) { s.Linux.Namespaces[3].Path = "/run/netns/x" }},
		{"a joined pid namespace", "joined", func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/proc/7/fd/9" }},
		{"a given file that can be written", "writable", func(s *specs.Spec) {
			*grant(s) = specs.Mount{Destination: ResolvConf, Type: "bind", Source: "/held/x", Options: []string{"bind", "rw", "nosuid", "nodev", "noexec"}}
		}},
		{"a grant over the resolver's file", "over /etc/resolv.conf", func(s *specs.Spec) { grant(s).Destination = ResolvConf }},
		{"no user namespace", "no user namespace", func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] }},
		{"host ids", "mapping", func(s *specs.Spec) { s.Linux.UIDMappings[0].HostID = 0 }},
		{"two ranges", "mapping", func(s *specs.Spec) { s.Linux.GIDMappings = append(s.Linux.GIDMappings, s.Linux.GIDMappings[0]) }},
		{"new privileges", "no_new_privs", func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		{"a capability", "capabilities are granted", func(s *specs.Spec) { s.Process.Capabilities.Ambient = []string{"CAP_NET_RAW"} }},
		{"default capabilities", "unset", func(s *specs.Spec) { s.Process.Capabilities = nil }},
		{"root inside", "user is not", func(s *specs.Spec) { s.Process.User.UID = 0 }},
		{"another init", "first process", func(s *specs.Spec) { s.Process.Args[0] = "/server" }},
		{"writable root", "writable", func(s *specs.Spec) { s.Root.Readonly = false }},
		{"setuid in a grant", "nosuid", func(s *specs.Spec) { grant(s).Options = []string{"bind", "ro", "nodev", "noexec"} }},
		{"devices in a grant", "nodev", func(s *specs.Spec) { grant(s).Options = []string{"bind", "ro", "nosuid", "noexec"} }},
		{"programs in a grant", "noexec", func(s *specs.Spec) { grant(s).Options = []string{"bind", "ro", "nosuid", "nodev"} }},
		{"recursive", "rbind", func(s *specs.Spec) { grant(s).Options = append(grant(s).Options, "rbind") }},
		{"all owners", "owner", func(s *specs.Spec) { grant(s).UIDMappings[0].Size = 1000 }},
		{"over proc", "over /proc", func(s *specs.Spec) { grant(s).Destination = "/proc/sys" }},
		{"over init", "over /.mcprun", func(s *specs.Spec) { grant(s).Destination = "/.mcprun/other" }},
		{"sysfs", "type sysfs", func(s *specs.Spec) { grant(s).Type = "sysfs" }},
		{"tmpfs without size", "no size", func(s *specs.Spec) { s.Mounts[4].Options = []string{"nosuid", "noexec", "nodev"} }},
		{"swap", "swap", func(s *specs.Spec) { *s.Linux.Resources.Memory.Swap = -1 }},
		{"cpu", "cpu", func(s *specs.Spec) { *s.Linux.Resources.CPU.Quota = -1 }},
		{"pids", "pids", func(s *specs.Spec) { *s.Linux.Resources.Pids.Limit = 0 }},
		{"a device", "devices", func(s *specs.Spec) { s.Linux.Resources.Devices[0].Allow = true }},
		{"core files", "core", func(s *specs.Spec) { s.Process.Rlimits[2].Hard = 1 }},
		{"a second filter", "second filter", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow} }},
		{"unmasked", "not masked", func(s *specs.Spec) { s.Linux.MaskedPaths = s.Linux.MaskedPaths[1:] }},
		{"writable sysctls", "is writable", func(s *specs.Spec) { s.Linux.ReadonlyPaths = nil }},
		{"a hook", "hooks", func(s *specs.Spec) { s.Hooks = &specs.Hooks{} }},
		{"a sysctl", "sysctls", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} }},
		{"shared mounts", "propagate", func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" }},
		{"another cgroup", "cgroup", func(s *specs.Spec) { s.Linux.CgroupsPath = "/user.slice" }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			s := build()
			r.loosen(s)
			if err := CheckInvariants(s); err == nil || !strings.Contains(err.Error(), r.reason) {
				t.Errorf("CheckInvariants = %v, want a refusal that says %q", err, r.reason)
			}
		})
	}
}

func TestAtLeast(t *testing.T) {
	for _, r := range []struct {
		have string
		ok   bool
	}{{"1.5.2", true}, {"v1.5.3", true}, {"1.6.0-rc.1", true}, {"1.5.2-rc.1", false}, {"1.1.5", false}, {"unknown", false}, {"", false}} {
		if err := AtLeast("runc", r.have, minRunc); (err == nil) != r.ok {
			t.Errorf("AtLeast(%q) = %v, want ok=%v", r.have, err, r.ok)
		}
	}
}

func TestStrays(t *testing.T) {
	const state = "/run/mcprun/containerd/"
	for _, r := range []struct {
		name string
		args []string
		want bool
	}{
		{"our containerd", []string{"/x/containerd", "--config", "/run/mcprun/containerd/config.toml"}, true},
		{"our shim", []string{"/x/containerd-shim-runc-v2", "-namespace", "mcprun", "-id", "a", "-address", "/run/mcprun/containerd/c.sock"}, true},
		{"our runc", []string{"/x/runc", "--root", "/run/mcprun/runc/mcprun", "create"}, true},
		{"the host's runc", []string{"/x/runc", "--root", "/run/containerd/runc/moby", "create"}, false},
		{"the host's containerd", []string{"/usr/bin/containerd", "--config", "/etc/containerd/config.toml"}, false},
		{"the host's shim", []string{"/x/containerd-shim-runc-v2", "-namespace", "moby", "-address", "/run/containerd/containerd.sock"}, false},
		{"another daemon's shim", []string{"/x/containerd-shim-runc-v2", "-namespace", "mcprun", "-address", "/run/mcprun2/containerd/c.sock"}, false},
		{"an editor", []string{"vi", "--config", "/run/mcprun/containerd/config.toml"}, false},
	} {
		if got := isStray(r.args, state, "/run/mcprun/runc/", "mcprun"); got != r.want {
			t.Errorf("%s: isStray = %v, want %v", r.name, got, r.want)
		}
	}
}

func TestIDRanges(t *testing.T) {
	var r idRanges
	seen := make(map[uint32]bool)
	for range idSlots {
		base, err := r.take()
		if err != nil || base < lowestID || seen[base] {
			t.Fatalf("take = %d, %v", base, err)
		}
		seen[base] = true
	}
	if _, err := r.take(); err == nil {
		t.Error("a range was handed out twice")
	}
	r.give(lowestID + IDRange)
	if base, err := r.take(); err != nil || base != lowestID+IDRange {
		t.Errorf("take = %d, %v after one was given back", base, err)
	}
}
