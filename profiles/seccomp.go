package profiles

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// eperm is what a call that no rule names is answered with.
const eperm = 1

func arches() []string { return []string{"amd64", "arm64"} }

// Arches lists the kinds of machines that profiles are written for.
func Arches() []string { return arches() }

func knownArch(goarch string) bool { return slices.Contains(arches(), goarch) }

// abi is the one ABI of each architecture that a filter lets through. Leaving
// out i386 and x32 halves the kernel's entry points; libseccomp kills a thread
// that uses them.
func abi(goarch string) (specs.Arch, error) {
	switch goarch {
	case "amd64":
		return specs.ArchX86_64, nil
	case "arm64":
		return specs.ArchAARCH64, nil
	}
	return "", fmt.Errorf("no seccomp profile for architecture %q; there are amd64 and arm64", goarch)
}

// Seccomp compiles the profile for goarch. Each call makes a new value; equal
// profiles give equal values, however their files are written.
func (p *Profile) Seccomp(goarch string) (*specs.LinuxSeccomp, error) {
	arch, err := abi(goarch)
	if err != nil {
		return nil, err
	}
	refused := uint(eperm)
	s := &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: &refused,
		Architectures:   []specs.Arch{arch},
	}
	var whole []string
	answered := map[Answer][]string{}
	var judged []specs.LinuxSyscall
	for _, r := range p.rules {
		switch {
		case !r.on(goarch):
		case r.Verdict == mcprun.Deny:
			answered[r.Answer] = append(answered[r.Answer], r.Call)
		case len(r.Where) == 0:
			whole = append(whole, r.Call)
		default:
			for _, args := range expand(r.Where) {
				judged = append(judged, specs.LinuxSyscall{Names: []string{r.Call}, Action: specs.ActAllow, Args: args})
			}
		}
	}
	slices.Sort(whole)
	slices.SortFunc(judged, compareJudged)
	if len(whole) > 0 {
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: whole, Action: specs.ActAllow})
	}
	for _, answer := range slices.Sorted(maps.Keys(answered)) {
		slices.Sort(answered[answer])
		errno := answer.Errno()
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: answered[answer], Action: specs.ActErrno, ErrnoRet: &errno})
	}
	s.Syscalls = append(s.Syscalls, judged...)
	return s, nil
}

// combinations is how many rules expand makes, without making them.
func combinations(where []Condition) int {
	n := 1
	for _, c := range where {
		if n *= len(c.Any); n > maxRules {
			return n
		}
	}
	return n
}

// expand writes out every combination of values, because a rule of the OCI
// form compares each argument with one value.
func expand(where []Condition) [][]specs.LinuxSeccompArg {
	out := [][]specs.LinuxSeccompArg{nil}
	for _, c := range where {
		var longer [][]specs.LinuxSeccompArg
		for _, prefix := range out {
			for _, v := range c.Any {
				arg := specs.LinuxSeccompArg{
					Index: c.Arg, Op: specs.OpMaskedEqual, Value: uint64(c.Mask), ValueTwo: uint64(v.Value),
				}
				longer = append(longer, append(slices.Clone(prefix), arg))
			}
		}
		out = longer
	}
	return out
}

func compareJudged(a, b specs.LinuxSyscall) int {
	return cmp.Or(
		cmp.Compare(a.Names[0], b.Names[0]),
		slices.CompareFunc(a.Args, b.Args, func(x, y specs.LinuxSeccompArg) int {
			return cmp.Or(cmp.Compare(x.Index, y.Index), cmp.Compare(x.Value, y.Value), cmp.Compare(x.ValueTwo, y.ValueTwo))
		}),
	)
}

// digest is taken over the compiled form of every architecture.
func digest(p *Profile) (mcprun.Digest, error) {
	all := map[string]*specs.LinuxSeccomp{}
	for _, goarch := range arches() {
		s, err := p.Seccomp(goarch)
		if err != nil {
			return "", err
		}
		all[goarch] = s
	}
	var whole any = all
	if p.beside != "" { // in a form of its own, so that the digest of a profile without is as it was
		whole = map[string]any{"calls": all, "beside": p.beside}
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		return "", fmt.Errorf("encoding the compiled profile: %w", err)
	}
	return strictjson.DigestOf(raw)
}
