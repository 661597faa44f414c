package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
	"github.com/mcprun/mcprun/profiles/denials"
	"github.com/mcprun/mcprun/runtime"
)

// A refused system call takes the daemon some ten microseconds, where the kernel alone
// would take less than one. These bound it to a few hundredths of a core: calls of one
// server beyond its rate wait, which slows down nobody but the threads that make them.
const (
	refusedRate, refusedBurst       = 1000, 1000 // calls a second of one server
	allRefusedRate, allRefusedBurst = 2000, 2000 // of all servers together
	// refusedPause is how long they wait then: many are answered at one awakening.
	refusedPause = 20 * time.Millisecond
)

// refusingBound is how long a server's end waits for the last answer: with its processes
// gone there is none to give, and what hangs all the same must not keep it from ending.
const refusingBound = time.Second

func newRefusedPace() *rate.Limiter { return rate.NewLimiter(allRefusedRate, allRefusedBurst) }

// watchRefused answers, counts and records the system calls that a life's profile refuses,
// until its last process is gone. If it ended before, the kernel would refuse them.
func (s *server) watchRefused(run *running) {
	defer close(run.refusing)
	refused := run.inst.Refused
	if refused == nil { // gVisor tells nobody
		return
	}
	defer refused.Close()
	pace := rate.NewLimiter(refusedRate, refusedBurst)
	for {
		err := refused.Wait()
		if err == nil {
			if !pace.Allow() || !s.d.refusedPace.Allow() {
				time.Sleep(refusedPause) // the call is not yet taken, and can be interrupted
				continue
			}
			err = s.refuseNext(run, refused)
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			s.d.opts.Log.Error("answering refused system calls; the kernel refuses them from now on", "server", s.name, "err", err)
			return
		}
	}
}

// refuseNext answers one call. What cannot be found out or recorded changes nothing: it is
// refused.
func (s *server) refuseNext(run *running, r *runtime.Refused) error {
	c, ok, err := r.Next()
	if err != nil || !ok {
		return err
	}
	if done, err := r.StartServer(c); done || err != nil {
		return err
	}
	name := r.Name(c.Number)
	kind := denials.Kind{Call: name, Args: profiles.Arguments(name, c.Args), Program: r.Program(c)}
	var first denials.Entry
	if !run.denied.Known(kind) {
		first = s.describeRefused(run, r, c, kind)
	}
	flights := run.life.Flights()
	var tools []mcprun.ToolName
	for _, f := range flights {
		tools = append(tools, f.Tool)
	}
	if e, times := run.denied.Add(kind, timeNow(), tools, first); times > 0 {
		s.recordRefused(run, e, times)
		if e.Count == 1 {
			s.log.note("system call refused: " + refusedText(e))
		}
	}
	return r.Refuse(c)
}

// describeRefused explains a kind of refusal that was not seen before.
func (s *server) describeRefused(run *running, r *runtime.Refused, c bpf.Call, kind denials.Kind) denials.Entry {
	d := run.profile.Denial(goruntime.GOARCH, kind.Call, c.Args)
	e := denials.Entry{Rule: d.Rule, Why: d.Why, Add: d.Add, In: d.Builtin}
	var texts []string
	for _, arg := range profiles.Strings(kind.Call) {
		if t := r.Text(c, arg); t != "" {
			texts = append(texts, fmt.Sprintf("%q", lock.Visible(strings.ToValidUTF8(t, "\ufffd"))))
		}
	}
	e.Note = strings.Join(texts, " ")
	return e
}

// refusedText is a refusal in a line of a server's log.
func refusedText(e denials.Entry) string {
	text := e.Call
	if e.Args != "" || e.Note != "" {
		text += "(" + strings.Join(slices.DeleteFunc([]string{e.Args, e.Note}, func(s string) bool { return s == "" }), ", ") + ")"
	}
	if e.Program != "" {
		text += " of " + lock.Visible(strings.ToValidUTF8(e.Program, "\ufffd"))
	}
	return text + ": " + e.Why
}

// detailCall is where the record of a refused system call has its name.
const detailCall = "call"

func (s *server) recordRefused(run *running, e denials.Entry, times int64) {
	rec := &audit.Record{Type: audit.TypeSyscall, Server: s.name, Instance: run.inst.ID, Verdict: mcprun.Deny, Rule: e.Rule, Reason: e.Why, Detail: map[string]string{}}
	if flights := run.life.Flights(); len(flights) == 1 {
		rec.Tool, rec.Call = flights[0].Tool, flights[0].Call
	} else if len(flights) > 1 {
		var names []string
		for _, f := range flights {
			names = append(names, string(f.Tool)+" "+string(f.Call))
		}
		rec.Detail["calls"] = clip(strings.Join(names, ", "))
	}
	for k, v := range map[string]string{detailCall: e.Call, "args": e.Args, "pointing-to": e.Note, "program": e.Program, "add": e.Add, detailTimes: fmt.Sprint(times)} {
		if v != "" {
			rec.Detail[k] = clip(strings.ToValidUTF8(v, "\ufffd"))
		}
	}
	if err := s.d.record.Append(rec); err != nil {
		s.d.opts.Log.Error("recording a refused system call", "server", s.name, "call", e.Call, "err", err)
	}
}

// clip cuts what is for people to what a record takes.
func clip(v string) string {
	return strings.ToValidUTF8(v[:min(len(v), audit.MaxDetailValue)], "")
}

// flushRefused records the repeats that are not yet, at a life's end.
func (s *server) flushRefused(run *running) {
	for _, due := range run.denied.Flush(timeNow()) {
		s.recordRefused(run, due.Entry, due.Times)
	}
}

// denialsOf is where a server's refusals are counted: on from its earlier lives, as long
// as its profile stays the same.
func (s *server) denialsOf(p *profiles.Profile) *denials.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied == nil || s.deniedBy.Digest() != p.Digest() {
		s.denied, s.deniedBy = &denials.Log{}, p
	}
	return s.denied
}

// compile answers the filter of a profile: of the request's, or of the built-in one that it
// names. It changes nothing here.
func compile(c *control.Call) (*control.Result, error) {
	const doing = "compiling the profile"
	p, err := profiles.Load(c.File)
	if len(c.Profile) > 0 {
		p, err = manifest.ParseProfile(c.File, c.Profile)
	}
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err, Hint: "mcprun profile check " + c.File}
	}
	s, err := p.Seccomp(goruntime.GOARCH)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err}
	}
	program, err := bpf.NewProgram(s)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err}
	}
	return &control.Result{Filter: &control.Filter{Program: program.Filter, Newest: program.Newest()}}, nil
}

// denials answers what a server's profile refused since the daemon started.
func (d *Daemon) denials(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	log, by, def := s.denied, s.deniedBy, s.spec
	s.mu.Unlock()
	out := &control.Denials{Server: s.name, Unseen: unseen(def)}
	if log != nil {
		out.Calls, out.Profile = deniedCalls(log), by.Name()
		if by.Own() {
			out.File = by.File()
		} else {
			out.Instead = instead(log, d.ceilings().Profiles)
		}
	}
	return &control.Result{Denials: out}, nil
}

// unseen says why nobody can see what a server's profile refuses; "" where it is seen.
func unseen(def *definition) string {
	if def == nil || def.m.Isolation != manifest.GVisor {
		return ""
	}
	return "gVisor refuses system calls and tells nobody"
}

// instead is a built-in profile that allows all that was refused and that can be allowed at
// all: that of the program, or else the narrowest; "" where none does that may be used.
func instead(log *denials.Log, may []string) string {
	var names []string
	first := true
	all := log.All()
	for _, e := range all {
		switch {
		case e.Add == "":
		case first:
			names, first = slices.Clone(e.In), false
		default:
			names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(e.In, n) })
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(may, n) })
	for _, n := range names {
		if slices.ContainsFunc(all, func(e denials.Entry) bool { return strings.HasPrefix(path.Base(e.Program), n) }) {
			return n
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func deniedCalls(log *denials.Log) []control.DeniedCall {
	var out []control.DeniedCall
	for _, e := range log.All() {
		out = append(out, control.DeniedCall{Call: e.Call, Args: e.Args, PointingTo: e.Note, Program: e.Program, Rule: e.Rule, Why: e.Why, Add: e.Add, Count: e.Count, First: e.First, Last: e.Last, Tools: e.Tools})
	}
	return out
}
