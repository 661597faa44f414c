package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
)

// firstContainerID is the first user id that the runtime gives to containers.
const firstContainerID = 1879048192

// Leftovers is all that a daemon with these folders has on the host at one
// moment, in a form that does not change with process ids: two of them are
// equal when nothing was left between.
type Leftovers struct {
	Processes  []string // command lines, shortened
	Strays     []string // processes with a container's user that are in no daemon's cgroup
	Cgroups    []string
	Mounts     []string // seen from the daemon's mount namespace
	Namespaces map[string]int
	Sockets    []string // listening under the folders
	Shims      []string // socket files of shims
	Snapshots  int      // layers in containerd, images included
	Containers []string // bundles of containerd, state folders of runc, folders of instances
}

// Snapshot lists what there is now.
func (d *Daemon) Snapshot() Leftovers {
	d.t.Helper()
	l := Leftovers{Namespaces: map[string]int{}}
	d.processes(&l)
	l.Cgroups = d.cgroups()
	l.Mounts = d.mounts()
	l.Sockets = d.sockets()
	l.Shims = d.shimSockets()
	run := d.Dirs.Run
	l.Snapshots = len(below(filepath.Join(d.Dirs.ContainerdDB(), "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*")))
	l.Containers = below(d.Dirs.Instances()+"/*", d.Dirs.Runc()+"/*/*", "/run/containerd/runc/"+d.Dirs.CgroupParent(),
		filepath.Join(run, "containerd", "state", "io.containerd.runtime.v2.task", "*", "*"),
		filepath.Join(d.Dirs.ContainerdDB(), "io.containerd.runtime.v2.task", "*", "*"))
	return l
}

// Goodbye bounds the wait for what ends by itself: a process that was killed, and
// has no memory any more, is in the list until its parent has taken note of it.
const Goodbye = 5 * time.Second

// NothingLeft waits for what ends by itself, then compares.
func (d *Daemon) NothingLeft(before Leftovers) {
	d.t.Helper()
	diff := ""
	for end := time.Now().Add(Goodbye); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if diff = cmp.Diff(before, d.Snapshot()); diff == "" {
			return
		}
	}
	d.t.Fatalf("something is left (-before +after):\n%s", diff)
}

func (d *Daemon) base() string { return filepath.Dir(d.Dir) }

// processes fills in the processes of the daemon and what namespaces they are in.
func (d *Daemon) processes(l *Leftovers) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		d.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, ours, stray := d.judge(pid)
		if stray {
			l.Strays = append(l.Strays, line)
		}
		if !ours {
			continue
		}
		l.Processes = append(l.Processes, line)
		for _, link := range namespaceLinks(pid) {
			if kind, _, _ := strings.Cut(link, ":"); !seen[link] {
				seen[link] = true
				l.Namespaces[kind]++
			}
		}
	}
	slices.Sort(l.Processes)
	slices.Sort(l.Strays)
}

// judge says whether a process is the daemon's, and whether it is a container's
// that is in no daemon's cgroup.
func (d *Daemon) judge(pid int) (line string, ours, stray bool) {
	dir := fmt.Sprintf("/proc/%d", pid)
	raw, _ := os.ReadFile(dir + "/cmdline")
	groups, _ := os.ReadFile(dir + "/cgroup")
	line = strings.ReplaceAll(strings.TrimSuffix(string(raw), "\x00"), "\x00", " ")
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return "", false, false
	}
	if line == "" { // it is dying, or the kernel's: what it is called, and how it is
		line = statusOf(dir)
	}
	parent := d.Dirs.CgroupParent()
	ours = strings.Contains(line, d.base()+"/") || strings.Contains(line, parent) || strings.Contains(string(groups), "/"+parent)
	stray = st.Uid >= firstContainerID && !strings.Contains(string(groups), "/mcprun")
	return line, ours, stray
}

// statusOf is a process's name, state and parent.
func statusOf(dir string) string {
	raw, _ := os.ReadFile(dir + "/status")
	var out []string
	for line := range strings.Lines(string(raw)) {
		for _, key := range []string{"Name:", "State:", "PPid:"} {
			if rest, ok := strings.CutPrefix(line, key); ok {
				out = append(out, strings.TrimSpace(rest))
			}
		}
	}
	return strings.Join(out, " ")
}

func namespaceLinks(pid int) []string {
	var out []string
	for _, n := range []string{"mnt", "net", "user", "pid", "ipc", "uts", "cgroup"} {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, n)); err == nil {
			out = append(out, link)
		}
	}
	return out
}

func (d *Daemon) cgroups() []string {
	var out []string
	filepath.Walk("/sys/fs/cgroup", func(path string, info os.FileInfo, err error) error {
		if err == nil && info.IsDir() && strings.Contains(path, "/"+d.Dirs.CgroupParent()) {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// mounts lists those under the test's folders, on the host and in the daemon's
// own mount namespace, where the containers' roots are.
func (d *Daemon) mounts() []string {
	out := d.mountsOf("self")
	if d.cmd != nil {
		out = append(out, d.mountsOf(strconv.Itoa(d.Pid()))...)
	}
	return out
}

func (d *Daemon) mountsOf(pid string) []string {
	raw, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], d.base()+"/") {
			out = append(out, f[4])
		}
	}
	return out
}

func (d *Daemon) sockets() []string {
	raw, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		d.t.Fatal(err)
	}
	const accepting = "00010000" // the flag of a listening socket, see net/unix/af_unix.c
	var out []string
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) > 7 && f[3] == accepting && strings.HasPrefix(f[7], d.base()+"/") {
			out = append(out, f[7])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var instanceField = regexp.MustCompile(`"instance":"([^"]+)"`)

// shimSockets lists the sockets of shims that containerd keeps in a folder shared
// with other containerds: those whose names instances of the record give.
func (d *Daemon) shimSockets() []string {
	var out []string
	for _, file := range below(filepath.Join(d.Dirs.Audit(), "*")) {
		raw, _ := os.ReadFile(file)
		for _, m := range instanceField.FindAllSubmatch(raw, -1) {
			sum := sha256.Sum256([]byte(filepath.Join(d.Dirs.Containerd(), "c.sock", d.Dirs.CgroupParent(), string(m[1]))))
			out = append(out, below("/run/containerd/s/"+hex.EncodeToString(sum[:]))...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func below(patterns ...string) []string {
	var out []string
	for _, p := range patterns {
		found, _ := filepath.Glob(p)
		out = append(out, found...)
	}
	return out
}

// Ended reports whether the daemon has ended by itself, without waiting for it.
func (d *Daemon) Ended() bool {
	if d.cmd == nil {
		return true
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(d.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	if err == nil && pid == d.cmd.Process.Pid {
		d.cmd = nil
	}
	return d.cmd == nil
}
