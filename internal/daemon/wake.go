package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
)

// comesBack reports whether a server in this state comes back when it is called. What an
// operator, a kill or the ceilings ended does not.
func comesBack(state string) bool { return state == "crashed" || state == "ready" || state == "frozen" }

// ended says in state and record that a server ended by itself, and whether it comes
// back; s.mu is held.
func (s *server) ended(rec *audit.Record, cause error, words string) {
	text := cause.Error() + "; its last words: " + words
	s.since = timeNow()
	var killed *front.KilledError
	if errors.As(cause, &killed) || s.foreground {
		s.state, s.why = "failed", text
		s.front.Rest(nil)
		return
	}
	s.crash(rec, text)
}

// outcomeCrashed is that of the end of a server that ended by itself.
const outcomeCrashed = "crashed"

// crash counts one more crash, or start that failed; s.mu is held.
func (s *server) crash(rec *audit.Record, text string) {
	now := timeNow()
	retry, again := s.crashes.Note(now)
	n := s.crashes.Count(now)
	rec.Outcome, rec.Detail = outcomeCrashed, map[string]string{"crashes": fmt.Sprintf("%d of %d in %v", n, limits.MaxCrashes, limits.CrashWindow)}
	s.since, s.retry = now, retry
	switch {
	case !again:
		rec.Detail["comes-back"] = "no: until mcprun start"
		s.state, s.why = "failed", fmt.Sprintf("stays down, since it ended by itself %d times in %v; mcprun start %s. The last time: %s", n, limits.CrashWindow, s.spec.file, text)
		s.front.Rest(nil)
	case retry.After(now):
		rec.Detail["comes-back"] = "when it is called after " + retry.UTC().Format(time.RFC3339)
		s.state, s.why = "crashed", fmt.Sprintf("comes back when it is called after %s: %s", retry.Format(time.TimeOnly), text)
	default:
		rec.Detail["comes-back"] = "when it is called"
		s.state, s.why = "crashed", "comes back when it is called: "+text
	}
}

// waking is a start that calls wait for: one for all of them.
type waking struct {
	done chan struct{}
	err  error // once done is closed
}

var errGivenUp = errors.New("nobody waits for it any more")

// wake brings the server up for a call. The start goes on when the call is given up:
// others may wait for it, and the next call will.
func (s *server) wake(who mcprun.Principal, stop <-chan struct{}) error {
	s.mu.Lock()
	w := s.waking
	if w == nil {
		w = &waking{done: make(chan struct{})}
		s.waking = w
		go func() {
			w.err = s.comeBack(who)
			s.mu.Lock()
			s.waking = nil
			s.mu.Unlock()
			close(w.done)
		}()
	}
	s.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-stop:
		return errGivenUp
	}
}

// comeBack starts a server again that nobody stopped.
func (s *server) comeBack(who mcprun.Principal) error {
	s.acquire()
	defer s.release()
	s.mu.Lock()
	run, frozen, def := s.run, s.state == "frozen", s.spec
	s.mu.Unlock()
	switch {
	case run != nil && frozen:
		return s.thaw(run, def, who)
	case run != nil && s.front.Serves(run.life):
		return nil
	case run != nil:
		<-run.done // it is about to end
	}
	s.mu.Lock()
	state, def, retry := s.state, s.spec, s.retry
	s.mu.Unlock()
	switch {
	case !comesBack(state):
		return s.stays()
	case timeNow().Before(retry):
		return &front.DownError{Rule: "crashed", Retry: retry,
			Why: fmt.Sprintf("server %s ended by itself again and again; it is tried again when it is called after %s. An operator sees why: mcprun logs %s", s.name, retry.Format(time.TimeOnly), s.name)}
	}
	return s.startAgain(def, who)
}

// stays says that a server stays down.
func (s *server) stays() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "failed" && s.crashes.Count(timeNow()) >= limits.MaxCrashes {
		return &front.DownError{Rule: "crashed", Why: fmt.Sprintf("server %s ended by itself %d times in %v and stays down; an operator can look (mcprun logs %s) and start it: mcprun start", s.name, limits.MaxCrashes, limits.CrashWindow, s.name)}
	}
	return &front.DownError{Rule: "stopped", Why: fmt.Sprintf("server %s is not running; an operator can start it: mcprun start", s.name)}
}

// startAgain starts a server for a call. A start that fails counts as a crash.
func (s *server) startAgain(def *definition, who mcprun.Principal) error {
	doing := "starting " + string(s.name)
	if err := s.mayStart(doing, def); err != nil {
		return err
	}
	err := s.bringUp(context.Background(), def, who, "it was called", func(string) {})
	if err == nil {
		return nil
	}
	rec := &audit.Record{Type: audit.TypeStop, Server: s.name, Principal: who, Reason: err.Error()}
	s.mu.Lock()
	var e *mcprun.Error
	if errors.As(err, &e) && e.Class == mcprun.Denied {
		s.state, s.why, s.since = "failed", err.Error(), timeNow() // it will be no other the next time
	} else {
		s.crash(rec, err.Error())
	}
	retry, state := s.retry, s.state
	s.mu.Unlock()
	if rec.Outcome != "" {
		s.d.record.Append(rec)
	}
	if comesBack(state) {
		s.rest(def)
	}
	down := &front.DownError{Rule: "start-failed", Why: fmt.Sprintf("server %s does not come up: %v", s.name, err)}
	if comesBack(state) {
		down.Retry = retry
	}
	return down
}

// rest has clients told from the pins what they are told by the server when it runs.
func (s *server) rest(def *definition) []gate.Problem {
	policy, problems := policyOf(def, s.d.above(def))
	s.front.Rest(&front.Face{Greeting: pinnedGreeting(def.lock), Policy: policy})
	return problems
}

// pinnedGreeting is how a server greeted when it was pinned.
func pinnedGreeting(f *lock.File) upstream.Greeting {
	return upstream.Greeting{ProtocolVersion: f.Protocol, Capabilities: f.Capabilities, ServerInfo: f.ServerInfo, Instructions: f.Instructions}
}
