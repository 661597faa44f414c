package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/preserve"
	"github.com/mcprun/mcprun/manifest"
)

// Evidence is what was seen of a container as it stood still, and what holds its files
// beyond its end: its memory file systems stay for as long as their roots are held open,
// its layer until Clean. The caller closes it.
type Evidence struct {
	Instance  string
	Spec      string // the container as it was asked for
	Processes []preserve.Process
	Sockets   []byte
	Trees     []*preserve.Tree
	Notes     []string // what could not be had
}

// Close lets go of the files.
func (e *Evidence) Close() {
	for _, t := range e.Trees {
		t.Root.Close()
	}
}

// Look has every process of the container stand still and takes down what there is. It
// never fails: what it could not do is in the notes. Processes stay frozen until Kill.
func (i *Instance) Look(ctx context.Context) *Evidence {
	e := &Evidence{Instance: i.ID, Spec: i.spec}
	if err := i.openTrees(e); err != nil { // first of all, as they are gone with the processes
		e.note("its files: %v", err)
	}
	if err := i.frozenOrder(i.freezeTasks); err != nil {
		e.note("its processes did not stand still: %v", err)
	}
	var left int
	e.Processes, left = preserve.Processes(ctx, i.rt.cgroups.Processes(i.cgroup), i.cgroup, i.IDBase)
	if left > 0 {
		e.note("%d processes are not described", left)
	}
	var sockets bytes.Buffer
	if err := preserve.Sockets(&sockets, i.pid); err != nil {
		e.note("its sockets: %v", err)
	}
	e.Sockets = sockets.Bytes()
	// What was found by the number of the first process is its own only if it has that
	// number still: else it may be anybody's on the host.
	if err := unix.PidfdSendSignal(i.pidfd, 0, nil, 0); err != nil {
		e.Close()
		e.Trees, e.Sockets = nil, nil
		e.note("its files and sockets: its processes had ended before they could be held")
	}
	return e
}

func (e *Evidence) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

// openTrees holds the roots of all that the server could write and that ends with it. The
// host's folders that were granted to it are not among them: they stay.
func (i *Instance) openTrees(e *Evidence) error {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", i.pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	if upper, err := upperDir(i.pid); err != nil {
		e.note("its layer: %v", err)
	} else if f, err := os.OpenFile(upper, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0); err != nil {
		e.note("its layer: %v", err)
	} else {
		e.Trees = append(e.Trees, &preserve.Tree{Name: "layer", Root: f, IDBase: i.IDBase})
	}
	for _, at := range i.tmpfs {
		f, err := openTmpfs(root, at)
		if err != nil {
			e.note("%s: %v", at, err)
			continue
		}
		e.Trees = append(e.Trees, &preserve.Tree{Name: strings.TrimPrefix(path.Clean(at), "/"), Root: f, IDBase: i.IDBase})
	}
	return nil
}

// tmpfsOf is where a server has file systems in memory that it can write.
func tmpfsOf(m *manifest.Server) []string {
	out := []string{"/tmp", "/dev/shm"}
	for _, f := range m.Files {
		if f.Tmpfs {
			out = append(out, f.To)
		}
	}
	return out
}

// openTmpfs opens the root of a file system in memory, seen from the container's root: what
// stands there instead, since a link of the image leads elsewhere, is not taken for one.
func openTmpfs(root *os.File, at string) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), at, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), at)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		f.Close()
		return nil, errors.New("there is no file system in memory")
	}
	return f, nil
}

// upperDir is the folder on the host that holds what differs from the image, out of the
// mount of a process's root: containerd is not asked, since it may hang.
func upperDir(pid int) (string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		at, how := strings.Fields(before), strings.Fields(after)
		if !ok || len(at) < 5 || at[4] != "/" || len(how) < 3 || how[0] != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(how[2], ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok && path.IsAbs(dir) {
				return unescape(dir), nil
			}
		}
	}
	return "", fmt.Errorf("no overlay is mounted at its root")
}

// unescape undoes how the kernel writes blanks in mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
