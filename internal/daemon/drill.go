package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/drill"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
)

const (
	// drillCleanup bounds the end of a drill, which happens whatever became of it.
	drillCleanup = time.Minute
	// spareMemory has to be left for everybody else while the decoy holds a GiB.
	spareMemory = 3 << 30
	// drillFile has the names of the drill that goes on, for a daemon that finds it after a crash.
	drillFile = "drill.json"
)

// drills is the drill that goes on, if one does: there is one at a time, for two would
// measure each other.
type drills struct {
	mu  sync.Mutex
	now *ownDrill
}

// ownDrill is a drill as the daemon carries it out.
type ownDrill struct {
	d     *Daemon
	who   mcprun.Principal
	why   string
	begun time.Time
	decoy drill.Decoy

	servers []decoyServer // the decoy's own first
	ladders chan drill.Ladder
	page    struct{ origin, token string } // the session on it, if there is one
	run     foreground
}

// decoyServer is one server of a decoy.
type decoyServer struct {
	*server
	def *definition
}

// drill kills a decoy in every way that harms nobody else, and measures it.
func (d *Daemon) drill(ctx context.Context, c *control.Call) (*control.Result, error) {
	rounds := c.Rounds
	if rounds == 0 {
		rounds = drill.DefaultRounds
	}
	if rounds < 0 || rounds > drill.MaxRounds {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "drilling the kill switch", Why: fmt.Sprintf("%d rounds; between 1 and %d", rounds, drill.MaxRounds),
			Hint: fmt.Sprintf("mcprun drill kill --rounds %d", drill.DefaultRounds)}
	}
	if c.Servers < 0 || c.Servers > drill.MaxServers {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "drilling the kill switch", Why: fmt.Sprintf("%d servers at once; at most %d", c.Servers, drill.MaxServers),
			Hint: fmt.Sprintf("mcprun drill kill --servers %d", drill.MaxServers)}
	}
	o, err := d.claimDrill(c)
	if err != nil {
		return nil, err
	}
	defer d.drills.release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	gone := connectionEnd(c)
	go func() { <-gone; cancel(drill.ErrInterrupted) }()
	report, err := o.carryOut(ctx, rounds, c.Progress)
	if err != nil {
		e := &mcprun.Error{Class: mcprun.Failed, What: "drilling the kill switch", Err: err, Hint: "what was measured until then: mcprun audit tail"}
		if !errors.Is(err, drill.ErrInterrupted) {
			e.Hint += "; what this host lacks: mcprun doctor"
		}
		return nil, e
	}
	return &control.Result{Drill: report}, nil
}

// claimDrill makes up the names of a drill, unless one goes on.
func (d *Daemon) claimDrill(c *control.Call) (*ownDrill, error) {
	d.drills.mu.Lock()
	defer d.drills.mu.Unlock()
	if now := d.drills.now; now != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "drilling the kill switch", Why: fmt.Sprintf("a drill goes on, begun by %s at %s", now.who, now.begun.Format(time.RFC3339)),
			Hint: "wait for its end: mcprun audit tail -f"}
	}
	decoy, err := drill.NewDecoy(d.isTaken)
	if err != nil {
		return nil, err
	}
	decoy.More = max(0, c.Servers-1)
	why := "drill"
	if said := strings.TrimSpace(c.Why); said != "" {
		why += ": " + said
	}
	d.drills.now = &ownDrill{d: d, who: c.Peer.Principal(), why: why, begun: timeNow(), decoy: decoy, ladders: make(chan drill.Ladder, 1)}
	return d.drills.now, nil
}

// isTaken reports whether a name of a decoy is somebody's, or stopped already.
func (d *Daemon) isTaken(decoy drill.Decoy) bool {
	for _, s := range d.all() {
		if s.name == decoy.Name || strings.HasPrefix(string(s.name), string(decoy.Name)+"-") || slices.Contains(s.labels(), decoy.Label) {
			return true
		}
	}
	for _, t := range decoy.Targets() {
		if _, thrown := d.switches.Thrown(t); thrown {
			return true
		}
	}
	return called(decoy.Client) != string(decoy.Client) || called(decoy.Other) != string(decoy.Other)
}

func (s *drills) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = nil
}

// saw hands a drill the kill that it waits for.
func (s *drills) saw(l *ladder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || !slices.Contains(s.now.decoy.Targets(), l.k.Target) {
		return
	}
	select {
	case s.now.ladders <- drill.Ladder{Begun: l.begun, Steps: l.report.Steps, Err: errors.Join(l.errs...)}:
	default:
	}
}

// carryOut makes the decoy, drills and cleans up, with a record before and after.
func (o *ownDrill) carryOut(ctx context.Context, rounds int, progress func(string)) (report *control.Drill, err error) {
	rec := &audit.Record{Type: audit.TypeDrill, Server: o.decoy.Name, Principal: o.who, Who: string(o.who), Why: o.why, Outcome: "begun",
		Detail: map[string]string{"label": string(o.decoy.Label), "client": string(o.decoy.Client), "rounds": fmt.Sprint(rounds)}}
	if err := o.d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("it cannot be recorded: %w", err)
	}
	r := &drill.Drill{Host: o, Decoy: o.decoy, Rounds: rounds, Why: o.why + fmt.Sprintf(" (asked for by %s)", o.who), Progress: progress}
	report = &control.Drill{Decoy: string(o.decoy.Name)}
	defer func() {
		if err != nil && ctx.Err() != nil { // whatever it broke off
			err = context.Cause(ctx)
		}
		err = errors.Join(err, o.end(context.WithoutCancel(ctx), r))
		report.Who, report.Why, report.Begun, report.TookS = string(o.who), o.why, o.begun, time.Since(o.begun).Round(time.Millisecond).Seconds()
		err = errors.Join(err, o.sumUp(report, err))
	}()
	progress("making the decoy " + string(o.decoy.Name))
	if err := o.prepare(ctx, r); err != nil {
		return report, err
	}
	ways, left, err := o.ways(ctx)
	if err != nil {
		return report, err
	}
	r.Ways = ways
	if r.Big = availableMemory() >= residentNeeds; !r.Big {
		left = append(left, control.NotTried{Way: "1 GiB resident", Why: "too little memory is free for it beside everybody else", How: "mcprun drill kill, when 4 GiB are free"})
	}
	if o.decoy.More == 0 {
		left = append(left, control.NotTried{Way: "many servers at once", Why: "their starts take some time", How: fmt.Sprintf("mcprun drill kill --servers %d", drill.MaxServers)})
	}
	if r.Ear == nil {
		left = append(left, control.NotTried{Way: "ways out", Why: "the decoy has nowhere to connect to: this host has no address that a rule opens", How: "give the host an address besides loopback"})
	}
	report, err = r.Run(ctx)
	report.NotTried = left
	return report, err
}

// residentNeeds is what has to be free for a decoy of a GiB.
const residentNeeds = spareMemory + 1<<30

// availableMemory is what the kernel says can be had without anybody noticing.
func availableMemory() int64 {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// prepare makes the decoy's image and files, and pins it.
func (o *ownDrill) prepare(ctx context.Context, r *drill.Drill) error {
	dir := o.d.opts.Dirs.Drill()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the decoy: %w", err)
	}
	// First of all, for whoever has to clean up.
	raw, err := json.Marshal(o.decoy)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, drillFile), raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("making the decoy: %w", err)
	}
	failpoint.Hit("drill.named")
	if r.Ear, err = drill.Listen(); err != nil {
		o.d.opts.Log.Warn("a drill goes on without ways out", "why", err)
	}
	texts, err := r.Make(o.d.opts.Programs, dir)
	if err != nil {
		return err
	}
	o.run.text = texts[0]
	if err := os.WriteFile(o.yaml(), o.run.text, 0o600); err != nil {
		return fmt.Errorf("making the decoy: %w", err)
	}
	for _, text := range texts {
		def, err := ownDefinition(o.yaml(), text)
		if err != nil {
			return err
		}
		s, err := o.d.server(def.m.Name, true)
		if err != nil {
			return err
		}
		s.front.Known = nil // what is known of it would be written down when it is gone
		o.servers = append(o.servers, decoyServer{s, def})
	}
	pins, err := o.decoyOne().pin(ctx, o.decoyOne().def, o.who, func(string) {})
	if err != nil {
		return err
	}
	for _, s := range o.servers { // one program, and so the same of all
		same := *pins
		same.Server = s.name
		s.def.lock = &same
	}
	return nil
}

// decoyOne is the server that is called.
func (o *ownDrill) decoyOne() decoyServer { return o.servers[0] }

// ownDefinition reads a server.yaml of the daemon's own making.
func ownDefinition(file string, text []byte) (*definition, error) {
	m, err := manifest.Parse(file, text)
	if err != nil {
		return nil, fmt.Errorf("making the decoy: %w", err)
	}
	profile, err := profiles.Load(m.Profile)
	if err != nil {
		return nil, fmt.Errorf("making the decoy: %w", err)
	}
	return &definition{file: file, m: m, profile: profile, decoy: true}, nil
}

// Start starts the decoy.
func (o *ownDrill) Start(ctx context.Context) error { return o.start(ctx, o.decoyOne()) }

func (o *ownDrill) start(ctx context.Context, s decoyServer) error {
	return s.start(ctx, s.def, o.who, false, func(string) {})
}

// startsAtOnce keeps the starts of many from taking the machine from others.
const startsAtOnce = 2

// StartMore starts the other servers, and returns when all run or one does not.
func (o *ownDrill) StartMore(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for _, s := range o.servers[1:] {
		g.Go(func() error { return o.start(ctx, s) })
	}
	return g.Wait()
}

// Join connects a client to the decoy over a socket, as a client's is, with what mcprun
// connect does behind it.
func (o *ownDrill) Join(who mcprun.Principal) (net.Conn, error) {
	const doing = "connecting to the decoy"
	if err := o.decoyOne().mayJoin(doing, who); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	session, err := o.decoyOne().join(doing, who, new(front.Past), ours, ours)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	go session.Serve()
	return theirs, nil
}

func socketPair() (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "drill")
		c, err := net.FileConn(f) // has a copy
		f.Close()
		if err != nil {
			return nil, nil, err
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1], nil
}

func (o *ownDrill) InFlight() int { return o.decoyOne().front.InFlight() }

func (o *ownDrill) Processes() []int {
	var out []int
	for _, s := range o.servers {
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run != nil {
			out = append(out, run.inst.Processes()...)
		}
	}
	return out
}

func (o *ownDrill) Ladders() <-chan drill.Ladder { return o.ladders }

// Revive takes back a switch of the drill's own, on its own word: policy demands people
// for what was killed in earnest.
func (o *ownDrill) Revive(t limits.Target) error {
	return o.d.reviveDecoy(o.decoy, t, string(o.who), "the end of a drill")
}

func (d *Daemon) reviveDecoy(decoy drill.Decoy, t limits.Target, who, why string) error {
	if !slices.Contains(decoy.Targets(), t) {
		return fmt.Errorf("%s is not the decoy's", t)
	}
	k, thrown := d.switches.Thrown(t)
	if !thrown {
		return fmt.Errorf("reviving %s: it is not killed", t)
	}
	rec := &audit.Record{Type: audit.TypeRevive, Who: who, Why: why}
	approval.MarkKill(rec, t, nil)
	if err := d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("reviving %s: it cannot be recorded: %w", t, err)
	}
	return d.switches.Revive(k)
}

// end leaves nothing of a drill, whatever became of it.
func (o *ownDrill) end(ctx context.Context, r *drill.Drill) error {
	ctx, cancel := context.WithTimeout(ctx, drillCleanup)
	defer cancel()
	var errs []error
	stopped := make([]error, len(o.servers))
	var wg sync.WaitGroup
	for i, s := range o.servers {
		wg.Go(func() {
			s.front.CloseSessions()
			stopped[i] = s.stop(ctx, "the drill is over", o.who)
		})
	}
	wg.Wait()
	errs = append(errs, stopped...)
	errs = append(errs, o.run.settled(ctx), o.leavePage(ctx))
	if r.Ear != nil {
		errs = append(errs, r.Ear.Close())
	}
	errs = append(errs, o.d.forgetDecoy(ctx, o.decoy, string(o.who), "the end of a drill"))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cleaning up after the drill: %w", err)
	}
	return nil
}

// forgetDecoy takes back every switch of a drill and removes what is left of its decoy,
// which does not run any more.
func (d *Daemon) forgetDecoy(ctx context.Context, decoy drill.Decoy, who, why string) error {
	errs := d.reviveAll(ctx, decoy, who, why)
	for _, name := range decoy.Names() {
		errs = append(errs, d.forget(name))
	}
	dir := d.opts.Dirs.Drill()
	if _, err := os.Stat(filepath.Join(drill.Image(dir), "index.json")); err == nil { // else it was never made
		errs = append(errs, d.rt.DropImage(ctx, drill.Image(dir)))
	}
	failpoint.Hit("drill.forgotten")
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// forget lets go of a server that does not run, as if it had never been started.
func (d *Daemon) forget(name mcprun.ServerName) error {
	d.mu.Lock()
	if s := d.servers[name]; s != nil {
		s.log.close()
		delete(d.servers, name)
	}
	d.mu.Unlock()
	d.limits.Drop(name)
	d.seen.Drop(name)
	log := filepath.Join(d.opts.Dirs.ServerLogs(), string(name)+".log")
	return errors.Join(remove(log), remove(log+".1"), remove(d.opts.Dirs.Known(string(name))), remove(filepath.Join(d.opts.Dirs.Names(), string(name))))
}

// reviveAll takes back what of a drill's switches is thrown, or ordered by a file.
func (d *Daemon) reviveAll(ctx context.Context, decoy drill.Decoy, who, why string) []error {
	name := limits.Target{Server: decoy.Name}.Name()
	file := filepath.Join(d.opts.Dirs.Kill(), name)
	// Nobody obeys the file meanwhile; a kill by it that is under way ends first.
	for _, busy := d.orders.busy.LoadOrStore(file, true); busy; _, busy = d.orders.busy.LoadOrStore(file, true) {
		select {
		case <-ctx.Done():
			return []error{fmt.Errorf("the kill by %s does not end", file)}
		case <-time.After(time.Millisecond):
		}
	}
	defer d.orders.busy.Delete(file)
	errs := []error{remove(file), remove(filepath.Join(d.opts.Dirs.Kill(), "."+name))}
	for _, t := range decoy.Targets() {
		if _, thrown := d.switches.Thrown(t); thrown {
			errs = append(errs, d.reviveDecoy(decoy, t, who, why))
		}
	}
	return errs
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// endOldDrill removes what the drill of an earlier life left when that ended in the middle:
// before anybody can start anything, and after the kill folder was obeyed.
func (d *Daemon) endOldDrill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drillCleanup)
	defer cancel()
	raw, err := os.ReadFile(filepath.Join(d.opts.Dirs.Drill(), drillFile))
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(d.opts.Dirs.Drill()); err != nil {
			d.opts.Log.Error("removing an old drill", "err", err)
		}
		return
	}
	var decoy drill.Decoy
	if err == nil {
		err = json.Unmarshal(bytes.TrimSpace(raw), &decoy, json.RejectUnknownMembers(true))
	}
	if err == nil {
		err = decoy.Valid()
	}
	if err == nil {
		const why = "the drill ended with the daemon"
		err = d.record.Append(&audit.Record{Type: audit.TypeDrill, Server: decoy.Name, Who: "daemon", Why: why, Outcome: "cut off"})
		err = errors.Join(err, d.forgetDecoy(ctx, decoy, "daemon", why))
	}
	if err != nil { // nobody is harmed by what is left: it names the decoy alone
		d.opts.Log.Error("removing what a drill left; mcprun ps shows its switches", "folder", d.opts.Dirs.Drill(), "err", err)
	}
}

// sumUp records what a drill measured, or how far it came.
func (o *ownDrill) sumUp(report *control.Drill, err error) error {
	rec := &audit.Record{Type: audit.TypeDrill, Server: o.decoy.Name, Principal: o.who, Who: string(o.who), Why: o.why, Duration: time.Since(o.begun),
		Outcome: drill.Verdict(report), Detail: drill.Detail(report)}
	if err != nil {
		rec.Outcome, rec.Reason = "ended early", clipTo(err.Error(), audit.MaxText)
	}
	if err := o.d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("recording the drill: %w", err)
	}
	return nil
}
