package preserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is one folder of a container with all that is in it.
type Tree struct {
	Name string   // "layer", "tmp", "dev/shm"
	Root *os.File // of the folder itself; it may be opened for its path alone (O_PATH)
	// IDBase is the host's user id that is 0 in the container.
	IDBase uint32
}

// Entry is one line of the list: what a file was, and what became of it.
type Entry struct {
	Path     string     `json:"path"` // below the tree's name; as Plain writes it
	Type     string     `json:"type"`
	Mode     string     `json:"mode"` // octal, with setuid, setgid and sticky
	UID      int64      `json:"uid"`  // in the container
	GID      int64      `json:"gid"`
	Size     int64      `json:"size"`
	OnDisk   int64      `json:"onDisk,omitempty"` // less than size where a file has holes
	Links    uint64     `json:"links,omitempty"`
	Modified time.Time  `json:"modified"`
	Accessed time.Time  `json:"accessed"`
	Changed  time.Time  `json:"changed"`
	Target   string     `json:"target,omitempty"`  // of a symbolic link; never followed
	Device   string     `json:"device,omitempty"`  // of a device; never opened
	Kept     string     `json:"kept,omitempty"`    // its name in the archive
	Extents  [][2]int64 `json:"extents,omitempty"` // of one with holes: where in it what is kept stood, and how long
	Digest   string     `json:"digest,omitempty"`  // of what is kept
	Left     string     `json:"left,omitempty"`    // why it, or what is in it, is not kept whole

	tree  *Tree
	path  string // as the kernel has it, below the tree's root
	inode uint64
	depth int
}

// List is what was found in some trees.
type List struct {
	Entries []*Entry
	// Unseen counts names that were found and not looked at, for each tree that has
	// such; what is below them was not even found.
	Unseen map[string]int
	Notes  []string // what else could not be looked at
}

// Missing says in a few lines what is not kept; each entry says why.
func (l *List) Missing() (out []string) {
	type sum struct{ files, of, bytes int64 }
	sums, order := map[string]*sum{}, []string{}
	for _, e := range l.Entries {
		name := e.tree.Name
		if sums[name] == nil {
			sums[name], order = &sum{}, append(order, name)
		}
		if e.Type != "file" {
			continue
		}
		sums[name].of++
		if e.Left != "" {
			sums[name].files, sums[name].bytes = sums[name].files+1, sums[name].bytes+e.bytes()
		}
	}
	for _, name := range order {
		if s := sums[name]; s.files > 0 {
			out = append(out, fmt.Sprintf("%s: %d of %d files are not kept whole, of %d bytes; files.jsonl says why", name, s.files, s.of, s.bytes))
		}
		if n := l.Unseen[name]; n > 0 {
			out = append(out, fmt.Sprintf("%s: %d more names were not looked at, over the bound of %d", name, n, MaxEntries))
		}
	}
	if n := len(l.Notes); n > maxNotes {
		return append(append(out, l.Notes[:maxNotes]...), fmt.Sprintf("and %d more like these", n-maxNotes))
	}
	return append(out, l.Notes...)
}

// maxNotes bounds what is said one by one.
const maxNotes = 10

// beneath is how everything is opened: one way down, over no link and no mount.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

func (t *Tree) open(path string, flags int) (*os.File, error) {
	if path == "" {
		path = "."
	}
	fd, err := unix.Openat2(int(t.Root.Fd()), path, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: beneath})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Look lists a tree, the folders nearest to its root first.
func (l *List) Look(ctx context.Context, t *Tree) {
	folders := []*Entry{{tree: t}}
	seen := 0
	for len(folders) > 0 {
		at := folders[0]
		folders = folders[1:]
		found, unseen, err := t.look(ctx, at, MaxEntries-seen)
		seen += len(found)
		l.Entries = append(l.Entries, found...)
		if unseen > 0 {
			l.miss(t.Name, unseen)
		}
		if err != nil {
			l.Notes = append(l.Notes, fmt.Sprintf("%s: %v", Plain(path.Join(t.Name, at.path)), err))
			at.Left = err.Error()
		}
		if over(ctx) != nil {
			return
		}
		for _, e := range found {
			switch {
			case e.Type != "folder":
			case e.depth >= MaxDepth:
				e.Left = fmt.Sprintf("deeper than %d folders: what is in it was not looked at", MaxDepth)
				l.Notes = append(l.Notes, e.Path+": "+e.Left)
			default:
				folders = append(folders, e)
			}
		}
	}
}

func (l *List) miss(tree string, n int) {
	if l.Unseen == nil {
		l.Unseen = map[string]int{}
	}
	l.Unseen[tree] += n
}

// look lists one folder: at most room entries, and how many names there are beyond.
func (t *Tree) look(ctx context.Context, at *Entry, room int) (found []*Entry, unseen int, err error) {
	dir, err := t.open(at.path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	for {
		if err := over(ctx); err != nil {
			return found, unseen, err
		}
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if len(found) >= room {
				unseen++
				continue
			}
			if e := t.entry(dir, at, name); e != nil {
				found = append(found, e)
			}
		}
		if errors.Is(err, io.EOF) {
			return found, unseen, nil
		}
		if err != nil {
			return found, unseen, err
		}
	}
}

var kinds = map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "folder", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket", unix.S_IFCHR: "device", unix.S_IFBLK: "device"}

// entry describes one name of a folder, without opening it; nil if it is gone.
func (t *Tree) entry(dir *os.File, at *Entry, name string) *Entry {
	var st unix.Stat_t
	if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil
	}
	full := path.Join(at.path, name)
	e := &Entry{Path: Plain(path.Join(t.Name, full)), Type: kinds[st.Mode&unix.S_IFMT], Mode: fmt.Sprintf("%04o", st.Mode&0o7777), UID: t.inside(st.Uid), GID: t.inside(st.Gid),
		Size: st.Size, OnDisk: st.Blocks * 512, Links: uint64(st.Nlink), Modified: stamp(st.Mtim), Accessed: stamp(st.Atim), Changed: stamp(st.Ctim),
		tree: t, path: full, inode: st.Ino, depth: at.depth + 1}
	switch e.Type {
	case "link":
		target := make([]byte, unix.PathMax)
		if n, err := unix.Readlinkat(int(dir.Fd()), name, target); err == nil {
			e.Target = Plain(string(target[:n]))
		}
	case "device":
		e.Device = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		if st.Rdev == 0 && st.Mode&unix.S_IFMT == unix.S_IFCHR {
			e.Type = "removed" // how overlayfs says that a file of the image is gone
		}
	}
	return e
}

// inside is a user of the host as the container has it; others are negative.
func (t *Tree) inside(id uint32) int64 {
	if n := int64(id) - int64(t.IDBase); n >= 0 && n < 1<<16 {
		return n
	}
	return -1 - int64(id)
}

func stamp(t unix.Timespec) time.Time { return time.Unix(t.Unix()).UTC() }
