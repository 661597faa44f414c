//go:build cgo && linux && amd64

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/mcprun/mcprun/profiles"
)

// ones is no valid pointer, handle, size or set of flags, whatever the call.
const ones = ^uint64(0)

// numberOf knows, beyond libseccomp, the newest calls of the list.
func numberOf(t *testing.T, name string) uintptr {
	t.Helper()
	newest := map[string]uintptr{"statmount": 457, "listmount": 458, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469}
	if n, ok := newest[name]; ok {
		return n
	}
	n, err := libseccomp.GetSyscallFromName(name)
	if err != nil || n < 0 {
		t.Fatalf("%s has no number on this machine: %d, %v", name, n, err)
	}
	return uintptr(n)
}

// Each refused call gets all ones for arguments: without a filter the kernel
// says what is wrong with them, or it succeeds at nothing; with a filter the answer is
// EPERM before the kernel looks or, of a call newer than the profile knows, ENOSYS.
func TestNeverCallsAreRefusedByTheKernel(t *testing.T) {
	never, err := profiles.Never()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(never))
	attempts := make([]attempt, len(names))
	for i, name := range names {
		attempts[i] = attempt{numberOf(t, name), [6]uint64{ones, ones, ones, ones, ones, ones}}
	}
	control := try(t, unfiltered, attempts)
	for i, name := range names {
		t.Logf("%-24s without a filter: %v", name, control[i])
		if control[i] == syscall.EPERM {
			t.Errorf("%s answers EPERM without a filter: the control shows nothing", name)
		}
	}
	for _, profile := range profiles.Names() {
		for i, got := range try(t, profile, attempts) {
			if want := refusal(t, profile, attempts[i]); got != want {
				t.Errorf("%s under %s answers %v (%d), want %v", names[i], profile, got, int(got), want)
			}
			if got == control[i] && got != syscall.ENOSYS {
				t.Errorf("%s under %s answers %v, as without a filter", names[i], profile, got)
			}
		}
	}
}

// refusal is the answer to an attempt that a profile refuses.
func refusal(t *testing.T, profile string, a attempt) syscall.Errno {
	t.Helper()
	p, err := programOf(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p.Refusal(int(a.Number))
}

// argumentCases are calls that depend on their arguments. Where refused is 0
// the filter must let the call through, to the same answer as without it.
func argumentCases() []argumentCase {
	const (
		perm, nosys = syscall.EPERM, syscall.ENOSYS
		thread      = 0x10000 // CLONE_THREAD alone is invalid: no attempt makes a process
		high        = 1 << 32 // the kernel drops it from an int
	)
	return []argumentCase{
		{"thread", "clone", [6]uint64{thread}, 0, "no namespace is asked for"},
		{"new mount namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWNS}, perm, "CLONE_NEWNS"},
		{"new cgroup namespace", "clone", [6]uint64{thread | 0x02000000}, perm, "CLONE_NEWCGROUP"},
		{"new uts namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWUTS}, perm, "CLONE_NEWUTS"},
		{"new ipc namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWIPC}, perm, "CLONE_NEWIPC"},
		{"new user namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWUSER}, perm, "CLONE_NEWUSER"},
		{"new pid namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWPID}, perm, "CLONE_NEWPID"},
		{"new net namespace", "clone", [6]uint64{thread | syscall.CLONE_NEWNET}, perm, "CLONE_NEWNET"},
		{"new user namespace, high bit", "clone", [6]uint64{high | thread | syscall.CLONE_NEWUSER}, perm, "CLONE_NEWUSER"},
		{"clone3", "clone3", [6]uint64{ones, ones}, nosys, "flags in memory"},
		{"openat2", "openat2", [6]uint64{ones, ones, ones, ones}, nosys, "flags in memory"},

		{"unix stream", "socket", [6]uint64{1, 1, 0}, 0, "granted"},
		{"unix seqpacket, close-on-exec", "socket", [6]uint64{1, 5 | 0x80000, 0}, 0, "granted"},
		{"tcp", "socket", [6]uint64{2, 1 | 0x80800, 6}, 0, "granted"},
		{"tcp, high bits", "socket", [6]uint64{high | 2, high | 1, high | 0}, 0, "the kernel drops them"},
		{"tcp6", "socket", [6]uint64{10, 1, 0}, 0, "granted"},
		{"udp", "socket", [6]uint64{2, 2, 17}, 0, "granted"},
		{"unix raw", "socket", [6]uint64{1, 3, 0}, perm, "type"},
		{"raw icmp", "socket", [6]uint64{2, 3, 1}, perm, "type"},
		{"raw icmp6", "socket", [6]uint64{10, 3, 58}, perm, "type"},
		{"raw, with flags", "socket", [6]uint64{2, 3 | 0x80800, 255}, perm, "type"},
		{"ping socket", "socket", [6]uint64{2, 2, 1}, perm, "protocol"},
		{"old packet type", "socket", [6]uint64{2, 10, 0x300}, perm, "type"},
		{"mptcp", "socket", [6]uint64{2, 1, 262}, perm, "protocol"},
		{"sctp", "socket", [6]uint64{2, 1, 132}, perm, "protocol"},
		{"smc", "socket", [6]uint64{43, 1, 0}, perm, "family"},
		{"dccp", "socket", [6]uint64{2, 6, 33}, perm, "type"},
		{"udp lite", "socket", [6]uint64{2, 2, 136}, perm, "protocol"},
		{"netlink", "socket", [6]uint64{16, 3, 0}, perm, "family"},
		{"netlink datagram", "socket", [6]uint64{16, 2, 0}, perm, "family"},
		{"netlink, high bit", "socket", [6]uint64{high | 16, 2, 0}, perm, "family"},
		{"netfilter", "socket", [6]uint64{16, 3, 12}, perm, "family"},
		{"packet", "socket", [6]uint64{17, 3, 0}, perm, "family"},
		{"vsock", "socket", [6]uint64{40, 1, 0}, perm, "family"},
		{"alg", "socket", [6]uint64{38, 5, 0}, perm, "family"},
		{"xdp", "socket", [6]uint64{44, 3, 0}, perm, "family"},
		{"bluetooth", "socket", [6]uint64{31, 3, 1}, perm, "family"},
		{"can", "socket", [6]uint64{29, 3, 1}, perm, "family"},
		{"key", "socket", [6]uint64{15, 3, 2}, perm, "family"},
		{"tipc", "socket", [6]uint64{30, 5, 0}, perm, "family"},
		{"unix pair", "socketpair", [6]uint64{1, 1, 0, ones}, 0, "granted; the bad pointer is the kernel's to refuse"},
		{"tipc pair", "socketpair", [6]uint64{30, 5, 0, ones}, perm, "family"},

		{"terminal?", "ioctl", [6]uint64{ones, 0x5401}, 0, "TCGETS"},
		{"terminal?, as a signed int", "ioctl", [6]uint64{ones, 0xffffffff00005401}, 0, "TCGETS"},
		{"type into a terminal", "ioctl", [6]uint64{ones, 0x5412}, perm, "TIOCSTI"},
		{"type into a terminal, high bit", "ioctl", [6]uint64{ones, high | 0x5412}, perm, "TIOCSTI"},
		{"console selection", "ioctl", [6]uint64{ones, 0x541c}, perm, "TIOCLINUX"},
		{"console redirection", "ioctl", [6]uint64{ones, 0x541d}, perm, "TIOCCONS"},
		{"line discipline", "ioctl", [6]uint64{ones, 0x5423}, perm, "TIOCSETD"},
		{"namespace of a handle", "ioctl", [6]uint64{ones, 0xb701}, perm, "NS_GET_USERNS"},
		{"bring an interface up", "ioctl", [6]uint64{ones, 0x8914}, perm, "SIOCSIFFLAGS"},

		{"dumpable", "prctl", [6]uint64{3}, 0, "PR_GET_DUMPABLE"},
		{"thread name", "prctl", [6]uint64{15, ones}, 0, "PR_SET_NAME"},
		{"move the program's own maps", "prctl", [6]uint64{35, ones, ones, ones, ones}, perm, "PR_SET_MM"},
		{"secure bits", "prctl", [6]uint64{28, 0}, perm, "PR_SET_SECUREBITS"},
		{"stack a filter", "prctl", [6]uint64{22, ones}, perm, "PR_SET_SECCOMP"},
		{"ambient capability", "prctl", [6]uint64{47, ones, ones, ones, ones}, perm, "PR_CAP_AMBIENT"},
		{"core scheduling", "prctl", [6]uint64{62, ones, ones, ones, ones}, perm, "PR_SCHED_CORE"},
		{"allow a tracer", "prctl", [6]uint64{0x59616d61, ones}, perm, "PR_SET_PTRACER"},

		{"open", "openat", [6]uint64{ones, ones, 0, 0o6777}, 0, "without O_CREAT the mode means nothing"},
		{"create", "openat", [6]uint64{ones, ones, 0x40, 0o666}, 0, "plain mode"},
		{"create setuid", "openat", [6]uint64{ones, ones, 0x40, 0o4755}, perm, "S_ISUID"},
		{"create setgid", "openat", [6]uint64{ones, ones, 0x40, 0o2755}, perm, "S_ISGID"},
		{"unnamed file", "openat", [6]uint64{ones, ones, 0x410002, 0o600}, 0, "plain mode"},
		{"unnamed setuid file", "openat", [6]uint64{ones, ones, 0x410002, 0o4755}, perm, "S_ISUID through O_TMPFILE"},
		{"create setuid, older name", "open", [6]uint64{ones, 0x41, 0o4755}, perm, "S_ISUID"},
		{"create setuid, oldest name", "creat", [6]uint64{ones, 0o4755}, perm, "S_ISUID"},
		{"make setuid", "fchmodat", [6]uint64{ones, ones, 0o4755}, perm, "S_ISUID"},
		{"make setgid by handle", "fchmod", [6]uint64{ones, 0o2755}, perm, "S_ISGID"},
		{"make setuid, older name", "chmod", [6]uint64{ones, 0o4755}, perm, "S_ISUID"},
		{"make setuid, newest name", "fchmodat2", [6]uint64{ones, ones, 0o4755, 0}, perm, "S_ISUID"},
		{"character device", "mknodat", [6]uint64{ones, ones, syscall.S_IFCHR | 0o600, 0x101}, perm, "S_IFCHR"},
		{"block device", "mknod", [6]uint64{ones, syscall.S_IFBLK | 0o600, 0x800}, perm, "S_IFBLK"},
		{"setuid pipe", "mknodat", [6]uint64{ones, ones, syscall.S_IFIFO | 0o4600, 0}, perm, "S_ISUID"},

		{"thread pointer", "arch_prctl", [6]uint64{0x1003, ones}, 0, "ARCH_GET_FS"},
		{"other thread pointer", "arch_prctl", [6]uint64{0x1004, ones}, perm, "ARCH_GET_GS"},
		{"processor state", "arch_prctl", [6]uint64{0x1023, ones}, perm, "ARCH_REQ_XCOMP_PERM"},
	}
}

type argumentCase struct {
	name, call string
	args       [6]uint64
	refused    syscall.Errno
	reason     string
}

func TestArgumentsAreJudgedByTheKernel(t *testing.T) {
	cases := argumentCases()
	attempts := make([]attempt, len(cases))
	for i, c := range cases {
		attempts[i] = attempt{numberOf(t, c.call), c.args}
	}
	control := try(t, unfiltered, attempts)
	for i, c := range cases {
		if c.refused != 0 && control[i] == c.refused {
			t.Errorf("%s (%s): answers %v without a filter: the control shows nothing", c.name, c.reason, control[i])
		}
	}
	for _, profile := range profiles.Names() {
		for i, got := range try(t, profile, attempts) {
			c := cases[i]
			want := c.refused
			switch want {
			case 0:
				want = control[i]
			case syscall.EPERM:
				want = refusal(t, profile, attempts[i])
			}
			if got != want {
				t.Errorf("%s: %s (%s): %v, want %v; without a filter %v", profile, c.name, c.reason, got, want, control[i])
			}
		}
	}
}

// What strict refuses whole, the larger profiles allow with the same masks.
func TestLargerProfilesAllowPlainModes(t *testing.T) {
	cases := []argumentCase{
		{"open", "open", [6]uint64{ones, 0, 0o6777}, 0, "an existing file"},
		{"create", "open", [6]uint64{ones, 0x41, 0o644}, 0, "plain mode"},
		{"chmod", "chmod", [6]uint64{ones, 0o1755}, 0, "sticky is not setuid"},
		{"fchmod", "fchmod", [6]uint64{ones, 0o755}, 0, "plain mode"},
		{"fchmodat", "fchmodat", [6]uint64{ones, ones, 0o755}, 0, "plain mode"},
		{"named pipe", "mknodat", [6]uint64{ones, ones, syscall.S_IFIFO | 0o600, 0}, 0, "S_IFIFO"},
		{"window size", "ioctl", [6]uint64{ones, 0x5414}, 0, "TIOCSWINSZ"},
		{"terminal number, signed", "ioctl", [6]uint64{ones, 0xffffffff80045430}, 0, "TIOCGPTN"},
	}
	attempts := make([]attempt, len(cases))
	for i, c := range cases {
		attempts[i] = attempt{numberOf(t, c.call), c.args}
	}
	control := try(t, unfiltered, attempts)
	for i, got := range try(t, profiles.Strict, attempts) {
		if got != syscall.EPERM {
			t.Errorf("strict: %s: %v, want EPERM", cases[i].name, got)
		}
	}
	for _, profile := range []string{"go", "python", "node"} {
		for i, got := range try(t, profile, attempts) {
			if got != control[i] || got == syscall.EPERM {
				t.Errorf("%s: %s (%s): %v, want %v as without a filter", profile, cases[i].name, cases[i].reason, got, control[i])
			}
		}
	}
}

const abiProgram = `
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(int argc, char **argv) {
	long r;
	if (!strcmp(argv[1], "i386"))
		__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	else if (!strcmp(argv[1], "x32"))
		r = syscall(0x40000000 | SYS_getpid);
	else
		r = syscall(SYS_getpid);
	return 0;
}
`

// A call of another ABI has other numbers, so the filter must not judge it by
// these: the program is killed.
func TestOtherABIsAreFatal(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "abi.c"), filepath.Join(dir, "abi")
	if err := os.WriteFile(source, []byte(abiProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-static", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v: %s", err, out)
	}
	for _, profile := range append(profiles.Names(), unfiltered) {
		for _, abi := range []string{"amd64", "i386", "x32"} {
			fatal := profile != unfiltered && abi != "amd64"
			got := "ended well"
			if err := helper(t, "exec", profile, program, abi).Run(); err != nil {
				got = fmt.Sprint(err)
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGSYS {
					got = "killed by SIGSYS"
				}
			}
			want := map[bool]string{true: "killed by SIGSYS", false: "ended well"}[fatal]
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s under %s: %s, want %s", abi, profile, got, want)
			}
		}
	}
}
