package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime"
)

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
	err := s.d.recallServer(s.name)
	if err == nil {
		err = s.begin(ctx, def, who, why, progress)
	}
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
		Detail: s.d.startDetail(def, image)}
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

// startDetail is what the record says of a start: what runs, under which ceilings, whether
// Landlock encloses it (it does, or nothing starts), and which secrets the container holds itself.
func (d *Daemon) startDetail(def *definition, image runtime.Image) map[string]string {
	detail := map[string]string{"image": string(image.Digest), "profile": string(def.profile.Digest()), "file": def.file, detailCeilings: string(d.ceilings().Digest()), "landlock": d.rt.LandlockBehind(def.m.Isolation)}
	if def.lesson != nil {
		detail["learning"] = "true" // the profile is not in force
		detail["internet"] = map[bool]string{true: "fake", false: "real"}[def.lesson.fake]
	}
	if held := handedOver(def.m); len(held) > 0 {
		detail["credentials-in-container"] = strings.Join(held, " ")
	}
	return detail
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
		run.dying.Load().awaitOver()
		s.d.end(s, run, s.gone(run))
	}()
	// A kill between the first look at the switches and now found no server to end.
	if k, killed := s.killed(def); killed {
		return &front.KilledError{Kill: k}
	}
	// And so did a reload of the ceilings.
	return s.enforce("daemon")
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
