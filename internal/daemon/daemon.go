// Package daemon wires everything together: it opens the record, the switches
// and the runtime, answers the control socket, and ends what it started.
//
// The order of start is that of what depends on what; the order of the end is
// its reverse. After a crash the next start removes what is left (runtime.Open).
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/factors"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/killfolder"
	"github.com/mcprun/mcprun/internal/known"
	"github.com/mcprun/mcprun/internal/notify"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/netpolicy/egress"
	"github.com/mcprun/mcprun/profiles/bpf"
	"github.com/mcprun/mcprun/runtime"
)

// auditReserve is the disk space kept back so that a kill can be recorded on a full disk.
const auditReserve = 1 << 20

// Options is what a daemon is started with.
type Options struct {
	Dirs       paths.Dirs
	Programs   string // folder of containerd, its shim, runc and mcprun-init
	Containerd string // the host's containerd; "" for a private one
	Access     control.Access
	Policy     string // path of policy.yaml
	// PolicyNamed says that somebody named Policy, so that it must be there.
	PolicyNamed bool
	Version     string
	Page        Page
	Log         *slog.Logger
}

// Daemon is a running daemon.
type Daemon struct {
	opts     Options
	record   *watchedRecord
	reflexes reflexes
	switches *limits.Switches
	revives  reviving
	rt       *runtime.Runtime
	stop     context.CancelFunc

	desk        *approval.Desk
	factors     *factors.Book
	limits      *limits.Limiter
	mode        egress.Mode // how connections reach us on this host
	seen        *egress.Seen
	refusedPace *rate.Limiter // of system calls, over all servers
	resolver    egress.Resolver
	own         ownAddresses
	issued      credentials.Issued
	lives       atomic.Uint64 // that placeholders were made for
	pasts       pasts
	page        page
	law         law
	orders      orders
	drills      drills
	chat        *notify.Sender // tells approval.webhook

	mu      sync.Mutex
	servers map[mcprun.ServerName]*server
}

// Run starts a daemon and serves until ctx ends, a request ends it, or something
// that it cannot work without fails.
func Run(ctx context.Context, opts Options, ready func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	usr1 := make(chan os.Signal, 1) // first of all: until then it would end the process
	signal.Notify(usr1, syscall.SIGUSR1)
	defer signal.Stop(usr1)
	unlock, err := claim(opts.Dirs)
	if err != nil {
		return err
	}
	defer unlock()
	hangup := make(chan os.Signal, 1) // from here on, since a hang-up would end the process
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	d := &Daemon{opts: opts, stop: stop, servers: make(map[mcprun.ServerName]*server), seen: egress.NewSeen(), refusedPace: newRefusedPace(), resolver: &net.Resolver{PreferGo: true}}
	if err := raiseFiles(); err != nil {
		opts.Log.Warn("few files can be open at a time, and connections of many servers may have to wait; raise it with LimitNOFILE= or ulimit -Hn", "err", err)
	}
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.close())
	}
	if err := d.openPage(); err != nil {
		return errors.Join(err, d.close())
	}
	defer d.page.close()
	srv, err := control.Listen(opts.Dirs.Socket(), opts.Access, d.handle, d.denied)
	if err != nil {
		return errors.Join(err, d.close())
	}
	failpoint.Hit("daemon.listening")
	go srv.Serve(ctx)
	go d.chat.Run(ctx)
	go d.watchSignal(ctx, usr1)
	go killfolder.Watch(ctx, opts.Dirs.Kill(), func() { d.lookForOrders() })
	go d.watchHangup(ctx, hangup)
	go d.keepLimits(ctx)
	go d.keepSwitches(ctx)
	d.opts.Log.Info("ready", "socket", opts.Dirs.Socket(), "pid", os.Getpid())
	ready()
	<-ctx.Done()
	d.opts.Log.Info("stopping")
	failpoint.Hit("daemon.stopping")
	err = srv.Close()
	d.page.close()
	d.stopAll(context.WithoutCancel(ctx))
	failpoint.Hit("daemon.servers-stopped")
	srv.Wait()
	return errors.Join(err, d.close(), os.RemoveAll(opts.Dirs.Socket()))
}

const (
	// maxFiles is how many files the daemon wants to have open: a server takes at most
	// a thousand for its connections, and there may be hundreds of servers.
	maxFiles = 1 << 19
	// fewFiles is below what a handful of busy servers takes.
	fewFiles = 1 << 13
)

// raiseFiles raises the limit of open files as far as it may, which a shell often
// sets to a thousand.
func raiseFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: max(l.Max, maxFiles), Max: max(l.Max, maxFiles)})
	if err == nil || l.Max >= fewFiles && unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: l.Max, Max: l.Max}) == nil {
		return nil
	}
	return fmt.Errorf("the limit is %d: %w", l.Max, err)
}

// watchSignal kills everything on SIGUSR1.
func (d *Daemon) watchSignal(ctx context.Context, usr1 <-chan os.Signal) {
	for {
		select {
		case <-usr1:
			if err := d.throwAll(newKill(limits.Target{}, "SIGUSR1", "a signal to the daemon", waySignal)); err != nil {
				d.opts.Log.Error("killing everything", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// watchHangup reads policy.yaml again on SIGHUP, apart from watchSignal: a reload can
// wait for servers to end, and a kill waits for nothing.
func (d *Daemon) watchHangup(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			if _, err := d.reloadCeilings("SIGHUP"); err != nil {
				d.opts.Log.Error("reloading policy.yaml", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// claim makes the two folders and takes the lock that one daemon at a time holds.
func claim(dirs paths.Dirs) (release func(), err error) {
	for dir, mode := range map[string]os.FileMode{dirs.Run: 0o755, dirs.Data: 0o711} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, fmt.Errorf("making %s: %w", dir, err)
		}
	}
	f, err := os.OpenFile(dirs.PidFile(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("claiming %s: %w", dirs.Run, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "claiming " + dirs.Run, Why: "another mcprund runs with this folder", Hint: "mcprun version"}
	}
	failpoint.Hit("daemon.claimed")
	f.Truncate(0)
	fmt.Fprintf(f, "%d\n", os.Getpid())
	return func() { f.Close() }, nil
}

func (d *Daemon) open(ctx context.Context) error {
	log, err := audit.Open(d.opts.Dirs.Audit(), audit.Options{KeyDir: d.opts.Dirs.Keys(), Reserve: auditReserve})
	if err != nil {
		return fmt.Errorf("opening the record: %w", err)
	}
	d.record = &watchedRecord{log, d.see}
	if d.switches, err = limits.OpenSwitches(d.opts.Dirs.Switches()); err != nil {
		return err
	}
	failpoint.Hit("daemon.record-open")
	if err := d.openFactors(); err != nil {
		return err
	}
	if err := d.openCeilings(); err != nil {
		return err
	}
	d.desk = approval.New(d.record, timeNow)
	d.desk.Rules = d.approvalRules
	if err := d.restoreWaiting(); err != nil {
		return fmt.Errorf("reading what waits for a human, and kills that were cut short: %w", err)
	}
	if err := d.recallSeen(); err != nil {
		return err
	}
	d.openChat()
	if err := d.openLimits(); err != nil {
		return err
	}
	if err := d.recordStart(); err != nil {
		return err
	}
	failpoint.Hit("daemon.life-recorded")
	if err := d.openKillFolder(); err != nil {
		return err
	}
	d.rt, err = runtime.Open(ctx, runtime.Options{Dirs: d.opts.Dirs, Programs: d.opts.Programs, Containerd: d.opts.Containerd, Log: d.opts.Log})
	if err != nil {
		return fmt.Errorf("opening the runtime: %w", err)
	}
	d.endOldDrill(ctx)
	var why error
	if d.mode, why = egress.Detect(); why != nil {
		d.opts.Log.Warn("attempts at ports that no rule names will be refused unseen", "why", why)
	}
	return nil
}

// restoreWaiting reads from the record what waits for somebody's word, or for one more,
// and which kills were cut short.
func (d *Daemon) restoreWaiting() error {
	since, lost := timeNow().Add(-max(approval.Life, limits.ReviveLife)), lostKills{}
	err := audit.Since(d.opts.Dirs.Audit(), since, func(e audit.Entry) error {
		d.desk.Restore(&e.Record)
		d.restoreYes(&e.Record)
		lost.read(&e.Record)
		return nil
	})
	if err != nil {
		return err
	}
	d.throwLost(lost)
	return nil
}

// recordStart says that a new life begins and which switches it finds thrown:
// one may have been thrown with no daemon there to record it.
func (d *Daemon) recordStart() error {
	rec := &audit.Record{Type: audit.TypeDaemonStart, Who: d.opts.Version, Detail: map[string]string{"pid": fmt.Sprint(os.Getpid()), detailCeilings: string(d.ceilings().Digest()), "policy": d.law.now.Load().file}}
	if err := d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("recording the start: %w", err)
	}
	for _, k := range d.switches.All() {
		rec := &audit.Record{Type: audit.TypeNote, Server: k.Server, Tool: k.Tool, Who: k.Who, Why: k.Why, Time: k.When,
			Reason: "the kill switch of " + k.Target.String() + " is thrown, since " + k.When.Format(time.RFC3339)}
		if err := d.record.Append(rec); err != nil {
			return fmt.Errorf("recording the start: %w", err)
		}
	}
	return nil
}

func (d *Daemon) close() error {
	var errs []error
	d.reflexes.close()
	if d.rt != nil {
		errs = append(errs, d.rt.Close())
		failpoint.Hit("daemon.runtime-closed")
	}
	if d.record != nil {
		if d.limits != nil {
			errs = append(errs, d.saveLimits())
		}
		d.record.AppendDurable(&audit.Record{Type: audit.TypeDaemonStop})
		failpoint.Hit("daemon.stop-recorded")
		errs = append(errs, d.record.Close())
	}
	return errors.Join(errs...)
}

func (d *Daemon) denied(p control.Peer, op control.Op, why string) {
	d.record.Append(&audit.Record{Type: audit.TypeAccessDenied, Principal: p.Principal(), Method: string(op), Rule: ruleAccessDenied, Reason: why,
		Detail: map[string]string{"pid": fmt.Sprint(p.Pid)}})
	d.opts.Log.Warn("access denied", "uid", p.UID, "op", op, "why", why)
}

// server returns the server of that name, making it if create says so.
func (d *Daemon) server(name mcprun.ServerName, create bool) (*server, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.servers[name]
	if s != nil {
		return s, nil
	}
	if !create {
		return nil, d.noSuch(name)
	}
	log, err := newServerLog(d.opts.Dirs.ServerLogs(), string(name))
	if err != nil {
		return nil, err
	}
	s = &server{d: d, name: name, front: front.NewServer(name, d.switches, d.record, d.desk, d.limits), log: log, op: make(chan struct{}, 1), state: "stopped"}
	s.front.Wake = s.wake
	s.front.Known = known.Open(d.opts.Dirs.Known(string(name)), func(err error) { d.opts.Log.Warn("calls may look riskier than they are", "server", name, "err", err) })
	d.servers[name] = s
	return s, nil
}

// noSuch says which servers there are; the caller holds mu.
func (d *Daemon) noSuch(name mcprun.ServerName) error {
	known := "none is started"
	if len(d.servers) > 0 {
		known = fmt.Sprintf("there are: %v", d.names())
	}
	return &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("no server is named %q", name), Why: known, Hint: "mcprun start server.yaml"}
}

func (d *Daemon) names() []mcprun.ServerName {
	out := make([]mcprun.ServerName, 0, len(d.servers))
	for n := range d.servers {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func (d *Daemon) all() []*server {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*server
	for _, n := range d.names() {
		out = append(out, d.servers[n])
	}
	return out
}

// stopAll ends every server at once.
func (d *Daemon) stopAll(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range d.all() {
		wg.Go(func() {
			if err := s.stop(ctx, "the daemon stops", "daemon"); err != nil {
				d.opts.Log.Error("stopping a server", "server", s.name, "err", err)
			}
			s.front.CloseSessions()
			s.front.Known.Save()
		})
	}
	wg.Wait()
}

// newInstanceID names one container for ever.
func newInstanceID(name mcprun.ServerName) string {
	var b [5]byte
	rand.Read(b[:])
	return string(name) + "-" + hex.EncodeToString(b[:])
}

// versions names the parts, for version and doctor.
func (d *Daemon) versions() map[string]string {
	v := d.rt.Versions()
	v["libseccomp"] = bpf.LibraryVersion()
	v["egress"] = d.mode.String()
	return v
}

func timeNow() time.Time { return time.Now() }

// Programs is the folder of the programs that belong to a daemon's: its own.
func Programs() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the folder of the programs: %w", err)
	}
	return filepath.Dir(self), nil
}

// OwnMounts moves the process into a mount namespace of its own, where the
// mounts of a private containerd stay unseen by the host and end with the last
// process, and runs it anew there. What the host mounts later is still seen.
func OwnMounts() error {
	const mark = "MCPRUND_OWN_MOUNTS"
	if os.Getenv(mark) != "" {
		os.Unsetenv(mark)
		return nil
	}
	self, err := os.Executable() // before: afterwards its path is that of another mount
	if err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	// The namespace is this thread's alone until the process is run anew; on another
	// thread the next step would change the host's mounts.
	goruntime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	return fmt.Errorf("running %s anew in its mount namespace: %w", self, syscall.Exec(self, os.Args, append(os.Environ(), mark+"=1")))
}
