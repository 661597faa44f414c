//go:build cgo

package bpf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

// What a filter returns to the kernel; linux/seccomp.h.
const (
	retKillThread = 0x00000000
	retErrno      = 0x00050000
	retAllow      = 0x7fff0000
)

const (
	auditX86_64  = 0xc000003e
	auditI386    = 0x40000003
	auditAARCH64 = 0xc00000b7
)

// evaluate runs a program on one call, as the kernel does. Only what libseccomp
// and runc emit is known.
func evaluate(t *testing.T, program []byte, arch uint32, number uint32, args [6]uint64) uint32 {
	t.Helper()
	var data [64]byte // struct seccomp_data
	binary.LittleEndian.PutUint32(data[0:], number)
	binary.LittleEndian.PutUint32(data[4:], arch)
	for i, arg := range args {
		binary.LittleEndian.PutUint64(data[16+8*i:], arg)
	}
	var a uint32
	for pc := 0; ; pc++ {
		in := program[pc*instructionSize:]
		code, jt, jf, k := binary.LittleEndian.Uint16(in), int(in[2]), int(in[3]), binary.LittleEndian.Uint32(in[4:])
		jump := func(taken bool) {
			if taken {
				pc += jt
			} else {
				pc += jf
			}
		}
		switch code {
		case 0x20: // ld [k]
			a = binary.LittleEndian.Uint32(data[k:])
		case 0x54: // and #k
			a &= k
		case 0x05: // ja k
			pc += int(k)
		case 0x15:
			jump(a == k)
		case 0x25:
			jump(a > k)
		case 0x35:
			jump(a >= k)
		case 0x45:
			jump(a&k != 0)
		case 0x06: // ret #k
			return k
		default:
			t.Fatalf("instruction %d has the unknown code %#x", pc, code)
		}
	}
}

// expected is what the rules of a profile say, in their own words.
func expected(rules []profiles.Rule, goarch string, args [6]uint64) uint32 {
	for _, r := range rules {
		if r.Arch != "" && r.Arch != goarch {
			continue
		}
		if r.Verdict == mcprun.Deny {
			return retErrno | uint32(r.Answer.Errno())
		}
		if matches(r.Where, args) {
			return retAllow
		}
	}
	return retErrno | 1
}

func matches(where []profiles.Condition, args [6]uint64) bool {
	for _, c := range where {
		found := false
		for _, v := range c.Any {
			found = found || uint32(args[c.Arg])&c.Mask == v.Value
		}
		if !found {
			return false
		}
	}
	return true
}

// samples are argument lists near the edges of the rules: each value wanted,
// one bit beside it, bits that the kernel drops, and some at random.
func samples(rules []profiles.Rule, random *rand.Rand) [][6]uint64 {
	out := [][6]uint64{{}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}
	for _, r := range rules {
		for range 40 * len(r.Where) {
			var args [6]uint64
			for _, c := range r.Where {
				v := uint64(c.Any[random.IntN(len(c.Any))].Value)
				switch random.IntN(4) {
				case 0:
					v ^= 1 << random.IntN(64)
				case 1:
					v |= uint64(random.Uint32() &^ c.Mask)
				case 2:
					v |= uint64(random.Uint32()) << 32
				}
				args[c.Arg] = v
			}
			out = append(out, args)
		}
	}
	return out
}

// The compiled program decides every call number as the rules read.
func TestProgramSaysWhatTheRulesSay(t *testing.T) {
	const numbers = 600 // past the newest call of either architecture
	random := rand.New(rand.NewPCG(1, 2))
	for _, profile := range profiles.Names() {
		p, err := profiles.Load(profile)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []struct {
			goarch string
			scmp   libseccomp.ScmpArch
			audit  uint32
		}{{"amd64", libseccomp.ArchAMD64, auditX86_64}, {"arm64", libseccomp.ArchARM64, auditAARCH64}} {
			program := exported(t, compiled(t, profile, m.goarch))
			tried := map[uint32]int{}
			for number := range uint32(numbers) {
				name, _ := libseccomp.ScmpSyscall(number).GetNameByArch(m.scmp)
				rules := p.Explain(name)
				for _, args := range samples(rules, random) {
					got, want := evaluate(t, program, m.audit, number, args), expected(rules, m.goarch, args)
					if got != want {
						t.Fatalf("%s on %s: %s (%d) with %x gives %#x, want %#x", profile, m.goarch, name, number, args, got, want)
					}
					tried[got]++
				}
			}
			t.Logf("%s on %s: %d allowed, %d EPERM, %d ENOSYS", profile, m.goarch, tried[retAllow], tried[retErrno|1], tried[retErrno|38])
			if tried[retAllow] == 0 || tried[retErrno|1] == 0 || tried[retErrno|38] == 0 {
				t.Errorf("%s on %s: some answer was never seen: %v", profile, m.goarch, tried)
			}
		}
	}
}

// A call by the numbers of another ABI is never judged by those of ours.
func TestProgramKillsOtherABIs(t *testing.T) {
	const x32 = 0x40000000
	for _, profile := range profiles.Names() {
		program := exported(t, compiled(t, profile, "amd64"))
		for _, other := range []struct {
			name         string
			audit, extra uint32
		}{{"i386", auditI386, 0}, {"x32", auditX86_64, x32}, {"arm64", auditAARCH64, 0}} {
			for number := range uint32(600) {
				if got := evaluate(t, program, other.audit, number|other.extra, [6]uint64{}); got != retKillThread {
					t.Fatalf("%s: call %d of %s gives %#x, want the thread killed", profile, number, other.name, got)
				}
			}
		}
	}
}

func exported(t *testing.T, s *specs.LinuxSeccomp) []byte {
	t.Helper()
	filter, _, err := build(s)
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Release()
	program, err := export(filter)
	if err != nil {
		t.Fatal(err)
	}
	if len(program) == 0 || len(program)%instructionSize != 0 {
		t.Fatal(fmt.Errorf("a program of %d bytes", len(program)))
	}
	return program
}
