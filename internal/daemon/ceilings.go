package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/policyfile"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// law is the operator's ceilings: those in force, and what is wrong with a newer file.
type law struct {
	mu     sync.Mutex // one reload at a time
	now    atomic.Pointer[inForce]
	broken atomic.Pointer[brokenFile]
}

type inForce struct {
	*manifest.Ceilings
	file  string // "" where there is none and the defaults hold
	text  []byte // of the file
	since time.Time
}

// brokenFile is a newer policy.yaml that could not be taken.
type brokenFile struct {
	why   string
	since time.Time // of the first look that found no good one
}

// ceilings are those in force now; nil, which allows nothing, before they are read.
func (d *Daemon) ceilings() *manifest.Ceilings {
	if now := d.law.now.Load(); now != nil {
		return now.Ceilings
	}
	return nil
}

// above are the ceilings for one server: those in force, but for the decoy of a drill, which
// is no server of anybody's but a program of mcprun's own, made and bounded by the daemon.
func (d *Daemon) above(def *definition) *manifest.Ceilings {
	if def.decoy {
		return manifest.DefaultCeilings()
	}
	return d.ceilings()
}

// readCeilings reads policy.yaml. Only the file at the default place may be missing.
func (d *Daemon) readCeilings() (*inForce, error) {
	file := d.opts.Policy
	c, text, err := policyfile.Read(file)
	if errors.Is(err, fs.ErrNotExist) && !d.opts.PolicyNamed {
		c, file, err = manifest.DefaultCeilings(), "", nil
	}
	if err != nil {
		return nil, err
	}
	return &inForce{c, file, text, timeNow()}, nil
}

// openCeilings reads them at the start; the daemon does not run without.
func (d *Daemon) openCeilings() error {
	now, err := d.readCeilings()
	if err != nil {
		return err
	}
	d.law.now.Store(now)
	d.reflexes.watch.SetCommon(now.Kill)
	return nil
}

// within refuses a server that asks for more than the ceilings give.
func (d *Daemon) within(doing string, def *definition) error {
	v := d.above(def).Check(def.m, filepath.Dir(def.file), def.own())
	if len(v) == 0 {
		return nil
	}
	return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: "it asks for more than the operator allows:\n  " + violations(v, "\n  "),
		Hint: "change " + def.file + ", or the ceilings (mcprun policy show); try with mcprun check " + def.file}
}

func violations(all []manifest.Violation, between string) string {
	var out []string
	for _, v := range all {
		out = append(out, v.String())
	}
	return strings.Join(out, between)
}

// reloadCeilings reads policy.yaml anew and puts it in force: for every start from now
// on, for every next call, and by ending servers that ask for more. Whatever is wrong
// with the file, the ceilings that hold stay.
func (d *Daemon) reloadCeilings(who mcprun.Principal) (*control.Ceilings, error) {
	d.law.mu.Lock()
	defer d.law.mu.Unlock()
	const doing = "reloading policy.yaml"
	was := d.law.now.Load()
	now, err := d.readCeilings()
	if err == nil && now.file == "" && was.file != "" {
		err = &mcprun.Error{Class: mcprun.Usage, What: doing, Why: was.file + " is gone", Hint: "put it back; to do without one, restart the daemon"}
	}
	if err != nil {
		return nil, d.keepCeilings(who, err)
	}
	rec := &audit.Record{Type: audit.TypePolicy, Principal: who, Reason: "policy.yaml was read again",
		Detail: map[string]string{detailCeilings: string(now.Digest()), "ceilings-before": string(was.Digest()), "file": now.file}}
	if err := d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded, and the old one stays in force: %w", doing, err)
	}
	failpoint.Hit("ceilings.recorded")
	d.law.now.Store(now)
	d.law.broken.Store(nil)
	d.limits.SetCommon(now.Limits.Common(), timeNow())
	d.reflexes.watch.SetCommon(now.Kill)
	d.toldFromNowOn()
	failpoint.Hit("ceilings.stored")
	shown := d.shownCeilings()
	shown.Ended = d.enforce(who)
	return shown, nil
}

// detailCeilings is where a record keeps the digest of the ceilings.
const detailCeilings = "ceilings"

// keepCeilings notes that a newer file could not be taken.
func (d *Daemon) keepCeilings(who mcprun.Principal, err error) error {
	e := &mcprun.Error{Class: mcprun.Failed, What: "reloading policy.yaml", Err: err}
	errors.As(err, &e)
	since := timeNow()
	if b := d.law.broken.Load(); b != nil {
		since = b.since
	}
	why := e.Error()
	d.law.broken.Store(&brokenFile{why, since})
	rec := &audit.Record{Type: audit.TypeNote, Principal: who, Who: string(who), Reason: "policy.yaml could not be reloaded, and the one before it stays in force: " + why,
		Detail: map[string]string{detailCeilings: string(d.ceilings().Digest())}}
	if rerr := d.record.Append(rec); rerr != nil {
		d.opts.Log.Error("recording a broken policy.yaml", "err", rerr)
	}
	out := *e
	out.Why = strings.TrimPrefix(why, e.What+": ") + "\nthe ceilings of " + d.law.now.Load().since.Format(time.RFC3339) + " stay in force"
	return &out
}

// enforce holds every running server against the ceilings in force, and names those
// that it ended.
func (d *Daemon) enforce(who mcprun.Principal) []mcprun.ServerName {
	ended := []mcprun.ServerName{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range d.all() {
		wg.Go(func() {
			if s.enforce(who) != nil {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, s.name)
				return
			}
			s.front.ToolsChanged()
		})
	}
	wg.Wait()
	return ended
}

// enforce ends the server if it asks for more than the ceilings give now, with why;
// otherwise its next call is judged by them.
func (s *server) enforce(who mcprun.Principal) error {
	s.mu.Lock()
	run, def, back := s.run, s.spec, comesBack(s.state)
	s.mu.Unlock()
	if run == nil && back {
		s.rest(def)
	}
	if run == nil {
		return nil // a start under way looks again when it is up
	}
	v := s.d.above(def).Check(with(def.m, run.resources()), filepath.Dir(def.file), def.own())
	if len(v) == 0 {
		s.judge(run, def)
		return nil
	}
	cause := fmt.Errorf("stopped: policy.yaml no longer allows what it asks for: %s", violations(v, "; "))
	s.mu.Lock()
	if s.run == run {
		s.state, s.why, s.since = "stopped", cause.Error(), timeNow()
	}
	s.mu.Unlock()
	s.front.Rest(nil)
	s.d.record.Append(&audit.Record{Type: audit.TypeStop, Server: s.name, Instance: run.inst.ID, Principal: who, Why: cause.Error(), Outcome: "asked"})
	failpoint.Hit("ceilings.stop-asked")
	s.d.end(s, run, cause)
	return cause
}

// judge makes the policy of a running server anew from what holds now, for every
// message that comes after.
func (s *server) judge(run *running, def *definition) []gate.Problem {
	run.judging.Lock()
	defer run.judging.Unlock()
	policy, problems := policyOf(def, s.d.above(def))
	run.base = policy
	s.d.limits.Set(s.name, def.m.CallLimits(s.d.above(def)), timeNow())
	s.front.Rest(&front.Face{Greeting: pinnedGreeting(def.lock), Policy: policy})
	run.life.SetPolicy(policy.Changed(run.current))
	return problems
}

// policyOf is what calls of a server are judged by if it is as it was pinned.
func policyOf(def *definition, c *manifest.Ceilings) (*gate.Policy, []gate.Problem) {
	return gate.PolicyOf(def.m, def.lock, c)
}

// found takes what the server's tools are now; nil if that is not known.
func (run *running) found(current *lock.File) {
	run.judging.Lock()
	defer run.judging.Unlock()
	run.current = current
	run.life.SetPolicy(run.base.Changed(current))
}

func (d *Daemon) shownCeilings() *control.Ceilings {
	now := d.law.now.Load()
	c, source := hideAddress(now.Ceilings, now.text)
	out := &control.Ceilings{File: now.file, Reads: d.opts.Policy, Source: source, Digest: now.Digest(), Since: now.since, Webhook: d.shownWebhook()}
	if text, err := manifest.MarshalCeilings(c); err == nil {
		out.Text = string(text)
	}
	if source == nil && now.text != nil {
		out.Source = []byte(out.Text)
	}
	if b := d.law.broken.Load(); b != nil {
		out.Broken = &control.BrokenCeilings{Why: b.why, Since: b.since}
	}
	return out
}
