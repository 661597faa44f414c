package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// errAbsent is for a host, or a cgroup, without the controller.
var errAbsent = errors.New("the host has no such controller, or the cgroup is gone")

// SetMemory bounds memory and swap together, as at the start of a container. The kernel
// refuses on v1 what is less than what is used; on v2 it ends processes until it fits,
// so look before.
func (c Hierarchies) SetMemory(path string, bytes int64) error {
	if c.controllers {
		return c.set(path, "memory.max", bytes)
	}
	// memory.memsw can never be less than memory: which goes first depends on the way.
	first, second := "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"
	if dir := c.find(path, second); bytes < number(dir, second) {
		first, second = second, first
	}
	return errors.Join(c.set(path, first, bytes), c.set(path, second, bytes))
}

// SetCPU bounds processor time: quota of each period, both in microseconds.
func (c Hierarchies) SetCPU(path string, quota, period int64) error {
	if c.controllers {
		return c.write(path, "cpu.max", fmt.Sprintf("%d %d", quota, period))
	}
	return errors.Join(c.set(path, "cpu.cfs_period_us", period), c.set(path, "cpu.cfs_quota_us", quota))
}

// SetPids bounds processes and threads. Those that are there stay, whatever n is.
func (c Hierarchies) SetPids(path string, n int64) error { return c.set(path, "pids.max", n) }

func (c Hierarchies) set(path, file string, n int64) error {
	return c.write(path, file, strconv.FormatInt(n, 10))
}

func (c Hierarchies) write(path, file, text string) error {
	dir := c.find(path, file)
	if dir == "" {
		return fmt.Errorf("setting %s: %w", file, errAbsent)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
		return fmt.Errorf("setting %s: %w", file, err)
	}
	return nil
}
