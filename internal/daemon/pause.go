package daemon

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
)

// pause has a server stand still: its calls are refused from the next one on, those in
// flight wait, and no process of it runs until resume or a kill. It is for looking before
// a decision; a restart of the daemon ends it, and the server with it.
func (d *Daemon) pause(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	why := strings.TrimSpace(c.Why)
	if why == "" {
		why = "no reason given"
	}
	if err := s.pause(c.Peer.Principal(), why); err != nil {
		return nil, withContext("pausing "+string(s.name), err)
	}
	st := s.status()
	return &control.Result{Server: &st}, nil
}

func (s *server) pause(who mcprun.Principal, why string) error {
	doing := "pausing " + string(s.name)
	s.acquire()
	defer s.release()
	s.mu.Lock()
	run, state := s.run, s.state
	s.mu.Unlock()
	switch {
	case run == nil:
		return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is not running", Hint: "to keep it from being started: mcprun kill " + string(s.name)}
	case state == "paused":
		return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is paused already", Hint: "mcprun resume " + string(s.name)}
	}
	rec := &audit.Record{Type: audit.TypeRest, Server: s.name, Instance: run.inst.ID, Principal: who, Who: string(who), Why: why, Outcome: restPaused}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	failpoint.Hit("daemon.pause-recorded")
	words := fmt.Sprintf("server %s was paused by %s (%s); an operator can let it go on: mcprun resume %s", s.name, who, why, s.name)
	s.front.Pause(words) // before the processes stand still, so that no new call finds them so
	if err := run.inst.Freeze(); err != nil {
		s.front.Pause("")
		return err
	}
	s.setState("paused", string(who)+": "+why)
	return nil
}

// resume lets a paused server go on.
func (d *Daemon) resume(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	if err := s.resume(c.Peer.Principal(), strings.TrimSpace(c.Why)); err != nil {
		return nil, withContext("resuming "+string(s.name), err)
	}
	st := s.status()
	return &control.Result{Server: &st}, nil
}

func (s *server) resume(who mcprun.Principal, why string) error {
	doing := "resuming " + string(s.name)
	s.acquire()
	defer s.release()
	s.mu.Lock()
	run, state := s.run, s.state
	s.mu.Unlock()
	if run == nil || state != "paused" {
		return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is not paused, but " + state, Hint: "mcprun ps"}
	}
	rec := &audit.Record{Type: audit.TypeRest, Server: s.name, Instance: run.inst.ID, Principal: who, Who: string(who), Why: why, Outcome: restResumed}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	if err := run.inst.Thaw(); err != nil {
		return err
	}
	s.setState("running", "")
	s.front.Begin(run.life) // one that was idle before it was paused is not
	s.front.Pause("")
	return nil
}
