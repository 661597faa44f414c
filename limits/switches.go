// Package limits holds what stops calls whatever policy says of them: kill switches,
// and a Limiter that counts rates, calls at the same time, loops and budgets.
//
// Nothing here knows what time it is or what a call does: the caller says both, and
// what it does not tell is not counted. Calls are counted, not judged: a budget keeps
// a runaway client from doing much, not from doing one thing that matters.
//
// A switch that is thrown denies from the next message on, is written to disk,
// and stays thrown across crashes and reboots until it is revived. Switches say
// no; ending processes is the runtime's part.
package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mcprun/mcprun/internal/failpoint"
)

// Kill is one thrown switch.
type Kill struct {
	Target
	Who  string    `json:"who"`
	Why  string    `json:"why"`
	When time.Time `json:"when"`
	Way  string    `json:"way,omitempty"` // how it was thrown: by a command, a file, a signal …
}

// Switches is the set of thrown switches. Check takes no lock.
type Switches struct {
	dir string
	mu  sync.Mutex
	cur atomic.Pointer[thrown]
	// unsaved are those that could not be written yet, by file name.
	unsaved map[string]Kill
}

// thrown is immutable; the generation grows with every change.
type thrown struct {
	generation uint64
	kills      map[string]Kill // by file name
}

// OpenSwitches reads the thrown switches from dir, making it if it is not there.
// A file that cannot be read is an error: it may be a switch.
func OpenSwitches(dir string) (*Switches, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the kill switches: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the kill switches: %w", err)
	}
	t := &thrown{kills: make(map[string]Kill)}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // a write that was cut off: see write
		}
		path := filepath.Join(dir, e.Name())
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a kill switch: %w", err)
		}
		var k Kill
		if err := json.Unmarshal(raw, &k); err != nil || k.file() != e.Name() || k.Valid() != nil {
			return nil, fmt.Errorf("kill switch %s is damaged; look at it, then remove it, and mcprun revive what it stopped", path)
		}
		t.kills[e.Name()] = k
	}
	makeReserve(dir)
	s := &Switches{dir: dir, unsaved: map[string]Kill{}}
	s.cur.Store(t)
	return s, nil
}

const (
	// reserveFile is disk space that a switch may use when there is no other: what a kill
	// stopped must not come back since the disk was full.
	reserveFile = "reserve"
	// reserveSize is the space of a dozen switches; each is written in a block of its own.
	reserveSize = 64 << 10
)

// makeReserve makes the reserve where there is none, if there is space for it.
func makeReserve(dir string) {
	path := filepath.Join(dir, reserveFile)
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := os.WriteFile(path, make([]byte, reserveSize), 0o600); err != nil {
		os.Remove(path)
	}
}

// Check returns the widest thrown switch that stops a subject; ok is false where none
// does.
func (s *Switches) Check(q Subject) (k Kill, ok bool) {
	t := s.cur.Load()
	if len(t.kills) == 0 {
		return Kill{}, false
	}
	for _, one := range q.targets() {
		if k, ok = t.kills[one.file()]; ok {
			return k, true
		}
	}
	return Kill{}, false
}

// Thrown returns the switch with exactly this target, if it is thrown.
func (s *Switches) Thrown(t Target) (k Kill, ok bool) {
	k, ok = s.cur.Load().kills[t.file()]
	return k, ok
}

// Reread takes over the switches that were thrown on disk by others: "mcprun
// kill --all" does so when the daemon does not answer. It takes none back.
func (s *Switches) Reread() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	disk, err := OpenSwitches(s.dir)
	if err != nil {
		return err
	}
	found := disk.cur.Load().kills
	s.change(func(m map[string]Kill) {
		for f, k := range found {
			// One on disk that is older was thrown again since, and is being written.
			if has, ok := m[f]; !ok || k.When.After(has.When) {
				m[f] = k
			}
		}
	})
	return nil
}

// Deny throws a switch in memory: the first step of a kill, which cannot fail.
func (s *Switches) Deny(k Kill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(m map[string]Kill) { m[k.file()] = k })
}

// Persist writes a switch to disk, so that it stays thrown. It returns when the
// file is durable. What could not be written is written by Retry.
func (s *Switches) Persist(k Kill) error {
	err := Write(s.dir, k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.unsaved[k.file()] = k
	} else if s.unsaved[k.file()].When.Equal(k.When) {
		delete(s.unsaved, k.file())
	}
	return err
}

// Retry writes the switches that could not be written, if they are thrown still, and
// reports how many it wrote. One that is revived at this very moment may be on disk again
// afterwards, and then holds at the next start: the safe side.
func (s *Switches) Retry() (written int, err error) {
	s.mu.Lock()
	var left []Kill
	for file, k := range s.unsaved {
		if now, ok := s.cur.Load().kills[file]; ok && now.When.Equal(k.When) {
			left = append(left, k)
		} else {
			delete(s.unsaved, file)
		}
	}
	s.mu.Unlock()
	for _, k := range left {
		if one := s.Persist(k); one != nil {
			err = errors.Join(err, one)
		} else {
			written++
		}
	}
	return written, err
}

// Write puts a switch into a folder of switches without a daemon: what
// "mcprun kill --all" does when no daemon answers. It returns when it is durable. On a
// full disk it uses up the reserve.
func Write(dir string, k Kill) error {
	err := write(dir, k)
	if errors.Is(err, syscall.ENOSPC) && os.Remove(filepath.Join(dir, reserveFile)) == nil {
		err = write(dir, k)
	}
	return err
}

func write(dir string, k Kill) error {
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the kill switch: %w", err)
	}
	tmp := filepath.Join(dir, k.file()+".part")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing the kill switch: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	failpoint.Hit("limits.switch-written")
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, k.file()))
	}
	failpoint.Hit("limits.switch-named")
	if err == nil {
		err = syncDir(dir)
	} else {
		os.Remove(tmp)
	}
	if err != nil {
		return fmt.Errorf("writing the kill switch: %w", err)
	}
	return nil
}

// Revive takes back exactly this switch, and none that was thrown since for the same
// target.
func (s *Switches) Revive(k Kill) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, ok := s.cur.Load().kills[k.file()]
	switch {
	case !ok:
		return fmt.Errorf("%s is not killed", k.Target)
	case !has.When.Equal(k.When):
		return fmt.Errorf("%s was killed again meanwhile, by %s: %s", k.Target, has.Who, has.Why)
	}
	if err := os.Remove(filepath.Join(s.dir, k.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reviving %s: %w", k.Target, err)
	}
	failpoint.Hit("limits.switch-removed")
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("reviving %s: %w", k.Target, err)
	}
	s.change(func(m map[string]Kill) { delete(m, k.file()) })
	return nil
}

// All lists the thrown switches, the widest and then the oldest first.
func (s *Switches) All() []Kill {
	var out []Kill
	for _, k := range s.cur.Load().kills {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Kill) int { return strings.Compare(a.file(), b.file()) })
	return out
}

// Generation grows with every change of a switch.
func (s *Switches) Generation() uint64 { return s.cur.Load().generation }

// change replaces the set by a changed copy; the caller holds mu.
func (s *Switches) change(edit func(map[string]Kill)) {
	old := s.cur.Load()
	next := &thrown{generation: old.generation + 1, kills: make(map[string]Kill, len(old.kills)+1)}
	for f, k := range old.kills {
		next.kills[f] = k
	}
	edit(next.kills)
	s.cur.Store(next)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
