package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// maxFile is when a new file begins: a week of a busy workstation, and
	// small enough that recovery reads the last one in under a second.
	maxFile = 64 << 20

	dirMode  = 0o700
	fileMode = 0o600
)

func fileName(index int) string { return fmt.Sprintf("audit-%08d.jsonl", index) }

// logFiles returns the indexes of the log files in dir, ascending.
func logFiles(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the audit log: %w", err)
	}
	var out []int
	for _, e := range entries {
		var i int
		if _, err := fmt.Sscanf(e.Name(), "audit-%d.jsonl", &i); err == nil && e.Name() == fileName(i) && i > 0 {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out, nil
}

// makePrivateDir makes dir if need be, and refuses one that others may enter.
func makePrivateDir(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be entered by others (mode %v); chmod 700 it", dir, st.Mode().Perm())
	}
	return nil
}

// openFile opens a file of the log's folder. O_NOFOLLOW: nothing of ours is a
// link, so a link is somebody's attempt to have us write elsewhere.
func openFile(dir, name string, flags int) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), flags|unix.O_NOFOLLOW, fileMode)
}

// syncDir makes the creation of files in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// datasync makes what was written to f survive a power cut.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// lockDir makes the caller the only one who has the log open, until it closes
// the file.
func lockDir(dir string) (*os.File, error) {
	f, err := openFile(dir, "lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

// appendFile is a file that grows by whole pieces: a piece that does not fit is
// taken back.
type appendFile struct {
	f    *os.File
	size int64
}

// openAppend opens an existing file of the log's folder at its end.
func openAppend(dir, name string, flags int) (appendFile, error) {
	f, err := openFile(dir, name, os.O_RDWR|os.O_APPEND|flags)
	if err != nil {
		return appendFile{}, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return appendFile{}, err
	}
	return appendFile{f: f, size: st.Size()}, nil
}

// write appends b. After an error that is ErrNoSpace the file is as before;
// after any other its end is unknown.
func (a *appendFile) write(b []byte) error {
	n, err := a.f.Write(b)
	if err == nil {
		a.size += int64(n)
		return nil
	}
	if n > 0 {
		if terr := a.f.Truncate(a.size); terr != nil {
			// %v: a full disk ends by itself, this does not.
			return fmt.Errorf("taking back %d bytes of a write cut by %q: %v", n, err, terr)
		}
	}
	return noSpace(err)
}

// noSpace marks the errors of a full disk, so that callers can tell them.
func noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
