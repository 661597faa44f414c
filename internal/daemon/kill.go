package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/limits"
)

// killCleanup bounds how long a kill waits for the last step, which needs
// containerd; with containerd stuck, the next start of the daemon does it.
const killCleanup = 10 * time.Second

func (d *Daemon) kill(c *control.Call) (*control.Result, error) {
	k := limits.Kill{Server: c.Server, Tool: c.Tool, Who: string(c.Peer.Principal()), Why: strings.TrimSpace(c.Why), When: timeNow()}
	if c.All {
		k.Server, k.Tool = "", ""
	} else {
		if _, err := mcprun.ParseServerName(string(c.Server)); err != nil {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: "killing", Err: err, Hint: "mcprun kill NAME, mcprun kill NAME/TOOL or mcprun kill --all"}
		}
		// A name that was never started can be killed too (it then never starts), but
		// a slip of the pen must not look like a kill that worked.
		if _, err := d.server(c.Server, false); err != nil {
			return nil, err
		}
	}
	if k.Why == "" {
		k.Why = "no reason given"
	}
	report, err := d.throw(k)
	if err != nil {
		return nil, err
	}
	return &control.Result{Killed: report}, nil
}

// throw climbs the ladder of a kill, in the order of the design: deny, record,
// cut, fail, kill, stay dead, clean. A step that fails does not stop the next
// ones: what it could not do is in the report and the error.
func (d *Daemon) throw(k limits.Kill) (*control.KillReport, error) {
	begun := timeNow()
	report := &control.KillReport{Target: k.Target()}
	var errs []error
	step := func(name string, err error, note string) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			note = err.Error()
		}
		report.Steps = append(report.Steps, control.KillStep{Step: name, AfterMS: float64(time.Since(begun).Microseconds()) / 1000, Note: note})
		failpoint.Hit("kill." + name)
	}
	d.switches.Deny(k)
	d.desk.Revoke(k.Server, k.Tool)
	step("deny", nil, "")
	step("record", d.record.AppendCritical(&audit.Record{Type: audit.TypeKill, Server: k.Server, Tool: k.Tool, Who: k.Who, Why: k.Why}), "")
	targets := d.targets(k)
	cut := cutNetworks(targets, k)
	step("cut", nil, cut)
	if k.Tool != "" {
		if s, err := d.server(k.Server, false); err == nil {
			report.Failed = s.front.FailTool(k)
			s.front.ToolsChanged()
		}
		step("fail", nil, "")
		step("stay dead", d.switches.Persist(k), "")
		return report, errors.Join(errs...)
	}
	for _, s := range targets {
		report.Failed += s.front.InFlight()
		s.front.Fail(&front.KilledError{Kill: k})
	}
	step("fail", nil, "")
	step("kill", killProcesses(targets, report), "")
	step("stay dead", d.switches.Persist(k), "")
	step("clean", d.awaitEnd(targets, k), "")
	return report, errors.Join(errs...)
}

// cutNetworks closes the ways out of all targets and forgets their credentials. A
// tool's connections end when its calls have failed, which is the next step.
func cutNetworks(targets []*server, k limits.Kill) (note string) {
	if k.Tool != "" {
		return "with its calls"
	}
	n := 0
	var cut sync.WaitGroup
	for _, s := range targets {
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run != nil {
			n++
			cut.Go(func() { run.net.close(&front.KilledError{Kill: k}) })
		}
	}
	if !within(cutBound, cut.Wait) {
		return fmt.Sprintf("%d ways out, not all closed after %v; they end with their processes", n, cutBound)
	}
	return fmt.Sprintf("%d ways out", n)
}

// cutBound is how long the steps after the cut wait for it. It takes less than a
// millisecond; a container that could make it take longer must not put off its end.
const cutBound = 100 * time.Millisecond

// within reports whether f returned in time; it goes on if not.
func within(bound time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(bound):
		return false
	}
}

func (d *Daemon) targets(k limits.Kill) []*server {
	if k.Server == "" {
		return d.all()
	}
	if s, err := d.server(k.Server, false); err == nil {
		return []*server{s}
	}
	return nil
}

// killProcesses ends the processes of all targets at once, and starts that are
// under way.
func killProcesses(targets []*server, report *control.KillReport) error {
	var wg sync.WaitGroup
	errs := make([]error, len(targets))
	for i, s := range targets {
		s.mu.Lock()
		run, cancel := s.run, s.cancel
		if cancel != nil {
			cancel()
		}
		s.mu.Unlock()
		if run == nil {
			continue
		}
		report.Servers = append(report.Servers, string(s.name))
		wg.Go(func() {
			errs[i] = run.inst.Kill()
			failpoint.Hit("kill.processes-gone")
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// awaitEnd waits until nothing of the targets is left, starts under way included.
func (d *Daemon) awaitEnd(targets []*server, k limits.Kill) error {
	ctx, cancel := context.WithTimeout(context.Background(), killCleanup)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(targets))
	for i, s := range targets {
		wg.Go(func() { errs[i] = s.awaitDead(ctx, k) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *server) awaitDead(ctx context.Context, k limits.Kill) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.acquire() // a start under way was cancelled and gives way
		defer s.release()
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run != nil {
			s.d.end(s, run, &front.KilledError{Kill: k})
		}
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: containerd does not answer; its processes are gone, the rest is removed at the daemon's next start", s.name)
	}
}

// killAll throws the widest switch; it is what SIGUSR1 does.
func (d *Daemon) killAll(who, why string) {
	if _, err := d.throw(limits.Kill{Who: who, Why: why, When: timeNow()}); err != nil {
		d.opts.Log.Error("killing everything", "err", err)
	}
}
