package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Use is what the processes of a cgroup use, and how often they ran into a limit. A
// maximum of 0 is one that the host does not count.
type Use struct {
	Memory, MemoryPeak, MemoryMax int64 // bytes; what the kernel can take back is not in Memory
	OOMKills                      int64 // processes that the kernel ended, since memory was used up
	Pids, PidsPeak, PidsMax       int64 // processes and threads
	PidsHits                      int64 // new ones that were refused
}

// Use reads the counters of path. Where it is gone the error is fs.ErrNotExist.
func (c Hierarchies) Use(path string) (Use, error) {
	memory, pids := c.find(path, "memory.oom_control", "memory.events"), c.find(path, "pids.events")
	if memory == "" || pids == "" {
		return Use{}, fmt.Errorf("reading the counters of %s: %w", path, fs.ErrNotExist)
	}
	u := Use{
		MemoryMax:  number(memory, "memory.limit_in_bytes", "memory.max"),
		MemoryPeak: number(memory, "memory.max_usage_in_bytes", "memory.peak"),
		Memory: max(0, number(memory, "memory.usage_in_bytes", "memory.current")-
			field(filepath.Join(memory, "memory.stat"), "inactive_file")),
		OOMKills: field(c.events(memory), "oom_kill"),
		Pids:     number(pids, "pids.current"), PidsPeak: number(pids, "pids.peak"), PidsMax: number(pids, "pids.max"),
		PidsHits: field(filepath.Join(pids, "pids.events"), "max"),
	}
	return u, nil
}

// CPUTime is how long the processes of path have run, in microseconds.
func (c Hierarchies) CPUTime(path string) (int64, error) {
	if dir := c.find(path, "cpuacct.usage"); dir != "" {
		return number(dir, "cpuacct.usage") / 1000, nil
	}
	if dir := c.find(path, "cpu.stat"); dir != "" {
		return field(filepath.Join(dir, "cpu.stat"), "usage_usec"), nil
	}
	return 0, fmt.Errorf("reading the processor time of %s: %w", path, fs.ErrNotExist)
}

// events is the file of a memory cgroup that counts what the kernel ended.
func (c Hierarchies) events(memory string) string {
	if c.controllers {
		return filepath.Join(memory, "memory.events")
	}
	return filepath.Join(memory, "memory.oom_control")
}

// find is the folder of path in the hierarchy that has one of the files; "" if none has.
func (c Hierarchies) find(path string, files ...string) string {
	for _, dir := range c.dirs(path) {
		for _, file := range files {
			if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
				return dir
			}
		}
	}
	return ""
}

// number reads the first of the files that is there; "max" and what is absent are 0.
func number(dir string, files ...string) int64 {
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}

// field reads one line of a file of names and numbers; what is absent is 0.
func field(file, name string) int64 {
	raw, _ := os.ReadFile(file)
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == name {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}
