package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/manifest"
)

var errIdle = errors.New("stopped, since nobody used it")

// Outcomes of rest records.
const (
	restReady   = "ready"   // it was not started, and is when it is called
	restFrozen  = "frozen"  // its processes stand still
	restStopped = "stopped" // it ended, and is started when it is called
	restWoken   = "woken"   // its processes go on
	restPaused  = "paused"  // an operator has them stand still
	restResumed = "resumed" // and go on
)

// idleLook is the least time between two looks whether a server is idle.
const idleLook = 100 * time.Millisecond

// watchIdle puts a server to rest whenever nobody uses it, until its life ends.
func (s *server) watchIdle(run *running, def *definition) {
	for wait := def.m.Timeouts.Idle; ; {
		select {
		case <-run.done:
			return
		case <-time.After(max(wait, idleLook)):
			wait = s.toRest(run, def)
		}
	}
}

// toRest freezes or stops a server that is idle. It returns how long to wait before the
// next look.
func (s *server) toRest(run *running, def *definition) time.Duration {
	s.acquire()
	defer s.release()
	after := def.m.Timeouts.Idle
	s.mu.Lock()
	up := s.run == run && s.state == "running"
	s.mu.Unlock()
	if !up {
		return after
	}
	wait, dozed := s.front.Doze(run.life, after)
	if !dozed {
		return wait
	}
	failpoint.Hit("daemon.dozed")
	err := s.rested(run, def)
	if err == nil {
		return after
	}
	s.d.opts.Log.Error("putting an idle server to rest; it goes on running", "server", s.name, "err", err)
	s.front.Begin(run.life)
	return after
}

// rested does what server.yaml says of a server that clients do not reach any more.
// Calls that come meanwhile wait until it is done.
func (s *server) rested(run *running, def *definition) error {
	outcome := restFrozen
	if def.m.Idle == manifest.IdleStop {
		outcome = restStopped
	}
	rec := &audit.Record{Type: audit.TypeRest, Server: s.name, Instance: run.inst.ID, Outcome: outcome, Reason: fmt.Sprintf("nobody used it for %v", def.m.Timeouts.Idle)}
	if err := s.d.record.Append(rec); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	if def.m.Idle == manifest.IdleFreeze {
		if err := run.inst.Freeze(); err != nil {
			return err
		}
		s.setState("frozen", "nobody uses it; it goes on when it is called")
		return nil
	}
	s.setState("ready", "nobody uses it; it is started when it is called")
	err := run.inst.Stop(context.Background(), def.m.Timeouts.Stop)
	s.d.end(s, run, errIdle)
	if err != nil {
		s.d.opts.Log.Error("stopping an idle server", "server", s.name, "err", err)
	}
	return nil
}

// thaw has a frozen server go on for a call.
func (s *server) thaw(run *running, def *definition, who mcprun.Principal) error {
	if k, killed := s.killed(def); killed {
		return killedError("waking "+string(s.name), k)
	}
	rec := &audit.Record{Type: audit.TypeRest, Server: s.name, Instance: run.inst.ID, Principal: who, Outcome: restWoken, Why: "it was called"}
	if err := s.d.record.Append(rec); err != nil {
		return &front.DownError{Rule: "start-failed", Why: fmt.Sprintf("server %s stays frozen, since it cannot be recorded that it goes on: %v", s.name, err)}
	}
	if err := run.inst.Thaw(); err != nil {
		return &front.DownError{Rule: "start-failed", Why: fmt.Sprintf("server %s stays frozen: %v", s.name, err)}
	}
	s.setState("running", "")
	s.front.Begin(run.life)
	return nil
}

// register makes a server ready to be started by its first call: all is looked at that
// a start looks at, and nothing is run.
func (s *server) register(ctx context.Context, def *definition, who mcprun.Principal, progress func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	image, err := s.d.rt.Image(ctx, def.m.Image, filepath.Dir(def.file), progress)
	if err != nil {
		return err
	}
	if err := def.matchesPins(image); err != nil {
		return err
	}
	if why := hiddenText(def.lock); why != "" {
		return hiddenTextError(s.name, def, why)
	}
	rec := &audit.Record{Type: audit.TypeRest, Server: s.name, Principal: who, Outcome: restReady, Detail: s.d.startDetail(def, image)}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	s.mu.Lock()
	s.state, s.why, s.since, s.spec, s.retry = "ready", "it is started when it is called", timeNow(), def, time.Time{}
	s.mu.Unlock()
	s.knownBy(def)
	for _, p := range s.rest(def) {
		s.log.note(fmt.Sprintf("tool %s: %v", p.Tool, p.Err))
	}
	return nil
}
