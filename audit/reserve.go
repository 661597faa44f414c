package audit

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reserveFile holds disk space that a kill may use when there is no other.
const reserveFile = "reserve"

// defaultReserve is the space kept back: some 2000 kills, or 16 records of the
// largest size.
const defaultReserve = 1 << 20

type reserve struct {
	f    *os.File
	size int64
	full bool // the space is there
}

// openReserve opens the file and fills it if it can: a daemon that starts on a
// full disk runs without, and refuses plain records until there is one.
func openReserve(dir string, size int64) (*reserve, error) {
	f, err := openFile(dir, reserveFile, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	r := &reserve{f: f, size: size}
	if err := r.fill(); err != nil && !errors.Is(err, ErrNoSpace) {
		f.Close()
		return nil, err
	}
	return r, nil
}

// fill takes the space back; all of it or none.
func (r *reserve) fill() error {
	if r.full {
		return nil
	}
	if err := noSpace(unix.Fallocate(int(r.f.Fd()), 0, 0, r.size)); err != nil {
		if terr := r.f.Truncate(0); terr != nil {
			return fmt.Errorf("giving back part of the reserve: %v", terr)
		}
		return fmt.Errorf("filling the reserve: %w", err)
	}
	r.full = true
	return nil
}

// free gives the space to whoever writes next; the caller holds the log's lock.
func (r *reserve) free() error {
	if err := r.f.Truncate(0); err != nil {
		return fmt.Errorf("freeing the reserve: %w", err)
	}
	r.full = false
	return nil
}
