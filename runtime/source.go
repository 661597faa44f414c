package runtime

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxGrantEntries bounds the walk through a granted folder for sockets and
// devices: a large repository has some hundred thousand files, and the walk reads names only.
const maxGrantEntries = 1_000_000

// heldSource is a granted path held open, so that what was mounted can be
// compared with what was checked.
type heldSource struct {
	Source
	to   string // where the server sees it
	file *os.File
}

// checkMounted compares what stands at each mount in a container, before its
// first instruction, with what was checked: between the two, somebody may have
// put another file or a link at the path.
func checkMounted(pid int, sources []*heldSource) error {
	for _, s := range sources {
		var want, got unix.Stat_t
		if err := unix.Fstat(int(s.file.Fd()), &want); err != nil {
			return fmt.Errorf("looking at %s again: %w", s.Path, err)
		}
		if err := unix.Lstat(fmt.Sprintf("/proc/%d/root%s", pid, s.to), &got); err != nil {
			return fmt.Errorf("looking at the mount %s: %w", s.to, err)
		}
		if got.Dev != want.Dev || got.Ino != want.Ino {
			return fmt.Errorf("%s was swapped for something else while the container was built; nothing was started", s.Path)
		}
	}
	return nil
}

// openSource checks one granted path. Symbolic links on the way are refused: a
// server that may write one granted folder could otherwise point the next mount
// of a folder below it anywhere.
//
// It does not protect against sockets that a program of the host puts into the
// folder later.
func openSource(path string) (*heldSource, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err == unix.ELOOP {
		if real, rerr := filepath.EvalSymlinks(path); rerr == nil {
			return nil, fmt.Errorf("%s leads through a symbolic link; write the real path: %s", path, real)
		}
		return nil, fmt.Errorf("%s leads through a symbolic link", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = findSpecial(path)
	case unix.S_IFREG:
	default:
		err = fmt.Errorf("%s is neither a folder nor a file; sockets, devices and pipes are never mounted", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &heldSource{file: f, Source: Source{Path: path, UID: st.Uid, GID: st.Gid}}, nil
}

// findSpecial refuses a folder that holds a socket or a device: mount options
// do not stop a server from connecting to a socket that it can see.
func findSpecial(dir string) error {
	n := 0
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if n++; n > maxGrantEntries {
			return fmt.Errorf("%s holds more than %d files, too many to check; grant a smaller folder", dir, maxGrantEntries)
		}
		if d.Type()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
			return fmt.Errorf("%s holds a socket, device or pipe: %s; move it, or grant a smaller folder", dir, path)
		}
		return nil
	})
}
