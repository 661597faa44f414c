//go:build cgo

package bpf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/mcprun/mcprun/profiles"
)

func compiled(t testing.TB, profile, goarch string) *specs.LinuxSeccomp {
	t.Helper()
	p, err := profiles.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Seccomp(goarch)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// maxInstructions is far below the kernel's 4096: the filter runs at every
// system call, so growth should be noticed in review.
const maxInstructions = 600

func TestBuiltinProfilesCompile(t *testing.T) {
	t.Logf("libseccomp %s", LibraryVersion())
	for _, profile := range profiles.Names() {
		for _, goarch := range []string{"amd64", "arm64"} {
			info, err := Compile(compiled(t, profile, goarch))
			if err != nil {
				t.Errorf("%s on %s: %v", profile, goarch, err)
				continue
			}
			t.Logf("%s on %s: %d instructions", profile, goarch, info.Instructions)
			if info.Instructions < 100 || info.Instructions > maxInstructions {
				t.Errorf("%s on %s: %d instructions, want 100 to %d", profile, goarch, info.Instructions, maxInstructions)
			}
			// fchmodat2 came with libseccomp 2.5.5; distributions add it to 2.5.4.
			for _, name := range info.Unknown {
				if name != "fchmodat2" {
					t.Errorf("%s on %s: libseccomp %s does not know %s", profile, goarch, LibraryVersion(), name)
				}
			}
		}
	}
}

// A call marked with an architecture exists there and not on the other.
func TestArchitectureMarks(t *testing.T) {
	has := func(call string, arch libseccomp.ScmpArch) bool {
		n, err := libseccomp.GetSyscallFromNameByArch(call, arch)
		return err == nil && n >= 0
	}
	for _, profile := range profiles.Names() {
		p, err := profiles.Load(profile)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range slices.Concat(p.Calls("amd64"), p.Calls("arm64")) {
			for _, rule := range p.Explain(call) {
				if got, want := has(call, libseccomp.ArchAMD64), rule.Arch != "arm64"; got != want {
					t.Errorf("%s: %s exists on amd64: %v, marked %q", profile, call, got, rule.Arch)
				}
				if got, want := has(call, libseccomp.ArchARM64), rule.Arch != "amd64"; got != want {
					t.Errorf("%s: %s exists on arm64: %v, marked %q", profile, call, got, rule.Arch)
				}
			}
		}
	}
}

func TestCompile(t *testing.T) {
	ret := uint(38)
	allow := func(names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
	}
	base := func(calls ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64}, Syscalls: calls}
	}
	with := func(call specs.LinuxSyscall, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		call.Args = args
		return call
	}
	for _, tt := range []struct {
		name    string
		in      *specs.LinuxSeccomp
		unknown []string
		err     string
	}{
		{"plain", base(allow("read", "write")), nil, ""},
		{"unknown names are reported", base(allow("read", "made_up", "another"), allow("made_up")), []string{"another", "made_up"}, ""},
		{"unknown names that are answered", base(allow("read"), specs.LinuxSyscall{Names: []string{"made_up"}, Action: specs.ActErrno, ErrnoRet: &ret}), []string{"made_up"}, ""},
		{"a name of another machine", base(allow("read", "cacheflush")), []string{"cacheflush"}, ""},
		{"a rule that repeats the default", base(allow("read"), specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActErrno}), nil, ""},

		{"nothing", nil, nil, "no seccomp profile"},
		{"no default", &specs.LinuxSeccomp{Architectures: []specs.Arch{specs.ArchX86_64}}, nil, `default action: action "" is not used`},
		{"default of another kind", &specs.LinuxSeccomp{DefaultAction: specs.ActLog}, nil, `default action: action "SCMP_ACT_LOG" is not used`},
		{"no architecture", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, nil, "no architecture is named"},
		{"another ABI", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86}}, nil, `architecture "SCMP_ARCH_X86" is not used`},
		{"flags", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64}, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}}, nil, "flags [SECCOMP_FILTER_FLAG_SPEC_ALLOW] are not used"},
		{"action of another kind", base(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActNotify}), nil, `call read: action "SCMP_ACT_NOTIFY" is not used`},
		{"unknown operator", base(with(allow("read"), specs.LinuxSeccompArg{Op: "SCMP_CMP_ABOUT"})), nil, `call read: operator "SCMP_CMP_ABOUT" is not known`},
		{"one argument twice", base(with(allow("read"), specs.LinuxSeccompArg{Op: specs.OpNotEqual, Value: 1}, specs.LinuxSeccompArg{Op: specs.OpNotEqual, Value: 2})), nil, "argument 0 is judged twice"},
		{"a seventh argument", base(with(allow("read"), specs.LinuxSeccompArg{Op: specs.OpEqualTo, Index: 6})), nil, "argument 6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := Compile(tt.in)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.unknown, info.Unknown); diff != "" {
				t.Errorf("unknown calls:\n%s", diff)
			}
			if info.Instructions == 0 {
				t.Error("no instructions")
			}
		})
	}
}

func TestLibraryVersion(t *testing.T) {
	var major, minor, micro int
	if n, err := fmt.Sscanf(LibraryVersion(), "%d.%d.%d", &major, &minor, &micro); n != 3 || err != nil || major < 2 {
		t.Errorf("version %q is not three numbers from 2 on: %v", LibraryVersion(), err)
	}
}

func BenchmarkCompile(b *testing.B) {
	s := compiled(b, "node", "amd64")
	for b.Loop() {
		if _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}
