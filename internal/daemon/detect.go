package daemon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/netpolicy/egress"
	"github.com/mcprun/mcprun/profiles"
)

const (
	// wayPolicy is a kill that a rule of policy.yaml or server.yaml threw by itself.
	wayPolicy = "policy"
	// whoPolicy did it.
	whoPolicy = "policy"
	// ruleAccessDenied is the rule of records of what was refused at the control socket.
	ruleAccessDenied = "access.denied"
)

// watchedRecord is the record, with every line looked at once it is written. One that
// cannot be written is looked at too: a full disk must not keep a server alive.
type watchedRecord struct {
	*audit.Log
	see func(*audit.Record)
}

func (w *watchedRecord) Append(r *audit.Record) error {
	err := w.Log.Append(r)
	w.see(r)
	return err
}

func (w *watchedRecord) AppendDurable(r *audit.Record) error {
	err := w.Log.AppendDurable(r)
	w.see(r)
	return err
}

// reflexes throws the switches that are thrown by themselves. The zero value throws none.
type reflexes struct {
	watch  detect.Watch
	ladder sync.WaitGroup // kills under way

	before   uint64   // the last record of earlier lives
	recalled sync.Map // servers for which the record was read
}

// close waits for the kills that are under way, and begins no more.
func (r *reflexes) close() {
	r.watch.Close()
	r.ladder.Wait()
}

// see looks at one record.
func (d *Daemon) see(rec *audit.Record) {
	if e, ok := seenIn(rec); ok {
		d.detected(e, rec.Seq)
	}
}

// detected counts what was seen, in a record if it has a number. New calls are refused
// when it returns, if that kills; the rest of the ladder follows, since whoever saw it may
// be what the ladder waits for.
func (d *Daemon) detected(e detect.Event, record uint64) {
	stopped := func(q limits.Subject) bool { _, is := d.switches.Check(q); return is }
	d.reflexes.watch.See(e, timeNow(), stopped, func(h detect.Hit) {
		why := h.Why()
		if record > 0 {
			why += fmt.Sprintf(" (record %d)", record)
		}
		k := newKill(h.Target, whoPolicy, why, wayPolicy)
		d.switches.Deny(k)
		d.reflexes.ladder.Go(func() { d.throwByItself(k) })
	})
}

func (d *Daemon) throwByItself(k limits.Kill) {
	var err error
	if k.Target == (limits.Target{}) {
		err = d.throwAll(k)
	} else {
		_, err = d.throw(k)
	}
	if err != nil {
		d.opts.Log.Error("a kill by itself", "target", k.Target.String(), "why", k.Why, "err", err)
	}
}

// recallSeen counts anew what earlier lives saw, as the record has it: otherwise a server
// that can make the daemon crash would never be killed.
func (d *Daemon) recallSeen() error {
	d.reflexes.before = d.record.Head().Seq
	return d.recall(d.reflexes.watch.Recall())
}

// recallServer does what recallSeen cannot before the server.yaml is known, once in a life.
func (d *Daemon) recallServer(name mcprun.ServerName) error {
	if _, done := d.reflexes.recalled.Load(name); done {
		return nil
	}
	if err := d.recall(d.reflexes.watch.RecallServer(name)); err != nil {
		return err
	}
	d.reflexes.recalled.Store(name, true)
	return nil
}

func (d *Daemon) recall(r *detect.Recall) error {
	reach := r.Reach()
	if reach == 0 {
		return nil
	}
	now := timeNow()
	since := now.Add(-reach)
	err := audit.Since(d.opts.Dirs.Audit(), since, func(e audit.Entry) error {
		rec := &e.Record
		if rec.Time.Before(since) {
			return nil
		}
		at := rec.Time
		if at.After(now) { // the clock went back
			at = now
		}
		t, named := approval.KillTarget(rec)
		switch {
		case named && rec.Type == audit.TypeKill:
			r.Threw(t, at, rec.Why)
		case named && rec.Type == audit.TypeRevive:
			r.Revived(t)
		case rec.Seq <= d.reflexes.before: // what came later was counted as it came
			if e, ok := recordedIn(rec); ok {
				r.Saw(e, at)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what was seen by rules that kill: %w", err)
	}
	for _, k := range d.switches.All() { // thrown before, or with no daemon to record it
		r.Holds(k.Target, k.When, k.Why)
	}
	r.Done(now)
	return nil
}

// recordedIn is seenIn, and the limits of containers too.
func recordedIn(rec *audit.Record) (detect.Event, bool) {
	if rec.Type != audit.TypeStrain {
		return seenIn(rec)
	}
	e := detect.Event{Server: rec.Server, Times: number(rec.Detail[detailTimes])}
	switch rec.Rule {
	case rulePrefix + "memory":
		e.Name = detect.ContainerMemory
	case rulePrefix + "pids":
		e.Name = detect.ContainerPids
	}
	return e, e.Name != ""
}

// notAttempts are refusals of the way out that say nothing of what a server is up to: it
// came to the end of what it may use, or its own end came first.
var notAttempts = []netpolicy.Reason{netpolicy.ReasonLimit, netpolicy.ReasonBudget, netpolicy.ReasonKilled, netpolicy.ReasonClosed, netpolicy.ReasonUpstream}

// notTheClients are refusals for what the server became, which no client can help.
var notTheClients = []string{gate.RuleChanged, gate.RuleWithheld, gate.RuleServerMismatch}

// probes are system calls that no profile has and that honest programs try first: node
// asks for io_uring at each of its starts, and would be killed by a rule that counts it.
var probes = []string{"io_uring_setup"}

// seenIn is what a record says was detected; detect.Detections says what counts. Limits of
// containers are counted where they are seen, since not each time is recorded at once.
func seenIn(rec *audit.Record) (e detect.Event, ok bool) {
	e = detect.Event{Server: rec.Server, Tool: rec.Tool, Times: 1}
	switch rec.Type {
	case audit.TypeEgress:
		e.Name, e.Tool = refusedWay(rec), ""
		e.Times += number(rec.Detail[egress.DetailLeftOut])
	case audit.TypeToolChange:
		e.Name = named(rec.Rule == ruleToolChanged, detect.ToolChanged)
	case audit.TypeResult:
		e.Name = named(rec.Rule == front.RuleResultInvalid, detect.ResultInvalid)
	case audit.TypeDrop:
		e.Name = named(rec.Rule == upstream.RuleViolation, detect.ProtocolViolation)
	case audit.TypeSyscall:
		e.Name, e.Times = named(rec.Rule == profiles.RuleNever && !slices.Contains(probes, rec.Detail[detailCall]), detect.SyscallNever), number(rec.Detail[detailTimes])
	case audit.TypeStop:
		e.Name = named(rec.Outcome == outcomeCrashed, detect.ServerCrashed)
	case audit.TypeRefuse:
		e.Name, e.Principal = named(refusedCall(rec), detect.CallRefused), rec.Principal
	case audit.TypeAccessDenied:
		e.Name, e.Principal = named(rec.Rule == ruleAccessDenied, detect.AccessDenied), rec.Principal
	}
	return e, e.Name != ""
}

// killsOf are the rules of a file, as people read them.
func killsOf(rules []detect.Rule, file string) (out []string) {
	for _, r := range rules {
		out = append(out, r.String()+" ("+file+")")
	}
	return out
}

// named is n if it is so, and else nothing.
func named(is bool, n detect.Name) detect.Name {
	if is {
		return n
	}
	return ""
}

func refusedWay(rec *audit.Record) detect.Name {
	reason, ours := strings.CutPrefix(rec.Rule, egress.RulePrefix)
	switch {
	case rec.Verdict != mcprun.Deny:
	case rec.Rule == egress.RuleMisuse:
		return detect.CredentialMisuse
	case ours && !slices.Contains(notAttempts, netpolicy.Reason(reason)):
		return detect.EgressDenied
	}
	return ""
}

// refusedCall is of calls that clients made; a dry run is the daemon's own.
func refusedCall(rec *audit.Record) bool {
	return decided.Judged(rec) && decided.PreviewOf(rec) == "" && !slices.Contains(notTheClients, rec.Rule)
}

// number reads a count out of a record. Nobody but the daemon writes it; what is none is
// nothing, and one beyond all rules is enough for each.
func number(text string) int {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return int(min(n, detect.MaxTimes))
}
