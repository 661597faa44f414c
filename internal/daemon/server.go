package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
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

	strain   strain
	profile  *profiles.Profile
	denied   *denials.Log                       // system calls that it refused
	refusing chan struct{}                      // closed when none can come any more
	res      atomic.Pointer[manifest.Resources] // what its container may use now

	judging sync.Mutex   // guards what follows, and the order in which policies are set
	base    *gate.Policy // of server.yaml, its pins and the ceilings
	current *lock.File   // what the tools are now; nil if that is not known
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

// killedError refuses what a thrown switch forbids.
func killedError(doing string, k limits.Kill) error {
	return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("%s was killed by %s at %s: %s", k.Target, k.Who, k.When.Format(time.RFC3339), k.Why),
		Hint: fmt.Sprintf("mcprun revive %s --why '…'", k.Argument())}
}

// start brings the server up for an operator; it returns when clients can call it.
func (s *server) start(ctx context.Context, def *definition, who mcprun.Principal, foreground bool, progress func(string)) error {
	s.acquire()
	defer s.release()
	doing := "starting " + string(s.name)
	// First of all: one that is killed can still be on its way out.
	if err := s.mayStart(doing, def); err != nil {
		return err
	}
	s.mu.Lock()
	if s.run != nil {
		old := s.spec
		s.mu.Unlock()
		return runsAlready(doing, old, def)
	}
	s.mu.Unlock()
	s.mu.Lock()
	s.crashes.Reset()
	s.foreground = foreground
	s.mu.Unlock()
	s.front.Rest(nil)
	up := func() error { return s.bringUp(ctx, def, who, "", progress) }
	if def.m.Idle == manifest.IdleStop && !foreground {
		up = func() error { return s.register(ctx, def, who, progress) }
	}
	err := up()
	if err != nil {
		s.setState("failed", err.Error())
	}
	return withContext(doing, err)
}

// mayStart refuses what a switch or the ceilings forbid.
func (s *server) mayStart(doing string, def *definition) error {
	if err := s.d.switches.Reread(); err != nil {
		return withContext(doing, err)
	}
	if k, killed := s.killed(def); killed {
		return killedError(doing, k)
	}
	return errors.Join(s.d.within(doing, def), s.d.affordsCPU(doing, def))
}

// bringUp is a start with the operation held: for an operator, or for why a call needs it.
func (s *server) bringUp(ctx context.Context, def *definition, who mcprun.Principal, why string, progress func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, imageTimeout+def.m.Timeouts.Start)
	defer cancel()
	s.mu.Lock()
	s.state, s.why, s.since, s.spec, s.cancel, s.coming = "starting", "", timeNow(), def, cancel, def.m.Labels
	s.knownBy(def)
	s.mu.Unlock()
	err := s.begin(ctx, def, who, why, progress)
	s.setCancel(nil, nil)
	if err == nil && !s.isUp() {
		err = fmt.Errorf("it ended right after its start; its last words: %s", s.lastWords())
	}
	if err != nil {
		if k, killed := s.killed(def); killed {
			err = killedError("starting "+string(s.name), k)
		}
		s.front.Rest(nil)
		s.d.record.Append(&audit.Record{Type: audit.TypeStop, Server: s.name, Principal: who, Outcome: "start failed", Reason: err.Error()})
		return err
	}
	return nil
}

// knownBy says which switches stop the server from now on, and which it throws itself.
func (s *server) knownBy(def *definition) {
	s.front.SetLabels(def.m.Labels)
	s.d.reflexes.watch.SetServer(s.name, def.m.Kill, def.m.Labels)
}

// isUp says that the server runs, unless its life has ended already.
func (s *server) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return false
	}
	s.state, s.why, s.since = "running", "", timeNow()
	if s.spec.lesson != nil {
		s.why = "it is watched to learn a profile, and held to none"
	}
	return true
}

// runsAlready refuses to start what runs, and says how a changed file is put in force.
func runsAlready(doing string, old, def *definition) error {
	e := &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is running, by this very file", Hint: "mcprun connect " + string(def.m.Name)}
	if keys := append(manifest.Changed(old.m, def.m), needStart(old, def)...); len(keys) > 0 {
		slices.Sort(keys)
		e.Why = "it is running, and since then there changed: " + strings.Join(slices.Compact(keys), ", ")
		e.Hint = fmt.Sprintf("mcprun stop %s && mcprun start %s", def.m.Name, def.file)
		if len(needStart(old, def)) == 0 {
			e.Hint = "mcprun reload " + def.file
		}
	}
	return e
}

// imageTimeout bounds the import or pull of an image of some GiB on a slow disk or line.
const imageTimeout = 15 * time.Minute

func withContext(doing string, err error) error {
	if err == nil {
		return nil
	}
	var e *mcprun.Error
	if errors.As(err, &e) {
		return e
	}
	return &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err, Hint: "what the server itself said: mcprun logs NAME; what the host lacks: mcprun doctor"}
}

// begin starts what was reviewed and lets clients in.
func (s *server) begin(ctx context.Context, def *definition, who mcprun.Principal, why string, progress func(string)) error {
	image, err := s.d.rt.Image(ctx, def.m.Image, filepath.Dir(def.file), progress)
	if err != nil {
		return err
	}
	failpoint.Hit("daemon.image-there")
	if err := def.matchesPins(image); err != nil {
		return err
	}
	id := newInstanceID(s.name)
	rec := &audit.Record{Type: audit.TypeStart, Server: s.name, Instance: id, Principal: who, Why: why,
		Detail: startDetail(def, image, s.d.ceilings())}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	failpoint.Hit("daemon.start-recorded")
	progress("starting the container")
	run, greeting, current, err := s.launch(ctx, id, def, image, true)
	if err != nil {
		return err
	}
	if err := s.publish(run, def, greeting, current); err != nil {
		s.d.end(s, run, err)
		return err
	}
	return nil
}

// startDetail is what the record says of a start: what runs, under which ceilings, and
// which secrets the container holds itself.
func startDetail(def *definition, image runtime.Image, c *manifest.Ceilings) map[string]string {
	d := map[string]string{"image": string(image.Digest), "profile": string(def.profile.Digest()), "file": def.file, detailCeilings: string(c.Digest())}
	if def.lesson != nil {
		d["learning"] = "true" // the profile is not in force
	}
	if held := handedOver(def.m); len(held) > 0 {
		d["credentials-in-container"] = strings.Join(held, " ")
	}
	return d
}

// handedOver names the credentials that the container holds itself.
func handedOver(m *manifest.Server) []string {
	var out []string
	for _, c := range m.Credentials {
		if c.InContainer {
			out = append(out, c.Name)
		}
	}
	return out
}

// launch starts a container and greets the server in it. The current tools come
// back as an unsaved lock file. Without a network the container has nothing but lo,
// and nobody who listens there.
func (s *server) launch(ctx context.Context, id string, def *definition, image runtime.Image, networked bool) (*running, upstream.Greeting, *lock.File, error) {
	ctx, cancel := context.WithTimeout(ctx, def.m.Timeouts.Start)
	defer cancel()
	run := &running{begun: timeNow(), life: s.front.NewLife(id), done: make(chan struct{}), refusing: make(chan struct{}), profile: def.profile, denied: s.denialsOf(def.profile)}
	run.res.Store(&def.m.Resources)
	plan := runtime.Plan{ID: id, Server: def.m, Base: filepath.Dir(def.file), Image: image}
	strained := make(chan struct{}, 1)
	plan.Strained = func() { wake(strained) }
	var err error
	if plan.Profile, err = underLesson(def.profile, def.lesson); err != nil {
		return nil, upstream.Greeting{}, nil, err
	}
	if networked {
		if run.net, plan.Network, err = s.d.openNetwork(ctx, def, id, run.life); err != nil {
			return nil, upstream.Greeting{}, nil, errNetwork(s.name, err)
		}
		failpoint.Hit("daemon.network-open")
	}
	inst, err := s.d.rt.Start(ctx, plan)
	if err != nil {
		return nil, upstream.Greeting{}, nil, errors.Join(err, run.net.end(err))
	}
	run.inst = inst
	if def.lesson != nil {
		ended := run.life.CallEnded
		run.life.CallEnded = func(t mcprun.ToolName) { def.lesson.call(t); ended(t) }
		go s.watchLesson(run, def.lesson)
	} else {
		go s.watchRefused(run)
	}
	run.life.Gone = func() error { return s.gone(run) }
	run.life.Strained = func(f front.Flight, t time.Time) string { return s.strainedSince(run, f, t) }
	go s.log.consume(inst.Stderr)
	if run.conn, err = upstream.New(inst.Stdio, run.life.Events()); err != nil {
		err = errors.Join(err, run.net.end(err), inst.Kill(), inst.Clean(context.WithoutCancel(ctx)))
		return nil, upstream.Greeting{}, nil, err
	}
	go s.watchStrain(run, strained)
	s.front.Prepare(run.life, run.conn)
	run.conn.Start(inst.Stdio)
	g := upstream.Grants(def.m.Grants)
	greeting, err := run.conn.Initialize(ctx, g, s.d.opts.Version, def.m.Timeouts.Start)
	var current *lock.File
	if err == nil {
		current, err = s.observe(ctx, run, def, image, greeting)
	}
	if err != nil {
		if errors.Is(err, upstream.ErrGone) {
			err = fmt.Errorf("%w; its last words: %s", err, s.lastWords())
		}
		s.d.end(s, run, err)
		return nil, upstream.Greeting{}, nil, err
	}
	failpoint.Hit("daemon.greeted")
	return run, greeting, current, nil
}

// observe reads what the server is now, in the form that pins have.
func (s *server) observe(ctx context.Context, run *running, def *definition, image runtime.Image, g upstream.Greeting) (*lock.File, error) {
	defs, err := run.conn.Tools(ctx, def.m.Timeouts.Start)
	if err != nil {
		return nil, err
	}
	f := &lock.File{
		Version: lock.Version, Server: def.m.Name, Image: image.Digest, Profile: def.profile.Name(), ProfileDigest: def.profile.Digest(),
		Secrets: handedOver(def.m), Protocol: g.ProtocolVersion, ServerInfo: g.ServerInfo, Capabilities: g.Capabilities, Instructions: g.Instructions,
	}
	for _, raw := range defs {
		t, err := lock.NewTool(raw)
		if err != nil {
			return nil, fmt.Errorf("reading the server's tools: %w", err)
		}
		f.Tools = append(f.Tools, t)
	}
	return f, f.Seal()
}

// publish judges what the server is against its pins and lets clients in.
func (s *server) publish(run *running, def *definition, g upstream.Greeting, current *lock.File) error {
	if current.ServerDigest != def.lock.ServerDigest {
		return &mcprun.Error{Class: mcprun.Denied, What: "starting " + string(s.name), Why: "its name, version or instructions are not as they were pinned",
			Hint: "see what changed: mcprun lock --diff " + def.file}
	}
	if why := hiddenText(current); why != "" {
		return hiddenTextError(s.name, def, why)
	}
	run.current = current
	for _, p := range s.judge(run, def) {
		s.log.note(fmt.Sprintf("tool %s: %v", p.Tool, p.Err))
	}
	s.noteChanges(def.lock, current, current, run)
	run.life.Image, run.life.Patience = def.lock.Image, def.m.Timeouts.Approval
	run.life.Untrusted, run.life.Approvers = make(map[mcprun.ToolName]bool), make(map[mcprun.ToolName]int)
	run.life.Costs = make(map[mcprun.ToolName]manifest.Cost)
	for name, t := range def.m.Tools {
		run.life.Costs[name] = t.Cost
		run.life.Untrusted[name], run.life.Approvers[name] = t.Untrusted == manifest.Yes, t.Approvers
	}
	run.life.Secrets = run.net.secrets
	run.life.Greeting, run.life.Grants, run.life.Timeout = g, upstream.Grants(def.m.Grants), def.m.Timeouts.Call
	again := make(chan struct{}, 1)
	run.life.ToolsChanged = func() { wake(again) }
	go warm(def.m)
	s.mu.Lock()
	s.run = run
	s.mu.Unlock()
	s.front.Begin(run.life)
	failpoint.Hit("daemon.published")
	go s.recheck(run, def, g, again)
	s.mu.Lock()
	rests := def.m.Idle != manifest.IdleRun && !s.foreground
	s.mu.Unlock()
	if rests {
		go s.watchIdle(run, def)
	}
	go s.watchCPU(run, def.m.Resources.MilliCPU)
	go func() {
		select {
		case <-run.inst.Done():
		case <-run.conn.Done():
		}
		s.d.end(s, run, s.gone(run))
	}()
	// A kill between the first look at the switches and now found no server to end.
	if k, killed := s.killed(def); killed {
		return &front.KilledError{Kill: k}
	}
	// And so did a reload of the ceilings.
	return s.enforce("daemon")
}

// wake tells a goroutine to look again, if it is not told already.
func wake(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func hiddenTextError(name mcprun.ServerName, def *definition, why string) error {
	return &mcprun.Error{Class: mcprun.Denied, What: "starting " + string(name), Why: why, Hint: "look at " + def.file + "'s lock file; no server needs hidden text"}
}

// warm starts the parser of PostgreSQL where a check needs it: the first call would
// wait for it for a second.
func warm(m *manifest.Server) {
	for _, t := range m.Tools {
		for _, a := range t.Arguments {
			if s, ok := a.Check.(sql.Spec); ok && s.Dialect == sql.Postgres {
				s.Judge("SELECT 1")
				return
			}
		}
	}
}

// hiddenText says what a reader of a server's instructions or description would
// not see. Both reach the model, as tool definitions do.
func hiddenText(f *lock.File) string {
	for name, text := range map[string]string{"instructions": f.Instructions, "serverInfo": string(f.ServerInfo)} {
		for _, r := range text {
			if kind := lock.Hidden(r); kind != "" && !strings.ContainsRune("\n\t\r\u200d\ufe0f", r) {
				return fmt.Sprintf("its %s holds a character that a reader does not see: %s (%s)", name, lock.Visible(string(r)), kind)
			}
		}
	}
	return ""
}

// Rules of tools that are not as they were pinned: one that was so when the server was
// last asked, and one that became so since.
const (
	ruleToolDiffers = "tool.differs"
	ruleToolChanged = "tool.changed"
)

// noteChanges records each tool that is not as it was pinned, and so withheld; before is
// what they were when the server was last asked, nil if that is not known.
func (s *server) noteChanges(pinned, before, current *lock.File, run *running) {
	became := changed(pinned, before, current)
	for _, c := range lock.Compare(pinned, current) {
		rec := &audit.Record{Type: audit.TypeToolChange, Server: s.name, Instance: run.inst.ID, Tool: c.Tool, Rule: ruleToolDiffers, Reason: lock.Text([]lock.Change{c})}
		if became[c.Tool] {
			rec.Rule = ruleToolChanged
			delete(became, c.Tool) // a tool can differ in many places
		}
		s.d.record.Append(rec)
	}
}

// changed are the pinned tools that became something else than they were before, and than
// what was pinned. What is not known of before was as it was pinned.
func changed(pinned, before, current *lock.File) map[mcprun.ToolName]bool {
	was := map[mcprun.ToolName]mcprun.Digest{}
	pins := map[mcprun.ToolName]mcprun.Digest{}
	for _, t := range pinned.Tools {
		pins[t.Name], was[t.Name] = t.Digest, t.Digest
	}
	if before != nil {
		for _, t := range before.Tools {
			was[t.Name] = t.Digest
		}
	}
	out := map[mcprun.ToolName]bool{}
	for _, t := range current.Tools {
		if pin, ok := pins[t.Name]; ok && t.Digest != pin && t.Digest != was[t.Name] {
			out[t.Name] = true
		}
	}
	return out
}

// recheckPause keeps a server that reports changes without end from costing more
// than one listing a second.
const recheckPause = time.Second

// recheck lists the tools anew when the server says they changed.
func (s *server) recheck(run *running, def *definition, g upstream.Greeting, again <-chan struct{}) {
	for {
		select {
		case <-run.done:
			return
		case <-again:
		}
		ctx, cancel := context.WithTimeout(context.Background(), def.m.Timeouts.Call)
		current, err := s.observe(ctx, run, def, runtime.Image{Digest: def.lock.Image}, g)
		cancel()
		if err != nil {
			current = nil // what cannot be compared is not as it was pinned
		}
		if current != nil {
			s.noteChanges(def.lock, run.current, current, run)
		}
		run.found(current)
		s.front.ToolsChanged()
		select {
		case <-run.done:
			return
		case <-time.After(recheckPause):
		}
	}
}

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
		<-run.refusing // its listener is closed
		s.flushRefused(run)
		rec := &audit.Record{Type: audit.TypeStop, Server: s.name, Instance: run.inst.ID, Outcome: "ended", Reason: cause.Error()}
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

// matchesPins refuses to run anything else than what was reviewed.
func (def *definition) matchesPins(image runtime.Image) error {
	doing := "starting " + string(def.m.Name)
	hint := "if the change is meant: mcprun lock --diff " + def.file + ", then mcprun lock " + def.file
	switch {
	case def.lock.Image != image.Digest:
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the image is %s, but %s was pinned", image.Digest.Short(), def.lock.Image.Short()), Hint: hint}
	case !slices.Equal(def.lock.Secrets, handedOver(def.m)):
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the container would hold the secrets %q itself, but %q was pinned", handedOver(def.m), def.lock.Secrets), Hint: hint}
	case def.lock.ProfileDigest != def.profile.Digest():
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the profile %s is not the one that was pinned", def.profile.Name()), Hint: hint}
	}
	return nil
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
		st.Instance, st.Pid = run.inst.ID, run.inst.Pid()
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
