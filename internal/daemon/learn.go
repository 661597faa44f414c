package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	goruntime "runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy/egress"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
	"github.com/mcprun/mcprun/profiles/denials"
	"github.com/mcprun/mcprun/profiles/learned"
)

// lesson is one run of a server that is watched to learn what it needs.
type lesson struct {
	never []profiles.Forbidden // by policy.yaml
	fake  bool                 // the internet is: nothing leaves
	watch *learned.Watch       // of the goroutine that answers its system calls, until that ends

	hosts learned.Hosts

	mu     sync.Mutex
	called map[mcprun.ToolName]bool
}

func newLesson(never []profiles.Forbidden, fake bool) *lesson {
	return &lesson{never: never, fake: fake, watch: learned.NewWatch(goruntime.GOARCH, never), called: map[mcprun.ToolName]bool{}}
}

func (l *lesson) call(tool mcprun.ToolName) {
	l.mu.Lock()
	l.called[tool] = true
	l.mu.Unlock()
}

// attempt counts where the server went, or tried to go.
func (l *lesson) attempt(a egress.Attempt) {
	l.mu.Lock()
	called := len(l.called) > 0
	l.mu.Unlock()
	at := learned.Place{Host: a.Host, Port: a.Port, Protocol: a.Protocol, Method: a.Method, Path: a.Path, WebSocket: a.WebSocket, Fake: l.fake, Allowed: a.Allowed}
	l.hosts.Note(learned.Host{Place: at, Grant: a.Grant, Add: a.Add}, called, a.Tools)
}

// learn starts a server under the widest profile that there may be, watches what it does
// until the request's connection ends, stops it, and answers with what was seen. All else
// holds as ever: its container, its way out, the gate, the limits, the kill switches.
func (d *Daemon) learn(ctx context.Context, c *control.Call) (*control.Result, error) {
	def, err := define(c, true)
	if err != nil {
		return nil, err
	}
	doing := "learning from " + string(def.m.Name)
	if def.m.Isolation == manifest.GVisor { // there is no listener to learn from
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "gVisor tells nobody of the system calls that a server makes", Hint: "learn with isolation: runc, and write gvisor afterwards"}
	}
	law := d.ceilings()
	if !law.OwnProfiles.Any {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: doing, Why: "policy.yaml says which profiles may be used, and a server that is watched has none of them", Hint: "take profiles and own-profiles out of policy.yaml, or learn where it is not in force"}
	}
	def.lesson = newLesson(law.NeverCalls, !c.RealInternet)
	s, err := d.server(def.m.Name, true)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, def, c.Peer.Principal(), true, c.Progress); err != nil {
		return nil, err
	}
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	if run == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Why: s.status().Why}
	}
	c.Progress(control.ProgressLearning)
	select {
	case <-run.done:
	case <-connectionEnd(c):
	}
	cpu, _ := run.inst.CPUTime() // 0 of one that has ended by itself
	if err := s.stop(context.WithoutCancel(ctx), "learned", c.Peer.Principal()); err != nil {
		d.opts.Log.Warn("ending a server that was watched", "server", s.name, "err", err)
	}
	<-run.done
	raw, err := json.Marshal(d.lessonResult(s, def, run, cpu))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return &control.Result{Learned: raw}, nil
}

// lessonResult is what a life that has ended has shown.
func (d *Daemon) lessonResult(s *server, def *definition, run *running, cpu int64) *learned.Seen {
	out := def.lesson.watch.Result()
	use := run.inst.Use()
	out.Server, out.Image = s.name, def.lock.Image
	out.Memory, out.Pids, out.CPU = use.MemoryPeak, use.PidsPeak, cpu
	out.Runs = []learned.Run{{When: run.begun, Took: timeNow().Sub(run.begun).Milliseconds()}}
	for _, t := range run.life.Policy().Summary() {
		if t.State == "granted" {
			out.Listed = append(out.Listed, t.Name)
		}
	}
	def.lesson.mu.Lock()
	out.Called = slices.Sorted(maps.Keys(def.lesson.called))
	def.lesson.mu.Unlock()
	hosts, lost := def.lesson.hosts.List()
	out.Hosts, out.Lost = hosts, out.Lost+lost
	for _, v := range def.m.Environment {
		out.Environment = append(out.Environment, v.Name)
	}
	for _, c := range def.m.Credentials {
		if c.Expose.Env != "" {
			out.Environment = append(out.Environment, c.Expose.Env)
		}
	}
	slices.Sort(out.Environment)
	return &out
}

// watchLesson answers every system call of a life but those that all programs make: what a
// profile can allow goes on, all else is refused and recorded, as without learning. It
// decides by the number of a call and its arguments alone, which the server cannot change
// any more.
func (s *server) watchLesson(run *running, l *lesson) {
	defer close(run.refusing)
	r := run.inst.Refused
	defer r.Close()
	learner := bpf.Learner{Listener: r.Listener}
	names := map[int]string{}
	for {
		err := r.Wait()
		if err == nil {
			err = s.learnNext(run, l, learner, names)
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			s.d.opts.Log.Error("watching system calls; the kernel refuses them from now on", "server", s.name, "err", err)
			return
		}
	}
}

func (s *server) learnNext(run *running, l *lesson, learner bpf.Learner, names map[int]string) error {
	r := run.inst.Refused
	c, ok, err := r.Next()
	if err != nil || !ok {
		return err
	}
	if done, err := r.StartServer(c); done || err != nil {
		return err // no profile needs it for this
	}
	name, known := names[c.Number]
	if !known {
		name = r.Name(c.Number)
		names[c.Number] = name
	}
	var tools []mcprun.ToolName
	for _, f := range run.life.Flights() {
		tools = append(tools, f.Tool)
	}
	g, err := l.watch.Decide(name, c.Args, tools)
	if err != nil || !g.OK {
		s.lessonRefused(run, c, name, tools, g)
		return errors.Join(err, learner.Refuse(c, answerOf(name, g)))
	}
	if arg, write, ok := opens(name, c.Args); ok {
		if path := r.Text(c, arg); path != "" {
			l.watch.Opened(path, write, tools)
		}
	}
	return learner.LetThrough(c)
}

// answerOf is what a call that no profile can allow is answered: as the built-in profiles
// do, and ENOSYS for what is newer than all that is known.
func answerOf(name string, g profiles.Grant) unix.Errno {
	if e := g.Answer.Errno(); e != 0 {
		return unix.Errno(e)
	}
	if !profiles.Known(name) {
		return unix.ENOSYS
	}
	return unix.EPERM
}

// lessonRefused counts and records what a profile cannot allow.
func (s *server) lessonRefused(run *running, c bpf.Call, name string, tools []mcprun.ToolName, g profiles.Grant) {
	if g.Answer != "" {
		return // as every server is answered, and goes on
	}
	kind := denials.Kind{Call: name, Args: profiles.Arguments(name, c.Args), Program: run.inst.Refused.Program(c)}
	first := denials.Entry{Rule: profiles.RuleNever, Why: "no profile can allow it: " + g.Why}
	if e, times := run.denied.Add(kind, timeNow(), tools, first); times > 0 {
		s.recordRefused(run, e, times)
		if e.Count == 1 {
			s.log.note("system call refused: " + refusedText(e))
		}
	}
}

// opens says which argument of a call is the path of a file that it opens, and whether the
// file is to be changed.
func opens(name string, args [6]uint64) (path int, write, ok bool) {
	const change = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT
	switch name {
	case "creat":
		return 0, true, true
	case "open":
		return 0, args[1]&change != 0, true
	case "openat":
		return 1, args[2]&change != 0, true
	}
	return 0, false, false
}

// underLesson prepares a plan's profile for a server that is watched.
func underLesson(p *profiles.Profile, l *lesson) (*profiles.Profile, error) {
	if l == nil {
		return p, nil
	}
	learning, err := profiles.Learning(l.never)
	if err != nil {
		return nil, fmt.Errorf("preparing to learn: %w", err)
	}
	return learning, nil
}
