// Package drill measures kill switches: it has a decoy do what is worth killing, kills it
// in every way that harms nobody else, and says how long each step took, as the kill's own
// record has it and as it is seen from outside, against what mcprun aims at.
//
// Its kills are ordinary ones; only their target is not. It does not throw the switch for
// everything, and it tells nothing of servers that resist: that is for tests. What it
// measures holds for this host as busy as it was.
package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
)

const (
	// DefaultRounds makes a drill end within some twenty seconds.
	DefaultRounds = 5
	// MaxRounds is some ten minutes, and more than a p99 needs.
	MaxRounds = 200
	// calls are in flight at each kill, each with a way out of its own.
	calls = 8
	// patience is far more than a kill takes; what is not done by then is a fault.
	patience = 20 * time.Second
	// manyRounds is how often many servers are killed at once: their starts take the time.
	manyRounds = 3
)

// Host is the daemon as a drill uses it.
type Host interface {
	// Start starts the decoy.
	Start(context.Context) error
	// StartMore starts the other servers of its label.
	StartMore(context.Context) error
	// Join connects a client to the decoy.
	Join(mcprun.Principal) (net.Conn, error)
	// InFlight counts the calls that the decoy is working on.
	InFlight() int
	// Processes are those of all its servers.
	Processes() []int
	// Revive takes back a switch that the drill has thrown.
	Revive(limits.Target) error
	// Ladders has each kill of the decoy when all its steps are done.
	Ladders() <-chan Ladder
}

// Ladder is one kill of the decoy as the daemon recorded it.
type Ladder struct {
	Begun time.Time
	Steps []control.KillStep
	Err   error // of steps that failed
}

// Way is one way to throw a switch. Throw returns when it is thrown or, where the way has
// an answer, with that.
type Way struct {
	Name  string
	Start func(context.Context) error // of the decoy, where this way needs one of its own
	Throw func(ctx context.Context, t limits.Target, why string) error
}

// Drill is one drill.
type Drill struct {
	Host     Host
	Decoy    Decoy
	Ear      *Ear // where the decoy connects to; nil where there is none
	Ways     []Way
	Rounds   int
	Big      bool // there is memory for it
	Why      string
	Progress func(string)

	rows []*row
}

// kind is what is killed, doing what.
type kind struct {
	target string
	load   string
	fill   int // MiB
	spawn  int
	more   bool          // the other servers of its label run too
	gone   time.Duration // the aim for its processes
}

const command = "command"

// oneByOne are the kills that a life of the decoy ends with; tool and client go before,
// since it outlives these.
var (
	ofTool   = kind{target: "tool", load: "calls"}
	ofClient = kind{target: "client", load: "calls"}
	ofServer = kind{target: "server", load: "10 processes", spawn: 10, gone: 25 * time.Millisecond}
	ofLabel  = kind{target: "label", load: "10 processes", spawn: 10, gone: 25 * time.Millisecond}
	ofMany   = kind{target: "server", load: "100 processes", spawn: 100, gone: 100 * time.Millisecond}
	ofBig    = kind{target: "server", load: "1 GiB resident", fill: residentMiB, gone: 250 * time.Millisecond}
)

// ofServers is a kill of many servers at once.
func (d *Drill) ofServers() kind {
	return kind{target: "label", load: fmt.Sprintf("%d servers", d.Decoy.More+1), more: true, gone: 500 * time.Millisecond}
}

// Run makes all rounds. What was measured before ctx ended or something failed is in the
// report too.
func (d *Drill) Run(ctx context.Context) (*control.Drill, error) {
	out := &control.Drill{Decoy: string(d.Decoy.Name)}
	var err error
	for n := 1; n <= d.Rounds && err == nil; n++ {
		d.Progress(fmt.Sprintf("round %d of %d", n, d.Rounds))
		if err = d.round(ctx, n); err == nil {
			out.Rounds++
		}
	}
	d.sum(out)
	return out, err
}

func (d *Drill) round(ctx context.Context, n int) error {
	for _, w := range d.Ways {
		first := w.Name == command
		if err := d.life(ctx, w, ofServer, first); err != nil {
			return err
		}
		if !first {
			continue
		}
		for _, k := range []kind{ofLabel, ofMany, ofBig, d.ofServers()} {
			if k.fill > 0 && !d.Big || k.more && (d.Decoy.More == 0 || n > manyRounds) {
				continue
			}
			if err := d.life(ctx, w, k, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// life starts the decoy and kills it; with small first kills that it outlives.
func (d *Drill) life(ctx context.Context, w Way, k kind, small bool) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	start := d.Host.Start
	if w.Start != nil {
		start = w.Start
	}
	if err := start(ctx); err != nil {
		return err
	}
	if k.more {
		if err := d.Host.StartMore(ctx); err != nil {
			return err
		}
	}
	if small {
		for _, k := range []kind{ofTool, ofClient} {
			if err := d.one(ctx, w, k); err != nil {
				return err
			}
		}
	}
	return d.one(ctx, w, k)
}

func (d *Drill) target(k kind) limits.Target {
	all := d.Decoy.Targets()
	return map[string]limits.Target{"server": all[0], "tool": all[1], "label": all[2], "client": all[3]}[k.target]
}

// one has the decoy do what is to be killed, kills it once, and takes it back.
func (d *Drill) one(ctx context.Context, w Way, k kind) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	client, err := d.join(d.Decoy.Client)
	if err != nil {
		return err
	}
	defer client.close()
	other, err := d.join(d.Decoy.Other)
	if err != nil {
		return err
	}
	defer other.close()
	for _, make := range []struct {
		tool mcprun.ToolName
		n    int
	}{{toolSpawn, k.spawn}, {toolFill, k.fill}} {
		if make.n > 0 {
			if err := client.must(make.tool, make.n); err != nil {
				return err
			}
		}
	}
	held, err := d.hold(ctx, client)
	if err != nil {
		return err
	}
	t := d.target(k)
	seen, err := d.kill(w, t, held)
	if err != nil {
		return err
	}
	r := d.row(k, w)
	seen.faults = append(seen.faults, d.after(k, client, other)...)
	r.add(seen)
	return d.Host.Revive(t)
}

func (d *Drill) join(p mcprun.Principal) (*client, error) {
	conn, err := d.Host.Join(p)
	if err != nil {
		return nil, err
	}
	return newClient(conn)
}

// hold has calls in flight, each with a way out that is open, when it returns.
func (d *Drill) hold(ctx context.Context, c *client) ([]<-chan answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if d.Ear != nil {
		d.Ear.forget()
	}
	var held []<-chan answer
	for range calls {
		ch, err := c.call(toolHold, 0)
		if err != nil {
			return nil, err
		}
		held = append(held, ch)
	}
	if d.Ear != nil {
		if err := d.Ear.open(ctx, calls); err != nil {
			return nil, fmt.Errorf("the decoy's ways out do not open: %w%s", err, said(held))
		}
		return held, nil
	}
	for d.Host.InFlight() < calls {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the decoy's calls do not come to be in flight%s", said(held))
		case <-time.After(time.Millisecond):
		}
	}
	return held, nil
}

// said is what a call that should be held was answered.
func said(held []<-chan answer) string {
	for _, ch := range held {
		select {
		case a := <-ch:
			return "; a call was answered: " + a.text
		default:
		}
	}
	return ""
}

// seen is one kill.
type seen struct {
	ladder []control.KillStep
	times  map[string]time.Duration // since the switch was thrown
	faults []string
}

func (s *seen) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// kill throws the switch and sees what becomes of everything. It does not give up in the
// middle: whoever cleans up finds a kill that is over.
func (d *Drill) kill(w Way, t limits.Target, held []<-chan answer) (*seen, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var watched *processes
	if t.Processes() {
		var err error
		if watched, err = holdProcesses(d.Host.Processes()); err != nil {
			return nil, err
		}
		defer watched.close()
	}
	thrown := make(chan error, 1)
	out := &seen{times: map[string]time.Duration{}}
	begun := time.Now()
	gone := make(chan time.Time, 1)
	go func() { gone <- watched.await(ctx) }()
	go func() { thrown <- w.Throw(ctx, t, d.Why) }()
	out.calls(ctx, held, begun)
	if d.Ear != nil {
		out.at(StepCut, begun, d.Ear.ended(ctx, calls))
	}
	last := <-gone
	if watched != nil {
		out.at(StepGone, begun, last)
	}
	out.revoked()
	if err := <-thrown; err != nil {
		return nil, fmt.Errorf("the kill by %s did not work: %w", w.Name, err)
	}
	select {
	case l := <-d.Host.Ladders():
		out.ladder = l.Steps
		out.times[StepHeard] = l.Begun.Sub(begun)
		if l.Err != nil {
			out.fault("%v", l.Err)
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("the kill by %s is not done within %v", w.Name, patience)
	}
	return out, nil
}

// calls waits for what the calls in flight are answered.
func (s *seen) calls(ctx context.Context, held []<-chan answer, begun time.Time) {
	var last time.Time
	for _, ch := range held {
		select {
		case a := <-ch:
			if !a.refused() {
				s.fault("a call in flight was answered otherwise than with an error that says killed: %s", a.text)
			}
			if a.at.After(last) {
				last = a.at
			}
		case <-ctx.Done():
			s.fault("a call in flight got no answer within %v", patience)
			return
		}
	}
	s.at(StepTold, begun, last)
}

// at notes when the last of a kind was over; the zero time is never.
func (s *seen) at(step string, begun, over time.Time) {
	if over.IsZero() {
		s.fault("not all within %v: %s", patience, step)
		return
	}
	s.times[step] = over.Sub(begun)
}

// revoked is when nothing of what was killed can do anything any more.
func (s *seen) revoked() {
	if len(s.faults) > 0 {
		return
	}
	last := time.Duration(0)
	for _, t := range s.times {
		last = max(last, t)
	}
	s.times[StepRevoked] = last
}

// after looks whether the kill holds, and that it stopped nothing else.
func (d *Drill) after(k kind, killed, other *client) (faults []string) {
	want := func(c *client, tool mcprun.ToolName, what string, good func(answer) bool) {
		a, err := c.ask(tool)
		if err != nil {
			a.text = err.Error()
		}
		if !good(a) {
			faults = append(faults, fmt.Sprintf("after it, %s: %s", what, a.text))
		}
	}
	refused, answered := answer.refused, answer.good
	switch k.target {
	case "tool":
		want(killed, toolHold, "a new call of the tool was not refused", refused)
		want(killed, toolAnswer, "a call of another tool was not answered", answered)
	case "client":
		if c, err := d.Host.Join(d.Decoy.Client); err == nil {
			c.Close()
			faults = append(faults, "after it, the client could connect")
		}
		want(other, toolAnswer, "a call of another client was not answered", answered)
	default:
		want(killed, toolAnswer, "a new call was not refused", refused)
		if left := d.Host.Processes(); len(left) > 0 {
			faults = append(faults, fmt.Sprintf("after it, %d processes are there", len(left)))
		}
	}
	return faults
}

// ErrInterrupted ends a drill that nobody waits for any more.
var ErrInterrupted = errors.New("interrupted")

// row is all kills of one kind in one way.
type row struct {
	kind    kind
	way     string
	outward int
	ladder  []string // the steps in their order
	samples map[string][]time.Duration
	faults  []string
}

func (d *Drill) row(k kind, w Way) *row {
	i := slices.IndexFunc(d.rows, func(r *row) bool { return r.kind == k && r.way == w.Name })
	if i >= 0 {
		return d.rows[i]
	}
	r := &row{kind: k, way: w.Name, samples: map[string][]time.Duration{}}
	if d.Ear != nil {
		r.outward = calls
	}
	d.rows = append(d.rows, r)
	return r
}

func (r *row) add(s *seen) {
	for step, t := range s.times {
		r.samples[step] = append(r.samples[step], t)
	}
	for _, step := range s.ladder {
		if !slices.Contains(r.ladder, step.Step) {
			r.ladder = append(r.ladder, step.Step)
		}
		r.samples[step.Step] = append(r.samples[step.Step], time.Duration(step.AfterMS*float64(time.Millisecond)))
	}
	for _, f := range s.faults {
		if !slices.Contains(r.faults, f) && len(r.faults) < maxFaults {
			r.faults = append(r.faults, strings.ToValidUTF8(f[:min(len(f), maxFault)], "\uFFFD"))
		}
	}
}

// maxFaults and maxFault bound what a report says of what went wrong: the first tell it.
const maxFaults, maxFault = 8, 300
