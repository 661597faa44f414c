package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/runtime/cgroup"
)

// killCleanup bounds how long a kill waits for the last step, which needs
// containerd; with containerd stuck, the next start of the daemon does it.
const killCleanup = 10 * time.Second

// Ways in which a switch is thrown, for the record.
const (
	wayCommand = "command"
	wayRun     = "run interrupted"
	waySignal  = "signal"
)

// targetOf is what a kill or revive request names.
func targetOf(doing string, c *control.Call) (limits.Target, error) {
	t := limits.Target{Server: c.Server, Tool: c.Tool, Label: c.Label, Principal: c.Client}
	err := t.Valid()
	if err == nil && c.All != (t == limits.Target{}) {
		err = errors.New("name one target, or everything")
	}
	if err != nil {
		return t, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err, Hint: "mcprun kill NAME, NAME/TOOL, --label KEY=VALUE, --principal uid:NUMBER or --all"}
	}
	return t, nil
}

func (d *Daemon) kill(c *control.Call) (*control.Result, error) {
	t, err := targetOf("killing", c)
	if err != nil {
		return nil, err
	}
	var p *keeper
	if c.Preserve {
		if err := mayKeep(t); err != nil {
			return nil, err
		}
		p = &keeper{d: d}
	}
	report, err := d.killNamed(newKill(t, string(c.Peer.Principal()), c.Why, wayCommand), p)
	if err != nil {
		return nil, err
	}
	return &control.Result{Killed: report}, nil
}

// killNamed kills what somebody has named. A name that was never started could be killed
// too (it would then never start), but a slip of the pen must not look like a kill that
// worked. p, where it is not nil, keeps what ends.
func (d *Daemon) killNamed(k limits.Kill, p *keeper) (*control.KillReport, error) {
	if k.Server != "" {
		if _, err := d.server(k.Server, false); err != nil {
			return nil, err
		}
	}
	report, err := d.throwKeeping(k, p)
	if err != nil { // it is thrown all the same, and whoever asked hears both
		report.Problems = strings.Split(err.Error(), "\n")
	}
	return report, nil
}

func newKill(t limits.Target, who, why, way string) limits.Kill {
	why = strings.TrimSpace(why)
	if why == "" {
		why = "no reason given"
	}
	return limits.Kill{Target: t, Who: who, Why: why, When: timeNow(), Way: way}
}

// ladder is one kill under way: what it did so far, and when.
type ladder struct {
	k      limits.Kill
	begun  time.Time
	report *control.KillReport
	errs   []error
	keeper *keeper // nil: nothing is kept
}

// step notes that a step is done. One that failed does not stop the next ones: what
// it could not do is in the report and the error.
func (l *ladder) step(name string, err error, note string) {
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", name, err))
		note = err.Error()
	}
	l.report.Steps = append(l.report.Steps, control.KillStep{Step: name, AfterMS: float64(time.Since(l.begun).Microseconds()) / 1000, Note: note})
	failpoint.Hit("kill." + name)
}

// throw climbs the ladder of a kill, in the order of the design: deny, record,
// fail and cut (which wait for nothing of each other), kill, stay dead, clean.
func (d *Daemon) throw(k limits.Kill) (*control.KillReport, error) { return d.throwKeeping(k, nil) }

// throwKeeping is throw, and keeps what ends: a look before the kill, for as long as
// lookBound, and the copies after it, when nothing that protects is left to do.
func (d *Daemon) throwKeeping(k limits.Kill, p *keeper) (*control.KillReport, error) {
	l := &ladder{k: k, begun: timeNow(), keeper: p, report: &control.KillReport{Target: k.Target.String(), Argument: k.Argument(), Who: k.Who, Why: k.Why, When: k.When}}
	d.switches.Deny(k)
	targets := d.targets(k.Target)
	d.desk.Revoke(approval.Stops(k.Target, namesOf(targets)))
	l.step("deny", nil, "")
	l.step("record", d.recordKill(k, targets), "")
	if k.Processes() {
		d.endServers(l, targets)
	} else {
		d.endCalls(l, targets)
	}
	d.recordLadder(l)
	d.drills.saw(l)
	return l.report, errors.Join(l.errs...)
}

// endCalls is the rest of the ladder where the servers stay.
func (d *Daemon) endCalls(l *ladder, targets []*server) {
	l.step("cut", nil, "with its calls")
	for _, s := range targets {
		// Who is to go is looked up before calls fail: one that has its error may be gone at once.
		var theirs []*front.Session
		if p := l.k.Principal; p != "" {
			theirs = s.front.ClientSessions(p)
		}
		l.report.Failed += s.front.FailCalls(l.k)
		for _, c := range theirs {
			c.Close()
		}
		l.report.Sessions += len(theirs)
		if l.k.Principal == "" {
			s.front.ToolsChanged()
		}
	}
	l.step("fail", nil, "")
	l.step("stay dead", d.persist(l.k), "")
}

// endServers is the rest of the ladder where processes end.
func (d *Daemon) endServers(l *ladder, targets []*server) {
	if l.keeper != nil {
		l.keeper.k = l.k
		l.keeper.look(targets) // meanwhile: a server that is cut off may put its things away
	}
	// Both at once: with many servers, a client would otherwise wait for all their ways out.
	// No way out waits for a client either, and none closes later for it.
	told := l.tell(targets)
	cut := l.cutNetworks(targets)
	l.awaitTold(told)
	l.step("cut", nil, cut())
	if l.keeper != nil {
		note, err := l.keeper.looked()
		l.step("look", err, note)
	}
	note, err := killProcesses(targets, l.report)
	l.step("kill", err, note)
	l.step("stay dead", d.persist(l.k), "")
	if l.keeper != nil {
		kept, note := l.keeper.keep()
		l.report.Kept = kept
		l.step("keep", nil, note)
	}
	l.step("clean", d.awaitEnd(targets, l.k), "")
}

// failBound is how long the kill waits for the calls in flight to have failed. It takes
// no time; what could make it take any must not keep processes alive.
const failBound = 500 * time.Millisecond

// tell begins to fail all calls in flight of the targets, and says how many there were when
// it is done. The servers do not learn of it. They would from the end of their connections,
// while their ways out are open; and fifty that wake up to end by themselves keep the
// processors from the cut, the answers and the kill: some 300 ms on two. What they send is
// not heard any more; the connection ends with the last step.
func (l *ladder) tell(targets []*server) <-chan int {
	cause := &front.KilledError{Kill: l.k}
	failed := make(chan int, 1)
	go func() {
		failpoint.Hold("kill.fail")
		n := 0
		for _, s := range targets {
			n += s.front.InFlight()
			s.front.FailHeld(cause)
		}
		failed <- n
	}()
	return failed
}

func (l *ladder) awaitTold(failed <-chan int) {
	select {
	case l.report.Failed = <-failed:
		l.step("fail", nil, "")
	case <-time.After(failBound):
		l.step("fail", fmt.Errorf("not all calls in flight have failed within %v; they end with their servers", failBound), "")
	}
}

// persistBound is how long a kill waits for the disk to take the switch: by then no
// process is left, and a disk that takes longer is about to fail.
const persistBound = 2 * time.Second

// persist puts the switch on disk. One that cannot be written holds in memory, and
// keepSwitches tries again.
func (d *Daemon) persist(k limits.Kill) error {
	done := make(chan error, 1)
	go func() {
		failpoint.Hold("kill.persist")
		done <- d.switches.Persist(k)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(persistBound):
		return fmt.Errorf("the disk does not take the switch within %v; it holds for as long as this daemon runs, and is written when the disk goes on", persistBound)
	}
}

// retryEvery is how soon a switch that could not be written is tried again.
const retryEvery = time.Second

// keepSwitches writes the switches that could not be written when they were thrown.
func (d *Daemon) keepSwitches(ctx context.Context) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, _ := d.switches.Retry(); n > 0 { // that it failed was said when it was thrown
			d.opts.Log.Warn("switches are on disk that could not be written before", "n", n)
		}
	}
}

// recordBound is how long a kill waits for its record. The disk takes milliseconds; one
// that hangs must not keep a server alive, and the record comes when it goes on.
const recordBound = 500 * time.Millisecond

// recordKill says who stops what, and why, before any of it happens.
func (d *Daemon) recordKill(k limits.Kill, targets []*server) error {
	rec := &audit.Record{Type: audit.TypeKill, Who: k.Who, Why: k.Why, Detail: map[string]string{detailWay: k.Way}}
	approval.MarkKill(rec, k.Target, namesOf(targets))
	done := make(chan error, 1)
	go func() {
		failpoint.Hold("kill.record")
		done <- d.record.AppendCritical(rec)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(recordBound):
		return fmt.Errorf("the disk does not take it within %v; the kill goes on", recordBound)
	}
}

// detailWay is where the record of a kill says how it was thrown.
const detailWay = "way"

// recordLadder says what the kill did, and how long each step took.
func (d *Daemon) recordLadder(l *ladder) {
	rec := &audit.Record{Type: audit.TypeNote, Method: "mcprun kill", Server: l.k.Server, Tool: l.k.Tool, Who: l.k.Who, Why: l.k.Why, Duration: time.Since(l.begun), Outcome: "killed",
		Reason: "what the kill of " + l.k.Target.String() + " did",
		Detail: map[string]string{"calls-failed": fmt.Sprint(l.report.Failed), "sessions-ended": fmt.Sprint(l.report.Sessions), "servers-ended": fmt.Sprint(len(l.report.Servers))}}
	if len(l.errs) > 0 {
		rec.Outcome, rec.Reason = "killed, but not all of it was done", clipTo(errors.Join(l.errs...).Error(), audit.MaxText)
	}
	for _, s := range l.report.Steps {
		rec.Detail["ms-"+strings.ReplaceAll(s.Step, " ", "-")] = fmt.Sprintf("%.3f", s.AfterMS)
	}
	if !within(recordBound, func() {
		if err := d.record.Append(rec); err != nil {
			d.opts.Log.Error("recording what a kill did", "target", l.k.Target.String(), "err", err)
		}
	}) {
		d.opts.Log.Error("the disk does not take the record of what a kill did", "target", l.k.Target.String())
	}
	d.opts.Log.Warn("killed", "target", l.k.Target.String(), "who", l.k.Who, "why", l.k.Why, "way", l.k.Way, "took", time.Since(l.begun))
}

func clipTo(s string, n int) string { return s[:min(len(s), n)] }

func namesOf(all []*server) []mcprun.ServerName {
	out := make([]mcprun.ServerName, len(all))
	for i, s := range all {
		out[i] = s.name
	}
	return out
}

// cutNetworks begins to close the ways out of all targets and to forget their credentials,
// and returns what waits for that. A tool's connections end with its calls.
func (l *ladder) cutNetworks(targets []*server) (wait func() (note string)) {
	n, cause := 0, &front.KilledError{Kill: l.k}
	begun := time.Now()
	var cut sync.WaitGroup
	for _, s := range targets {
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run != nil {
			n++
			cut.Go(func() {
				failpoint.Hold("kill.cut")
				run.net.close(cause)
			})
		}
	}
	return func() string {
		if !within(max(0, cutBound-time.Since(begun)), cut.Wait) {
			return fmt.Sprintf("%d ways out, not all closed after %v; they end with their processes", n, cutBound)
		}
		return fmt.Sprintf("%d ways out", n)
	}
}

// cutBound is how long the steps after the cut wait for it. It takes less than a
// millisecond; a container that could make it take longer must not put off its end.
const cutBound = 100 * time.Millisecond

// within reports whether f returned in time; it goes on if not.
func within(bound time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(bound):
		return false
	}
}

// targets are the servers that a kill is about. That of a client is about all.
func (d *Daemon) targets(t limits.Target) []*server {
	if t.Server != "" {
		if s, err := d.server(t.Server, false); err == nil {
			return []*server{s}
		}
		return nil
	}
	all := d.all()
	if t.Label != "" {
		all = slices.DeleteFunc(all, func(s *server) bool { return !slices.Contains(s.labels(), t.Label) })
	}
	return all
}

// labels are those of the server that runs, and of a start or lock under way.
func (s *server) labels() []mcprun.Label {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Clone(s.front.Subject("", "").Labels), s.coming...)
}

// killBound is how long the later steps wait for the last process: a GiB takes the kernel
// 70 ms to free. What takes longer is waited for at the end.
const killBound = 2 * time.Second

// killProcesses ends the processes of all targets at once, and starts that are
// under way.
func killProcesses(targets []*server, report *control.KillReport) (note string, err error) {
	ended := make(chan error, len(targets))
	step := &dying{over: make(chan struct{})}
	defer close(step.over)
	n := 0
	for _, s := range targets {
		s.mu.Lock()
		run, cancel := s.run, s.cancel
		if cancel != nil {
			cancel()
		}
		s.mu.Unlock()
		if run == nil {
			continue
		}
		n++
		report.Servers = append(report.Servers, string(s.name))
		run.dying.Store(step)
		go func() {
			failpoint.Hold("kill.kill")
			err := run.inst.Kill()
			failpoint.Hit("kill.processes-gone")
			ended <- err
		}()
	}
	late := time.After(killBound)
	for range n {
		select {
		case one := <-ended:
			err = errors.Join(err, one)
		case <-late:
			return fmt.Sprintf("not all processes are gone after %v; the last step waits for them", killBound), err
		}
	}
	return "", err
}

// awaitEnd waits until nothing of the targets is left, starts under way included.
func (d *Daemon) awaitEnd(targets []*server, k limits.Kill) error {
	ctx, cancel := context.WithTimeout(context.Background(), killCleanup)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(targets))
	for i, s := range targets {
		wg.Go(func() { errs[i] = s.awaitDead(ctx, k) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *server) awaitDead(ctx context.Context, k limits.Kill) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		failpoint.Hold("kill.clean")
		s.acquire() // a start under way was cancelled and gives way
		defer s.release()
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run != nil {
			s.d.end(s, run, &front.KilledError{Kill: k})
		}
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	if run != nil {
		select {
		case <-run.inst.Done():
		default:
			return fmt.Errorf("%s: its processes are still there after %v", s.name, killCleanup)
		}
	}
	return fmt.Errorf("%s: containerd does not answer; its processes are gone, the rest is removed when it does, or at the daemon's next start", s.name)
}

// throwAll kills everything for one who holds no connection. A ladder that does not reach
// its processes, whatever of this daemon hangs, must not keep them alive: then they are
// ended as mcprun kill --all does it without a daemon.
func (d *Daemon) throwAll(k limits.Kill) error {
	done := make(chan error, 1)
	go func() { _, err := d.throw(k); done <- err }()
	select {
	case err := <-done:
		return err
	case <-time.After(ladderBound):
	}
	h, err := cgroup.Find()
	if err == nil {
		err = h.KillAll("/"+d.opts.Dirs.CgroupParent(), killCleanup)
	}
	return errors.Join(fmt.Errorf("the kill takes longer than %v; the processes were ended past it", ladderBound), err, d.persist(k))
}

// ladderBound is far more than a kill takes until no process is left.
const ladderBound = 3 * time.Second
