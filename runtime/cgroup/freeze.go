package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// freezeDeadline bounds the wait for the last process to stand still: the kernel
	// stops those that run within a millisecond, but one in an uninterruptible wait
	// (a slow disk) only when that is over.
	freezeDeadline = 2 * time.Second
	// freezeLook is between two looks whether all stand still.
	freezeLook = 200 * time.Microsecond
)

// ErrNotFrozen means that some process of the cgroup could not be brought to stand
// still. None of them is held then.
var ErrNotFrozen = errors.New("not every process could be frozen")

// Freeze stops every process below path where it stands and returns when all do. A
// frozen process uses no processor and answers nothing, keeps its memory, and can
// still be killed: see Kill, which thaws it. give says that it is no longer
// wanted; it may be nil.
//
// It holds no process that leaves the cgroup: what runs in our containers cannot.
func (c Hierarchies) Freeze(path string, give <-chan struct{}) error {
	f := c.freezer(path)
	err := f.set(true)
	for end := time.Now().Add(freezeDeadline); err == nil; {
		var all bool
		if all, err = f.frozen(); all || err != nil {
			break
		}
		select {
		case <-give:
			err = fmt.Errorf("%w: it was not wanted any more", ErrNotFrozen)
		case <-time.After(freezeLook):
			if time.Now().After(end) {
				err = fmt.Errorf("%w within %v", ErrNotFrozen, freezeDeadline)
			}
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("freezing: %w", errors.Join(err, c.Thaw(path)))
}

// Thaw lets the processes below path go on. What is not frozen, or not there, stays
// as it is.
func (c Hierarchies) Thaw(path string) error {
	if err := c.freezer(path).set(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("thawing: %w", err)
	}
	return nil
}

// Frozen reports whether every process below path stands still.
func (c Hierarchies) Frozen(path string) bool {
	all, err := c.freezer(path).frozen()
	return err == nil && all
}

// freezer is the pair of files that holds the processes of one cgroup.
type freezer struct {
	control   string // written to
	freeze    string
	thaw      string
	state     string // read from
	allFrozen []byte // stands in state when all do
}

// freezer is that of the v2 hierarchy where there is one, on a hybrid host too: a
// task that it holds dies of SIGKILL, which one held by the v1 freezer does not.
func (c Hierarchies) freezer(path string) freezer {
	if c.v2 != "" {
		dir := filepath.Join(c.v2, path)
		return freezer{filepath.Join(dir, "cgroup.freeze"), "1", "0", filepath.Join(dir, "cgroup.events"), []byte("frozen 1")}
	}
	for _, root := range c.v1 {
		file := filepath.Join(root, path, "freezer.state")
		if _, err := os.Stat(file); err == nil {
			return freezer{file, "FROZEN", "THAWED", file, []byte("FROZEN")}
		}
	}
	return freezer{}
}

func (f freezer) set(frozen bool) error {
	if f.control == "" {
		return fmt.Errorf("this host has no cgroup freezer for it: %w", fs.ErrNotExist)
	}
	word := f.thaw
	if frozen {
		word = f.freeze
	}
	return os.WriteFile(f.control, []byte(word), 0)
}

func (f freezer) frozen() (bool, error) {
	if f.state == "" {
		return false, nil
	}
	raw, err := os.ReadFile(f.state) // the v1 freezer goes on from FREEZING when it is read
	if err != nil {
		return false, err
	}
	for line := range bytes.Lines(raw) {
		if bytes.Equal(bytes.TrimSpace(line), f.allFrozen) {
			return true, nil
		}
	}
	return false, nil
}
