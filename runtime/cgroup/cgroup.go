// Package cgroup finds, kills and removes control groups. Everything that
// differs between hosts with cgroup v1, v2 and both stands here. It works
// without the daemon, which mcprun kill --all needs.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Hierarchies is where a host keeps its control groups. Everything that differs
// between v1, hybrid and v2 hosts stands in this file.
type Hierarchies struct {
	v2          string   // the v2 hierarchy; "" on a host with v1 alone
	v1          []string // the v1 hierarchies
	controllers bool     // v2 has the controllers: a host with v2 alone
}

// Find reads the mount table.
func Find() (Hierarchies, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Hierarchies{}, fmt.Errorf("finding cgroups: %w", err)
	}
	defer f.Close()
	var c Hierarchies
	for sc := bufio.NewScanner(f); sc.Scan(); {
		left, right, _ := strings.Cut(sc.Text(), " - ")
		fields := strings.Fields(left)
		if len(fields) < 5 {
			continue
		}
		switch fstype, _, _ := strings.Cut(right, " "); fstype {
		case "cgroup2":
			c.v2 = fields[4]
		case "cgroup":
			c.v1 = append(c.v1, fields[4])
		}
	}
	c.controllers = c.v2 != "" && len(c.v1) == 0
	if c.v2 == "" && len(c.v1) == 0 {
		return c, errors.New("no cgroup hierarchy is mounted; mount one at /sys/fs/cgroup")
	}
	return c, nil
}

// String names the kind of host as mcprun doctor shows it.
func (c Hierarchies) String() string {
	switch {
	case c.controllers:
		return "v2"
	case c.v2 != "":
		return "hybrid (v1 controllers, v2 for killing)"
	}
	return "v1"
}

// dirs are all folders of the cgroup path, one a hierarchy.
func (c Hierarchies) dirs(path string) []string {
	var out []string
	for _, root := range append([]string{c.v2}, c.v1...) {
		if root != "" {
			out = append(out, filepath.Join(root, path))
		}
	}
	return out
}

// Adopt puts a process, and so all that it will start, under the v2 cgroup at
// path. On a v2 host runc has done so; on a hybrid one nobody else does.
func (c Hierarchies) Adopt(path string, pid int) error {
	if c.v2 == "" || c.controllers {
		return nil
	}
	dir := filepath.Join(c.v2, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("moving the container into its cgroup: %w", err)
	}
	return nil
}

// Kill sends SIGKILL to every process below path, at once where the kernel has
// cgroup.kill, else one by one until none is left. It asks nobody's leave: no
// daemon and no containerd take part.
func (c Hierarchies) Kill(path string) error {
	if c.v2 != "" {
		err := os.WriteFile(filepath.Join(c.v2, path, "cgroup.kill"), []byte("1"), 0)
		if err == nil || errors.Is(err, fs.ErrNotExist) && !c.exists(path) {
			c.thaw(path)
			return nil
		}
	}
	defer c.thaw(path) // a task frozen by the v1 freezer does not die until thawed, and then does nothing else first
	for _, pid := range c.Processes(path) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("killing process %d: %w", pid, err)
		}
	}
	return nil
}

func (c Hierarchies) exists(path string) bool {
	for _, dir := range c.dirs(path) {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// thaw wakes what freezers hold at and below path, after it was killed; absent files mean
// nothing is frozen. With v2 nothing wakes that way, but runc takes the container for
// paused and does not remove it.
func (c Hierarchies) thaw(path string) {
	for _, dir := range c.dirs(path) {
		for file, word := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			if unix.Access(filepath.Join(dir, file), unix.F_OK) != nil {
				continue // another controller's
			}
			filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				if err == nil && d.Name() == file {
					os.WriteFile(p, []byte(word), 0)
				}
				return nil
			})
		}
	}
}

// Processes lists the processes below path in any hierarchy.
func (c Hierarchies) Processes(path string) []int {
	seen := make(map[int]bool)
	var out []int
	for _, dir := range c.dirs(path) {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			raw, _ := os.ReadFile(p)
			for _, field := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !seen[pid] {
					seen[pid] = true
					out = append(out, pid)
				}
			}
			return nil
		})
	}
	return out
}

// killEach kills what the v2 hierarchy alone cannot be told to: a runtime may have put a
// process into the others only, when it was ended in the middle of making a container.
func (c Hierarchies) killEach(left []int) {
	for _, pid := range left {
		unix.Kill(pid, unix.SIGKILL) // what it did not end is still listed the next time
	}
}

// KillAll kills below path until nothing is left there or the deadline is over.
func (c Hierarchies) KillAll(path string, deadline time.Duration) error {
	end := time.Now().Add(deadline)
	for {
		if err := c.Kill(path); err != nil {
			return err
		}
		left := c.Processes(path)
		if len(left) == 0 {
			return nil
		}
		if c.v2 != "" {
			c.killEach(left)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes are still there after %v, the first is %d", len(left), deadline, left[0])
		}
		time.Sleep(time.Millisecond)
	}
}

// Remove deletes the empty cgroups at and below path in every hierarchy.
func (c Hierarchies) Remove(path string) error {
	var errs []error
	for _, dir := range c.dirs(path) {
		if err := removeTree(dir); err != nil {
			errs = append(errs, fmt.Errorf("removing a cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	// The kernel lets go of a dead process a moment after it was seen gone.
	for range 50 {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return err
}
