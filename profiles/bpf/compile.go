//go:build cgo

// Package bpf turns an OCI seccomp value into the filter that the kernel runs,
// with libseccomp, in the way that runc 1.5 does: what people know of one holds for the other.
//
// It is the one package that imports libseccomp. It loads nothing: mcprun-init puts
// itself, and so the server, under a Program, and the Listener of it tells of the calls
// that are refused. What it does NOT decide: which calls are refused, which is the
// profile's; and libseccomp on another machine may know more or fewer names.
package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
)

// instructionSize is the size of struct sock_filter.
const instructionSize = 8

// treeFrom is the number of calls above which runc asks libseccomp for a
// binary tree; below it, libseccomp 2.5.4 and older can go wrong with one.
const treeFrom = 32

// defaultErrno is what runc answers where a profile names no errno: EPERM.
const defaultErrno = 1

// Info describes a compiled filter.
type Info struct {
	Instructions int
	// Unknown lists the calls that this libseccomp has no number for, sorted.
	// An allowed one stays refused.
	Unknown []string
}

// LibraryVersion is the version of libseccomp in use, e.g. "2.5.4".
func LibraryVersion() string {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

// Compile describes the filter of s.
func Compile(s *specs.LinuxSeccomp) (Info, error) {
	filter, unknown, err := build(s)
	if err != nil {
		return Info{}, fmt.Errorf("compiling seccomp filter: %w", err)
	}
	defer filter.Release()
	program, err := export(filter)
	if err != nil {
		return Info{}, fmt.Errorf("exporting seccomp filter: %w", err)
	}
	return Info{Instructions: len(program) / instructionSize, Unknown: unknown}, nil
}

// build makes the filter; the caller releases it.
func build(s *specs.LinuxSeccomp) (filter *libseccomp.ScmpFilter, unknown []string, err error) {
	if s == nil {
		return nil, nil, errors.New("no seccomp profile")
	}
	fallback, err := action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, nil, fmt.Errorf("default action: %w", err)
	}
	return buildOn(s, fallback)
}

// buildOn is build with another answer to what no rule names.
func buildOn(s *specs.LinuxSeccomp, fallback libseccomp.ScmpAction) (filter *libseccomp.ScmpFilter, unknown []string, err error) {
	if filter, err = libseccomp.NewFilter(fallback); err != nil {
		return nil, nil, err
	}
	if unknown, err = fill(filter, s, fallback); err != nil {
		filter.Release()
		return nil, nil, err
	}
	return filter, unknown, nil
}

// fill sets the filter up in runc's order: architectures, tree, rules.
func fill(filter *libseccomp.ScmpFilter, s *specs.LinuxSeccomp, fallback libseccomp.ScmpAction) ([]string, error) {
	arch, err := setArches(filter, s.Architectures)
	if err != nil {
		return nil, err
	}
	if len(s.Flags) > 0 {
		return nil, fmt.Errorf("flags %v are not used by any profile", s.Flags)
	}
	calls := 0
	for _, rule := range s.Syscalls {
		calls += len(rule.Names)
	}
	if calls > treeFrom {
		if err := filter.SetOptimize(2); err != nil {
			return nil, fmt.Errorf("asking for a binary tree: %w", err)
		}
	}
	if err := filter.SetNoNewPrivsBit(false); err != nil {
		return nil, err
	}
	var unknown []string
	for _, rule := range s.Syscalls {
		for _, name := range rule.Names {
			known, err := add(filter, arch, fallback, name, rule)
			if err != nil {
				return nil, fmt.Errorf("call %s: %w", name, err)
			}
			if !known {
				unknown = append(unknown, name)
			}
		}
	}
	slices.Sort(unknown)
	return slices.Compact(unknown), nil
}

// setArches leaves exactly the named architectures and returns the first. runc
// keeps its own in any case; a profile for the machine at hand always names it.
func setArches(filter *libseccomp.ScmpFilter, names []specs.Arch) (libseccomp.ScmpArch, error) {
	if len(names) == 0 {
		return 0, errors.New("no architecture is named")
	}
	var arches []libseccomp.ScmpArch
	for _, name := range names {
		arch, err := architecture(name)
		if err != nil {
			return 0, err
		}
		if err := filter.AddArch(arch); err != nil {
			return 0, fmt.Errorf("adding architecture %s: %w", name, err)
		}
		arches = append(arches, arch)
	}
	native, err := libseccomp.GetNativeArch()
	if err != nil {
		return 0, fmt.Errorf("asking for this machine's architecture: %w", err)
	}
	if !slices.Contains(arches, native) {
		if err := filter.RemoveArch(native); err != nil {
			return 0, fmt.Errorf("removing architecture %s: %w", native, err)
		}
	}
	return arches[0], nil
}

// architecture knows the one ABI of each machine that profiles are written for.
func architecture(name specs.Arch) (libseccomp.ScmpArch, error) {
	switch name {
	case specs.ArchX86_64:
		return libseccomp.ArchAMD64, nil
	case specs.ArchAARCH64:
		return libseccomp.ArchARM64, nil
	}
	return libseccomp.ArchInvalid, fmt.Errorf("architecture %q is not used by any profile", name)
}

// add adds one rule for one call. It reports false for a name that libseccomp
// does not know on arch; a negative number marks a call of other machines only.
func add(filter *libseccomp.ScmpFilter, arch libseccomp.ScmpArch, fallback libseccomp.ScmpAction, name string, rule specs.LinuxSyscall) (bool, error) {
	act, err := action(rule.Action, rule.ErrnoRet)
	if err != nil {
		return false, err
	}
	if number, err := libseccomp.GetSyscallFromNameByArch(name, arch); err != nil || number < 0 {
		return false, nil
	}
	if act == fallback {
		return true, nil // as runc: libseccomp refuses a rule that changes nothing
	}
	// Rules take the number of the native architecture, or a pseudo number that
	// libseccomp translates.
	number, err := libseccomp.GetSyscallFromName(name)
	if err != nil {
		return false, fmt.Errorf("looking up its number: %w", err)
	}
	if len(rule.Args) == 0 {
		return true, filter.AddRule(number, act)
	}
	conditions, err := conditions(rule.Args)
	if err != nil {
		return false, err
	}
	return true, filter.AddRuleConditional(number, act, conditions)
}

// conditions converts the arguments of one rule. Two on the same argument are
// an error here: runc would take either one as enough.
func conditions(args []specs.LinuxSeccompArg) ([]libseccomp.ScmpCondition, error) {
	var out []libseccomp.ScmpCondition
	seen := map[uint]bool{}
	for _, arg := range args {
		if seen[arg.Index] {
			return nil, fmt.Errorf("argument %d is judged twice in one rule", arg.Index)
		}
		seen[arg.Index] = true
		op, err := operator(arg.Op)
		if err != nil {
			return nil, err
		}
		c, err := libseccomp.MakeCondition(arg.Index, op, arg.Value, arg.ValueTwo)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", arg.Index, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// action knows the two actions that profiles use; any other is an error.
func action(a specs.LinuxSeccompAction, errno *uint) (libseccomp.ScmpAction, error) {
	switch a {
	case specs.ActAllow:
		return libseccomp.ActAllow, nil
	case specs.ActErrno:
		if errno == nil {
			return libseccomp.ActErrno.SetReturnCode(defaultErrno), nil
		}
		return libseccomp.ActErrno.SetReturnCode(int16(*errno)), nil
	}
	return libseccomp.ActInvalid, fmt.Errorf("action %q is not used by any profile", a)
}

func operator(op specs.LinuxSeccompOperator) (libseccomp.ScmpCompareOp, error) {
	switch op {
	case specs.OpEqualTo:
		return libseccomp.CompareEqual, nil
	case specs.OpNotEqual:
		return libseccomp.CompareNotEqual, nil
	case specs.OpGreaterThan:
		return libseccomp.CompareGreater, nil
	case specs.OpGreaterEqual:
		return libseccomp.CompareGreaterEqual, nil
	case specs.OpLessThan:
		return libseccomp.CompareLess, nil
	case specs.OpLessEqual:
		return libseccomp.CompareLessOrEqual, nil
	case specs.OpMaskedEqual:
		return libseccomp.CompareMaskedEqual, nil
	}
	return libseccomp.CompareInvalid, fmt.Errorf("operator %q is not known", op)
}

// export returns the program in the kernel's form.
func export(filter *libseccomp.ScmpFilter) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	wrote := make(chan error, 1)
	go func() {
		defer w.Close()
		wrote <- filter.ExportBPF(w)
	}()
	program, err := io.ReadAll(r)
	return program, errors.Join(err, <-wrote)
}
