package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/tighten"
)

// end brings one life to its end, whatever started it: calls in flight get
// cause, processes are killed, traces removed. It may be called again.
func (d *Daemon) end(s *server, run *running, cause error) {
	run.once.Do(func() {
		if k, killed := s.front.Killed("", ""); killed {
			cause = &front.KilledError{Kill: k}
		}
		if !within(cutBound, func() { run.net.close(cause) }) {
			d.opts.Log.Error("the way out takes long to close", "instance", run.inst.ID)
		}
		s.noteStrain(run, front.Flight{}, true)
		s.front.End(run.life, cause)
		s.front.Pause("") // what ended is paused no more
		failpoint.Hit("end.calls-failed")
		run.hold.Load().awaitSeen()
		if err := run.inst.Kill(); err != nil {
			d.opts.Log.Error("killing", "instance", run.inst.ID, "err", err)
		}
		failpoint.Hit("end.killed")
		if err := run.net.end(cause); err != nil {
			d.opts.Log.Error("ending the network", "instance", run.inst.ID, "err", err)
		}
		run.hold.Load().awaitKept()
		if err := run.inst.Clean(context.Background()); err != nil {
			d.opts.Log.Error("cleaning up", "instance", run.inst.ID, "err", err)
		}
		if !within(refusingBound, func() { <-run.refusing }) { // its listener is closed
			d.opts.Log.Error("refused system calls are still being answered", "instance", run.inst.ID)
		}
		s.flushRefused(run)
		rec := &audit.Record{Type: audit.TypeStop, Server: s.name, Instance: run.inst.ID, Outcome: "ended", Reason: cause.Error(), Detail: peaksOf(run)}
		words := s.lastWords()
		s.mu.Lock()
		if s.run == run {
			s.run = nil
			if s.state == "running" || s.state == "frozen" || s.state == "paused" {
				s.ended(rec, cause, words)
			}
		}
		s.mu.Unlock()
		d.record.Append(rec)
		failpoint.Hit("end.recorded")
		close(run.done)
	})
	<-run.done
}

// peaksOf is what a life used at most, as far as the kernel told, for whoever proposes
// tighter limits.
func peaksOf(run *running) map[string]string {
	u, d := run.inst.Use(), map[string]string{}
	for k, v := range map[string]int64{tighten.DetailMemoryPeak: u.MemoryPeak, tighten.DetailPidsPeak: u.PidsPeak} {
		if v > 0 {
			d[k] = fmt.Sprint(v)
		}
	}
	return d
}

func (s *server) lastWords() string {
	lines, _, _ := s.log.last(1, false)
	if len(lines) == 0 {
		return "none"
	}
	return lines[0]
}

var errStopped = errors.New("stopped")

// stop asks the server to end and sees to it that it does.
func (s *server) stop(ctx context.Context, why string, who mcprun.Principal) error {
	s.acquire()
	defer s.release()
	s.mu.Lock()
	run, def := s.run, s.spec
	back, frozen := run != nil || comesBack(s.state), s.state == "frozen" || s.state == "paused"
	if back {
		s.state, s.why, s.since = "stopped", why, timeNow()
	}
	s.mu.Unlock()
	s.front.Rest(nil)
	if !back {
		return nil
	}
	rec := &audit.Record{Type: audit.TypeStop, Server: s.name, Principal: who, Why: why, Outcome: "asked"}
	if run == nil {
		return s.d.record.Append(rec)
	}
	rec.Instance = run.inst.ID
	s.d.record.Append(rec)
	failpoint.Hit("daemon.stop-asked")
	if frozen { // it cannot end by itself as it is
		if err := run.inst.Thaw(); err != nil {
			s.d.opts.Log.Error("waking a server that is to end", "server", s.name, "err", err)
		}
	}
	err := run.inst.Stop(ctx, def.m.Timeouts.Stop)
	s.d.end(s, run, errStopped)
	return err
}
