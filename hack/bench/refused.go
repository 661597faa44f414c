package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
)

const (
	hammerThreads  = 32
	hammerFor      = 5 * time.Second
	neighbourCalls = 1000
	loopRounds     = 15
	loopCalls      = 200_000
)

// refusals measures a server that makes refused system calls without end: what the daemon
// spends on them, and what becomes of another server's calls. Then what allowed calls cost
// under a filter that tells of refused ones, beside one that does not.
func refusals(b *bench, r *report) error {
	progress("refused system calls from %d threads", hammerThreads)
	image, err := b.unruly()
	if err != nil {
		return err
	}
	hammer := subject{name: "hammer", image: image, profile: "go", tool: "hammer", arguments: fmt.Sprintf(`{"n":%d}`, hammerThreads)}
	for _, s := range []subject{hammer, b.gosdk()} {
		if err := b.lock(s); err != nil {
			return err
		}
		if err := b.start(s); err != nil {
			return err
		}
	}
	other, err := b.ours(b.gosdk())
	if err != nil {
		return err
	}
	defer other.close()
	calm, err := callsOf(other, b.gosdk())
	if err != nil {
		return err
	}
	if _, err := firstAnswer(func() (*client, error) { return b.ours(hammer) }, hammer); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // past the burst
	before, err := processorTime(b.daemon.Process.Pid)
	if err != nil {
		return err
	}
	begun := time.Now()
	time.Sleep(hammerFor)
	after, err := processorTime(b.daemon.Process.Pid)
	if err != nil {
		return err
	}
	share := 100 * float64(after-before) / float64(time.Since(begun))
	busy, err := callsOf(other, b.gosdk())
	if err != nil {
		return err
	}
	r.only(fmt.Sprintf("daemon's processor time, refused calls from %d threads", hammerThreads), "% of a core", single(share), p50, 10)
	r.difference("call of another server beside them, p99", "us", quantiles(busy, time.Microsecond), quantiles(calm, time.Microsecond), p99, 0)
	for _, name := range []string{"hammer", "gosdk"} {
		if err := b.mcprun("stop", name); err != nil {
			return err
		}
	}
	return allowed(r)
}

func callsOf(c *client, s subject) ([]time.Duration, error) {
	var out []time.Duration
	for n := -100; n < neighbourCalls; n++ { // the first warm up
		took, err := c.call(s)
		if err != nil {
			return nil, err
		}
		if n >= 0 {
			out = append(out, took)
		}
	}
	return out, nil
}

// unruly builds the image of the server that does what it is asked.
func (b *bench) unruly() (string, error) {
	program := filepath.Join(b.base, "unruly")
	for _, args := range [][]string{
		{"build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./integration/lives/unruly"},
		{"run", "./hack/mkimage", "-cache", filepath.Join(b.base, "cache"), "-o", b.base, "static:" + program},
	} {
		cmd := exec.CommandContext(b.ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w: %s", args[0], err, said)
		}
	}
	return strings.TrimSuffix(filepath.Join(b.base, "unruly.oci.tar"), ".oci.tar"), nil
}

// processorTime is what a process has used, of stat of proc(5).
func processorTime(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const user, system, ticks = 11, 12, 100 // USER_HZ is 100 on every machine that Go runs on
	u, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * time.Second / ticks, err
}

// underEnv makes this program a loop of system calls under the filter on its stdin.
const underEnv = "BENCH_UNDER"

func allowed(r *report) error {
	progress("allowed system calls")
	p, err := profiles.Load("go")
	if err != nil {
		return err
	}
	s, err := p.Seccomp(goruntime.GOARCH)
	if err != nil {
		return err
	}
	tells, err := bpf.NewProgram(s)
	if err != nil {
		return err
	}
	took := map[string][]float64{}
	for range loopRounds {
		for _, side := range []string{"plain", "tells"} {
			filter := tells.Filter
			if side == "plain" {
				filter = silent(filter)
			}
			getpid, readwrite, err := loopUnder(side, filter)
			if err != nil {
				return err
			}
			took[side+" getpid"], took[side+" readwrite"] = append(took[side+" getpid"], getpid), append(took[side+" readwrite"], readwrite)
		}
	}
	for _, loop := range []string{"getpid", "readwrite"} {
		r.ratio("allowed system calls, "+loop+" loop, time beside a filter that tells nothing", "ns", distribute(took["tells "+loop]), distribute(took["plain "+loop]), 0)
	}
	return nil
}

// silent is the same filter with an error in place of telling.
func silent(filter []byte) []byte {
	const ret, notify, eperm = 0x06, 0x7fc00000, 0x00050000 | uint32(unix.EPERM)
	out := bytes.Clone(filter)
	for i := 0; i < len(out); i += 8 {
		if binary.LittleEndian.Uint16(out[i:]) == ret && binary.LittleEndian.Uint32(out[i+4:]) == notify {
			binary.LittleEndian.PutUint32(out[i+4:], eperm)
		}
	}
	return out
}

func loopUnder(side string, filter []byte) (getpid, readwrite float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stdin, cmd.Stderr = append(os.Environ(), underEnv+"="+side), bytes.NewReader(filter), os.Stderr
	out, err := cmd.Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &getpid, &readwrite)
	}
	return getpid, readwrite, err
}

// loops prints nanoseconds a call of getpid, and of a byte written to and read from a pipe.
func loops(side string) error {
	filter, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	goruntime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	flags := uintptr(0)
	if side == "tells" {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	prog := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return errno
	}
	rfd, wfd := r.Fd(), w.Fd()
	var one [1]byte
	time1 := perCall(func() { unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) })
	time2 := perCall(func() {
		unix.RawSyscall(unix.SYS_WRITE, wfd, uintptr(unsafe.Pointer(&one[0])), 1)
		unix.RawSyscall(unix.SYS_READ, rfd, uintptr(unsafe.Pointer(&one[0])), 1)
	})
	_, err = fmt.Println(time1, time2)
	return err
}

func perCall(do func()) float64 {
	begun := time.Now()
	for range loopCalls {
		do()
	}
	return float64(time.Since(begun)) / loopCalls
}
