package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reconcileDeadline bounds the clean-up of an earlier life.
const reconcileDeadline = 5 * time.Second

// reconcileHost removes what an earlier life of the daemon left on the host,
// without containerd: processes first, then what they held.
func (r *Runtime) reconcileHost() error {
	if err := r.cgroups.KillAll(r.parent(), reconcileDeadline); err != nil {
		return err
	}
	if err := r.killStrays(); err != nil {
		return err
	}
	// A runc that was at work may have put one more process there before it ended.
	if err := r.cgroups.KillAll(r.parent(), reconcileDeadline); err != nil {
		return err
	}
	if err := r.cgroups.Remove(r.parent()); err != nil {
		return err
	}
	if r.opts.Containerd != "" {
		return errors.Join(os.RemoveAll(r.opts.Dirs.Instances()), os.RemoveAll(r.opts.Dirs.Runc()))
	}
	return errors.Join(r.dropShimSockets(), unmountBelow(r.opts.Dirs.Run), unmountBelow(r.opts.Dirs.ContainerdDB()),
		os.RemoveAll(r.opts.Dirs.Instances()), os.RemoveAll(r.opts.Dirs.Runc()), os.RemoveAll(r.opts.Dirs.Containerd()),
		os.RemoveAll(filepath.Join(r.opts.Dirs.ContainerdDB(), "io.containerd.runtime.v2.task"))) // its working folders of tasks
}

// shimSockets is where containerd puts its shims' sockets, whatever its
// configuration says; a shim that was killed leaves its own behind.
const shimSockets = "/run/containerd/s"

// dropShimSockets removes the sockets of an earlier life's shims. The folder is
// shared with other containerds, so only names that ours can have are touched:
// see CreateSocketAddress in containerd's pkg/shim.
func (r *Runtime) dropShimSockets() error {
	instances, err := os.ReadDir(r.opts.Dirs.Instances())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, i := range instances {
		sum := sha256.Sum256([]byte(filepath.Join(privateAddress(r.opts.Dirs), r.opts.Dirs.CgroupParent(), i.Name())))
		if err := os.Remove(filepath.Join(shimSockets, hex.EncodeToString(sum[:]))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a shim's socket: %w", err)
		}
	}
	return nil
}

// killStrays ends the containerd, the shims and the runcs of an earlier life. They are
// known by their command line, which names our own state folder, and by being
// root's: a server cannot pose as one, its processes are of another user.
func (r *Runtime) killStrays() error {
	end := time.Now().Add(reconcileDeadline)
	for {
		strays := r.strays()
		if len(strays) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d of an earlier life does not end", strays[0])
		}
		for _, pid := range strays {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("ending process %d of an earlier life: %w", pid, err)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r *Runtime) strays() []int {
	entries, _ := os.ReadDir("/proc")
	state := r.opts.Dirs.Containerd() + "/"
	namespace := r.opts.Dirs.CgroupParent()
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(raw) == 0 {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", e.Name()), &st) != nil || st.Uid != 0 {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		if isStray(args, state, r.opts.Dirs.Runc()+"/", namespace) {
			out = append(out, pid)
		}
	}
	return out
}

// isStray recognises "containerd --config STATE/…", "runc --root RUNC/…" and
// "containerd-shim-runc-v2 -namespace NS … -address STATE/…".
func isStray(args []string, state, runc, namespace string) bool {
	name := filepath.Base(args[0])
	for i, a := range args[1:] {
		if name == "containerd" && args[i] == "--config" && strings.HasPrefix(a, state) {
			return true
		}
		if isStarter(name) && args[i] == "--root" && strings.HasPrefix(a, runc) {
			return true
		}
		if name == "containerd-shim-runc-v2" && args[i] == "-address" && strings.HasPrefix(a, state) && slices.Contains(args, namespace) {
			return true
		}
	}
	return false
}

// unmountBelow takes away mounts under dir, the newest first.
func unmountBelow(dir string) error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading mounts: %w", err)
	}
	lines := strings.Split(string(raw), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], dir+"/") {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting %s: %w", fields[4], err)
		}
	}
	return nil
}
