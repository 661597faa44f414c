//go:build cgo

package bpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// Program is a filter that tells of what it refuses: a call that no rule allows waits
// until whoever holds its Listener answers, and is refused by the kernel when nobody
// does. Allowed calls, and those with an answer of their own, never leave the kernel.
type Program struct {
	// Filter is an array of struct sock_filter, for seccomp(2).
	Filter []byte

	arch   libseccomp.ScmpArch
	newest int // number of the newest call that the profile names
}

// NewProgram compiles what Compile describes, but for the answer to calls that no rule
// names: these are told of instead.
func NewProgram(s *specs.LinuxSeccomp) (*Program, error) {
	if s == nil || s.DefaultAction != specs.ActErrno || s.DefaultErrnoRet == nil || *s.DefaultErrnoRet != defaultErrno {
		return nil, fmt.Errorf("compiling seccomp filter: the profile does not refuse what it does not name")
	}
	filter, _, err := buildOn(s, libseccomp.ActNotify)
	if err != nil {
		return nil, fmt.Errorf("compiling seccomp filter: %w", err)
	}
	defer filter.Release()
	p := &Program{}
	if p.Filter, err = export(filter); err != nil {
		return nil, fmt.Errorf("exporting seccomp filter: %w", err)
	}
	if p.arch, err = architecture(s.Architectures[0]); err != nil {
		return nil, err
	}
	for _, rule := range s.Syscalls {
		for _, name := range rule.Names {
			if n, err := libseccomp.GetSyscallFromNameByArch(name, p.arch); err == nil {
				p.newest = max(p.newest, int(n))
			}
		}
	}
	return p, nil
}

// Silent is the same filter for a kernel that can tell nobody: what no rule allows is
// refused with EPERM.
func (p *Program) Silent() []byte {
	const ret = unix.BPF_RET | unix.BPF_K
	out := bytes.Clone(p.Filter)
	for at := 0; at < len(out); at += instructionSize { // struct sock_filter: code, two jumps, value
		code, value := out[at:at+2], out[at+4:at+instructionSize]
		if binary.NativeEndian.Uint16(code) == ret && binary.NativeEndian.Uint32(value)&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_USER_NOTIF {
			binary.NativeEndian.PutUint32(value, unix.SECCOMP_RET_ERRNO|defaultErrno)
		}
	}
	return out
}

// Refusal is what a call that no rule allows is answered: EPERM, or ENOSYS for one newer
// than all that the profile names, as on an older kernel, which programs can do without.
// runc answers alike.
func (p *Program) Refusal(number int) unix.Errno {
	if number > p.newest {
		return unix.ENOSYS
	}
	return unix.EPERM
}

// Newest is the number of the newest call that the profile names: Refusal.
func (p *Program) Newest() int { return p.newest }

// Name is the call with this number, or "call N" for one newer than libseccomp.
func (p *Program) Name(number int) string {
	name, err := libseccomp.ScmpSyscall(number).GetNameByArch(p.arch)
	if err != nil || strings.TrimSpace(name) == "" {
		return fmt.Sprintf("call %d", number)
	}
	return name
}
