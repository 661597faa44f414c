package daemon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/denials"
	"github.com/mcprun/mcprun/runtime"
)

// server is one server.yaml in the daemon, through all its starts and stops.
type server struct {
	d     *Daemon
	name  mcprun.ServerName
	front *front.Server
	log   *serverLog
	op    chan struct{} // held by the one start or stop under way

	mu     sync.Mutex // guards what follows; held for moments only, so that a kill never waits
	state  string     // stopped, starting, running, ready, frozen, paused, crashed, failed
	why    string
	since  time.Time
	spec   *definition
	run    *running
	cancel context.CancelFunc // of the start or lock under way
	coming []mcprun.Label     // of what it starts

	crashes    limits.Crashes
	retry      time.Time    // when a crashed one may come back
	foreground bool         // of mcprun run: it does not come back
	waking     *waking      // the start that calls wait for
	denied     *denials.Log // system calls refused by the profile of deniedBy
	deniedBy   *profiles.Profile
}

// definition is what a start request brought, read and checked.
type definition struct {
	file    string // server.yaml's absolute path
	m       *manifest.Server
	lock    *lock.File // nil while locking
	profile *profiles.Profile
	decoy   bool    // the daemon has made it, for a drill
	lesson  *lesson // not nil: it is watched, to learn what it needs
}

// running is one life: a container, its session, and its end.
type running struct {
	inst  *runtime.Instance
	conn  *upstream.Conn
	life  *front.Life
	net   *network      // nil while locking: then there is none at all
	done  chan struct{} // closed when it is cleaned up
	once  sync.Once
	begun time.Time
	hold  atomic.Pointer[holding] // of a kill that keeps what it leaves
	dying atomic.Pointer[dying]   // a kill is about to end its processes, or has

	strain   strain
	profile  *profiles.Profile
	denied   *denials.Log                       // system calls that it refused
	refusing chan struct{}                      // closed when none can come any more
	res      atomic.Pointer[manifest.Resources] // what its container may use now

	judging sync.Mutex   // guards what follows, and the order in which policies are set
	base    *gate.Policy // of server.yaml, its pins and the ceilings
	current *lock.File   // what the tools are now; nil if that is not known
}

// dying is the step of a kill that ends the processes of all its targets.
type dying struct{ over chan struct{} }

// awaitOver returns when the processes of all others are gone too, or killBound is over:
// what is left of the first must not take the processors from the kill of the last, nor
// from the clients whose calls have just failed. No kill: at once.
func (d *dying) awaitOver() {
	if d != nil {
		<-d.over
	}
}

func (run *running) resources() manifest.Resources { return *run.res.Load() }

func (s *server) acquire() { s.op <- struct{}{} }

func (s *server) release() { <-s.op }

func (s *server) setState(state, why string) {
	s.mu.Lock()
	s.state, s.why, s.since = state, why, timeNow()
	s.mu.Unlock()
}

// setCancel says how a kill ends the start or lock under way, and which labels it is
// found by.
func (s *server) setCancel(cancel context.CancelFunc, labels []mcprun.Label) {
	s.mu.Lock()
	s.cancel, s.coming = cancel, labels
	s.mu.Unlock()
}

// killed returns the switch that stops a server with this definition.
func (s *server) killed(def *definition) (limits.Kill, bool) {
	return s.d.switches.Check(limits.Subject{Server: s.name, Labels: def.m.Labels})
}

// wake tells a goroutine to look again, if it is not told already.
func wake(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// status is the server's line in mcprun ps.
func (s *server) status() control.ServerStatus {
	s.mu.Lock()
	st := control.ServerStatus{Name: s.name, State: s.state, Why: s.why, Since: s.since, Crashes: s.crashes.Count(timeNow())}
	if s.state == "crashed" {
		st.Retry = s.retry
	}
	run, def := s.run, s.spec
	s.mu.Unlock()
	st.Clients, st.InFlight = s.front.Sessions(), s.front.InFlight()
	if def != nil {
		st.Profile, st.Held, st.Labels = def.profile.Name(), handedOver(def.m), def.m.Labels
		if def.lock != nil {
			st.Image = def.lock.Image
		}
	}
	if run != nil {
		st.Instance, st.Pid, st.Landlock = run.inst.ID, run.inst.Pid(), run.inst.LandlockState()
		if p := run.life.Policy(); p != nil {
			st.Tools = len(p.Listed())
			st.Withheld = len(p.Summary()) - st.Tools
		}
	} else if f := s.front.Resting(); f != nil {
		st.Tools = len(f.Policy.Listed())
		st.Withheld = len(f.Policy.Summary()) - st.Tools
	}
	if k, killed := s.front.Killed("", ""); killed {
		st.State, st.Why = "killed", k.Who+": "+k.Why
	}
	return st
}
