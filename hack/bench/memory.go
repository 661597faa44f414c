package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	idleServers = 10
	mib         = 1 << 20
	settle      = 2 * time.Second // for collectors to give back what starts used
)

// memory counts proportional set sizes: pages that programs share count once.
func memory(b *bench, r *report) error {
	progress("memory of %d idle servers", idleServers)
	s := b.gosdk()
	for n := range idleServers {
		s.name = fmt.Sprintf("idle-%d", n)
		if err := b.lock(s); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	alone := b.pss(b.host)
	for n := range idleServers {
		s.name = fmt.Sprintf("idle-%d", n)
		if err := b.start(s); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	shims, inits := b.pss(b.shim), b.pss(b.init)
	if len(shims) < idleServers || len(inits) < idleServers {
		return fmt.Errorf("%d shims and %d inits for %d servers", len(shims), len(inits), idleServers)
	}
	more := max(0, sum(b.pss(b.host))-sum(alone))
	r.only("memory per idle server: shim and init", "MiB", single((sum(shims)+sum(inits))/idleServers), p50, 12)
	r.only("  growth of daemon and containerd for it", "MiB", single(more/idleServers), p50, 0)
	r.only("daemon and containerd, idle", "MiB", single(sum(alone)), p50, 120)
	return nil
}

// process is what tells one process from another.
type process struct {
	program, line string
	contained     bool
}

func (b *bench) host(p process) bool {
	return !p.contained && (p.program == "mcprund" || p.program == "containerd") && strings.Contains(p.line, b.base+"/")
}

// shim finds those of this daemon: they carry its namespace in containerd.
func (b *bench) shim(p process) bool {
	return strings.HasPrefix(p.program, "containerd-shim") && strings.Contains(p.line, b.dirs.CgroupParent())
}

// init finds the first process of each container by its command.
func (b *bench) init(p process) bool {
	return p.contained && strings.HasPrefix(p.line, "/.mcprun/init ")
}

// pss lists the proportional set sizes, in MiB, of the processes that are wanted.
func (b *bench) pss(wanted func(process) bool) []float64 {
	inside := b.contained()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []float64
	for _, dir := range dirs {
		raw, _ := os.ReadFile(dir + "/cmdline")
		line := strings.ReplaceAll(string(raw), "\x00", " ")
		program, _, _ := strings.Cut(line, " ")
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if wanted(process{filepath.Base(program), line, slices.Contains(inside, pid)}) {
			out = append(out, pssOf(dir))
		}
	}
	return out
}

func pssOf(dir string) float64 {
	raw, _ := os.ReadFile(dir + "/smaps_rollup")
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib * 1024 / mib
		}
	}
	return 0
}

// contained lists the processes in the daemon's cgroups, each once.
func (b *bench) contained() []int {
	var out []int
	filepath.Walk("/sys/fs/cgroup", func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Name() != "cgroup.procs" || !strings.Contains(path, "/"+b.dirs.CgroupParent()+"/") {
			return nil
		}
		raw, _ := os.ReadFile(path)
		for _, f := range strings.Fields(string(raw)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
		return nil
	})
	slices.Sort(out)
	return slices.Compact(out)
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}
