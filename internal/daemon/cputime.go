package daemon

import (
	"fmt"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

const (
	// cpuLook is how often the processor time of a server is read.
	cpuLook = 250 * time.Millisecond
	// cpuAhead is how much of it, for each processor that the server may use, has to be
	// left: what it uses until the next look, and one that comes late.
	cpuAhead = 2 * cpuLook
	// cpuPiece is how much is set aside at once, for each processor.
	cpuPiece = 5 * time.Second
)

// perCPU is a time on all processors that a server may use, in microseconds.
func perCPU(d time.Duration, milliCPU int64) int64 { return d.Microseconds() * milliCPU / 1000 }

// watchCPU counts a server's processor time, and ends the server before its budget of it
// is overspent: it can use it without being called.
func (s *server) watchCPU(run *running, milliCPU int64) {
	a := s.d.account(s.name, run.inst.ID, limits.CPU, perCPU(cpuPiece, milliCPU))
	defer a.close()
	tick := time.NewTicker(cpuLook)
	defer tick.Stop()
	var last int64
	for {
		if now, err := run.inst.CPUTime(); err == nil && now > last {
			if used := now - last; !a.spend(used) { // more than was ahead: it was used all the same
				s.d.limits.Add(s.name, limits.CPU, used, timeNow())
			}
			last = now
		}
		if !a.ahead(perCPU(cpuAhead, milliCPU)) {
			s.overCPU(run, milliCPU)
			return
		}
		select {
		case <-run.done:
			return
		case <-tick.C:
		}
	}
}

// overCPU ends a server whose processor time is used up.
func (s *server) overCPU(run *running, milliCPU int64) {
	cause := fmt.Errorf("stopped: its budget of processor time is used up")
	if no := s.d.limits.LookLease(s.name, limits.CPU, perCPU(cpuAhead, milliCPU), timeNow()); no != nil {
		cause = fmt.Errorf("stopped: %w, and begins anew at %s", no, no.Frees.UTC().Format(time.RFC3339))
	}
	s.mu.Lock()
	if s.run == run {
		s.state, s.why, s.since = "stopped", cause.Error(), timeNow()
	}
	s.mu.Unlock()
	s.d.record.Append(&audit.Record{Type: audit.TypeStop, Server: s.name, Instance: run.inst.ID, Who: "daemon", Why: cause.Error(), Outcome: "asked", Rule: limits.RuleBudget})
	s.d.end(s, run, cause)
}

// affordsCPU refuses to start a server whose processor time is used up.
func (d *Daemon) affordsCPU(doing string, def *definition) error {
	d.limits.Set(def.m.Name, def.m.CallLimits(d.above(def)), timeNow())
	no := d.limits.LookLease(def.m.Name, limits.CPU, perCPU(cpuAhead, def.m.Resources.MilliCPU), timeNow())
	if no == nil {
		return nil
	}
	return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: no.Error(),
		Hint: fmt.Sprintf("it begins anew at %s; or mcprun limits reset %s --why '…'", no.Frees.UTC().Format(time.RFC3339), def.m.Name)}
}
