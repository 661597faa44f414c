// Package runtime runs MCP servers in containers: it builds the OCI spec, drives
// containerd, and can end a container without asking anybody.
//
// The parts: spec.go decides what a container may have (pure), invariants.go
// refuses what no container may have (pure), containerd.go is the only user of
// containerd, private.go runs a containerd of our own, cgroup.go holds what
// differs between hosts, reconcile.go removes what an earlier life left.
//
// It does not judge calls, and it does not protect against a hole in the kernel:
// the containers share it with the host.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/runtime/cgroup"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// Options says where a Runtime keeps and finds things.
type Options struct {
	Dirs       paths.Dirs
	Programs   string // folder of containerd, its shim, runc and mcprun-init
	Containerd string // address of the host's containerd; "" starts a private one
	Log        *slog.Logger
}

// Runtime starts and ends containers. Its methods may be called concurrently.
type Runtime struct {
	opts    Options
	cgroups cgroup.Hierarchies
	ids     idRanges
	ctrd    *containerd
	private *privateContainerd // nil with the host's containerd

	landlock    int   // the kernel's version of it, 0 where it has none
	landlockWhy error // why there is none
}

// Open removes what an earlier life left, then connects to containerd, starting
// a private one if none was named. It fails where the host lacks what the
// containment rests on.
func Open(ctx context.Context, opts Options) (*Runtime, error) {
	cg, err := cgroup.Find()
	if err != nil {
		return nil, err
	}
	r := &Runtime{opts: opts, cgroups: cg}
	r.landlock, r.landlockWhy = landlock.ABI()
	if err := r.reconcileHost(); err != nil {
		return nil, fmt.Errorf("removing what an earlier life left: %w", err)
	}
	failpoint.Hit("runtime.reconciled-host")
	address := opts.Containerd
	if address == "" {
		if r.private, err = startPrivate(ctx, opts); err != nil {
			return nil, err
		}
		address = r.private.address
	}
	failpoint.Hit("runtime.containerd-started")
	if r.ctrd, err = dialContainerd(ctx, address, opts); err != nil {
		r.Close()
		return nil, err
	}
	if err := r.ctrd.reconcile(ctx); err != nil {
		r.Close()
		return nil, fmt.Errorf("removing containers of an earlier life: %w", err)
	}
	failpoint.Hit("runtime.reconciled-containerd")
	return r, nil
}

// Close ends the private containerd. Instances must have been stopped before.
func (r *Runtime) Close() error {
	var errs []error
	if r.ctrd != nil {
		errs = append(errs, r.ctrd.close())
	}
	if r.private != nil {
		errs = append(errs, r.private.stop())
		failpoint.Hit("runtime.containerd-stopped")
	}
	errs = append(errs, r.cgroups.Remove(r.parent()), os.RemoveAll(r.opts.Dirs.Runc()))
	return errors.Join(errs...)
}

func (r *Runtime) parent() string { return "/" + r.opts.Dirs.CgroupParent() }

// Versions names what runs below: containerd, runc and the kind of cgroups.
func (r *Runtime) Versions() map[string]string {
	return map[string]string{"containerd": r.ctrd.version, "runc": r.ctrd.runcVersion, "cgroups": r.cgroups.String(), "landlock": r.LandlockBehind(manifest.Runc)}
}

// ContainerdPid is the process id of the private containerd, 0 with the host's.
func (r *Runtime) ContainerdPid() int {
	if r.private == nil {
		return 0
	}
	return r.private.cmd.Process.Pid
}

// Plan is all that a start needs.
type Plan struct {
	ID      string // unique for the life of the data folder
	Server  *manifest.Server
	Base    string // folder that relative paths of the manifest start from
	Image   Image
	Profile *profiles.Profile
	Network Network
	// Enclose alters the rules for Landlock, or leaves them out with nil: for tests, which
	// measure what the fence adds. The daemon never sets it.
	Enclose func(*landlock.Rules) *landlock.Rules
	// Strained is called when processes ran into a limit of memory or pids, from the one
	// goroutine that watches the container; it must not wait for anything.
	Strained func()
}

// Use is what a container uses, and how often it ran into its limits.
type Use = cgroup.Use

// Network is what a container is given to reach others. The zero value is none: a
// namespace of its own with only lo, and nobody there.
type Network struct {
	Namespace string            // /proc/PID/fd/N of a prepared one
	Files     map[string][]byte // by the path at which the server reads it: below GivenDir, ResolvConf or HostsFile
	Env       []string          // NAME=value
}

// Instance is one running container.
type Instance struct {
	ID     string
	Stdio  *net.UnixConn // the server's stdin and stdout
	Stderr *net.UnixConn
	IDBase uint32
	// Refused tells of the system calls that the profile refuses. Each waits until it is
	// answered, so whoever starts an instance answers them, to the end.
	Refused *Refused
	// Landlock are the rules that the server is enclosed by, nil where there are none.
	Landlock *landlock.Rules

	rt             *Runtime
	cgroup         string
	pid            int
	pidfd          int
	isolation      manifest.Isolation
	gofer, goferfd int         // of gVisor alone, as is paused
	paused         atomic.Bool // by gVisor's own kernel
	task           *containerdTask
	done           chan struct{}
	once           sync.Once

	spec     string   // as containerd got it
	tmpfs    []string // where the server has file systems of its own, in memory
	freezer  freezer
	strained func()
	limits   *cgroup.Watch
	useMu    sync.Mutex
	use      Use // as it was read last
}

// Pid is the host's process id of the container's first process.
func (i *Instance) Pid() int { return i.pid }

// Done is closed when the last process of the container is gone.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Start builds and starts a container and returns when its first process has
// connected. On an error nothing is left.
func (r *Runtime) Start(ctx context.Context, plan Plan) (_ *Instance, err error) {
	starter, err := r.starter(plan.Server.Isolation)
	if err == nil {
		err = canStart(plan)
	}
	if err != nil {
		return nil, err
	}
	base, err := r.ids.take()
	if err != nil {
		return nil, err
	}
	inst := &Instance{ID: plan.ID, IDBase: base, rt: r, cgroup: r.parent() + "/" + plan.ID, pidfd: -1, goferfd: -1, isolation: plan.Server.Isolation, done: make(chan struct{}), freezer: newFreezer(), strained: plan.Strained, tmpfs: tmpfsOf(plan.Server)}
	defer func() {
		if err != nil {
			err = errors.Join(err, inst.Kill(), inst.Clean(context.WithoutCancel(ctx)))
		}
	}()
	door, err := openDoor(inst.dir(), base)
	if err != nil {
		return nil, err
	}
	defer door.Close()
	failpoint.Hit("runtime.socket-opened")
	sources, err := openSources(plan)
	if err != nil {
		return nil, err
	}
	defer closeSources(sources)
	filter, err := compile(plan.Profile)
	if err != nil {
		return nil, err
	}
	spec, enclosure, err := r.spec(plan, inst, sources)
	if err != nil {
		return nil, err
	}
	failpoint.Hit("runtime.spec-made")
	inst.spec = spec
	if inst.task, err = r.ctrd.create(ctx, plan, starter, spec, base); err != nil {
		return nil, err
	}
	failpoint.Hit("runtime.task-created")
	if err := inst.hold(); err != nil {
		return nil, err
	}
	failpoint.Hit("runtime.task-held")
	mounter, err := inst.mounter(ctx)
	if err == nil {
		err = checkMounted(mounter, sources)
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit("runtime.mounts-checked")
	if err := inst.task.start(ctx); err != nil {
		return nil, err
	}
	failpoint.Hit("runtime.task-started")
	conns, err := door.admit(ctx, base+ServerUID, inst.done)
	if err != nil {
		return nil, err
	}
	inst.Stdio, inst.Stderr = conns.stdio, conns.stderr
	failpoint.Hit("runtime.connected")
	if inst.Refused, err = inst.fence(ctx, conns.init, enclosure, filter); err != nil {
		return nil, err
	}
	inst.Landlock = enclosure
	failpoint.Hit("runtime.fenced")
	return inst, nil
}

func (i *Instance) dir() string { return filepath.Join(i.rt.opts.Dirs.Instances(), i.ID) }

func (r *Runtime) spec(plan Plan, inst *Instance, sources []*heldSource) (string, *landlock.Rules, error) {
	given, err := inst.writeGiven(plan.Network.Files)
	if err != nil {
		return "", nil, err
	}
	p := Placement{
		Network:    plan.Network.Namespace,
		Given:      given,
		Env:        plan.Network.Env,
		IDBase:     inst.IDBase,
		InitPath:   filepath.Join(r.opts.Programs, "mcprun-init"),
		SocketPath: filepath.Join(inst.dir(), "io"),
		Cgroup:     inst.cgroup,
	}
	for _, s := range sources {
		p.Sources = append(p.Sources, s.Source)
	}
	spec, err := Spec(plan.Server, program(plan), p)
	if err != nil {
		return "", nil, err
	}
	text, err := marshalSpec(spec)
	return text, r.landlockOf(plan, spec), err
}

// writeGiven puts the daemon's files for the server into the instance's folder,
// which only the container's root can enter. The server sees each at its mount.
func (i *Instance) writeGiven(files map[string][]byte) ([]GivenFile, error) {
	var out []GivenFile
	for _, to := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(i.dir(), fmt.Sprintf("given-%d", len(out)))
		mode := os.FileMode(0o444)
		if strings.HasPrefix(to, manifest.SecretDir) {
			mode = 0o400 // the server's user alone, as some programs demand of such files
		}
		err := os.WriteFile(path, files[to], mode)
		if err == nil {
			err = os.Chown(path, int(i.IDBase+ServerUID), int(i.IDBase+ServerUID))
		}
		if err != nil {
			return nil, fmt.Errorf("writing %s for the server: %w", to, err)
		}
		out = append(out, GivenFile{Path: path, To: to})
	}
	return out, nil
}

// program is what server.yaml says, else what the image says.
func program(plan Plan) Program {
	p := Program{Command: plan.Server.Command, WorkDir: plan.Server.WorkDir}
	if len(p.Command) == 0 {
		p.Command = plan.Image.Command
	}
	if p.WorkDir == "" {
		p.WorkDir = plan.Image.WorkDir
	}
	return p
}

func openSources(plan Plan) ([]*heldSource, error) {
	var out []*heldSource
	for _, f := range plan.Server.Files {
		if f.Tmpfs {
			continue
		}
		path := f.From
		if !filepath.IsAbs(path) {
			path = filepath.Join(plan.Base, path)
		}
		s, err := openSource(path)
		if err != nil {
			closeSources(out)
			return nil, fmt.Errorf("mounting at %s: %w", f.To, err)
		}
		s.to = f.To
		out = append(out, s)
	}
	return out, nil
}

func closeSources(s []*heldSource) {
	for _, h := range s {
		h.file.Close()
	}
}

// hold takes what a kill needs, before the server's first instruction: the
// cgroup and a pidfd of the first process.
func (i *Instance) hold() error {
	i.pid = i.task.pid()
	fd, err := unix.PidfdOpen(i.pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("holding the container's first process: %w", err)
	}
	i.pidfd = fd
	failpoint.Hit("runtime.pidfd-held")
	if err := i.rt.cgroups.Adopt(i.cgroup, i.pid); err != nil {
		return err
	}
	if i.isolation == manifest.GVisor {
		if err := i.holdGofer(); err != nil {
			return err
		}
	}
	if i.limits, err = i.rt.cgroups.Watch(i.cgroup); err != nil {
		return err
	}
	go i.watch(fd)
	return nil
}

// settle is how long counters are let come to rest after the kernel told of them: v1
// tells before it counts, and a fork bomb runs into its limit without end.
const settle = 50 * time.Millisecond

// watch closes done when the first process is gone. The kernel lets pid 1 of a
// namespace end only after every other process of it has. Meanwhile it tells of limits
// that are run into.
func (i *Instance) watch(fd int) {
	defer close(i.done)
	defer i.endGofer()
	defer i.limits.Close()
	fds := append([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, i.limits.Poll()...)
	for {
		n, err := unix.Poll(fds, milliseconds(i.limits.Pause()))
		if err == nil && n > 0 && fds[0].Revents == 0 {
			_, err = unix.Poll(fds[:1], milliseconds(settle))
		}
		if fds[0].Revents != 0 || err != nil && err != unix.EINTR {
			return
		}
		if i.limits.Told() && i.strained != nil {
			i.strained()
		}
	}
}

func milliseconds(d time.Duration) int {
	if d > time.Hour {
		return -1
	}
	return int(d.Milliseconds())
}

// Use is what the server uses now, without what it is started and held by, or, once it is gone, used at the last look.
func (i *Instance) Use() Use {
	u, err := i.rt.cgroups.Use(i.cgroup)
	i.useMu.Lock()
	defer i.useMu.Unlock()
	if err == nil {
		own := hostTasks(i.isolation, 0)
		u.Pids, u.PidsPeak, u.PidsMax = max(0, u.Pids-own), max(0, u.PidsPeak-own), max(0, u.PidsMax-own)
		i.use = u
	}
	return i.use
}

// Processes are the container's, its first one included.
func (i *Instance) Processes() []int { return i.rt.cgroups.Processes(i.cgroup) }

// CPUTime is how long the container's processes have run, in microseconds; an error once
// it is gone.
func (i *Instance) CPUTime() (int64, error) { return i.rt.cgroups.CPUTime(i.cgroup) }

// killDeadline bounds the wait for the last process: freeing 64 GiB takes the
// kernel some seconds, and a process in an uninterruptible wait never ends.
const killDeadline = 10 * time.Second

// Kill ends every process of the container, frozen or not, and returns when none is
// left. It needs no daemon but this one and no containerd, and may be called again.
func (i *Instance) Kill() error {
	i.freezer.end()
	if i.pidfd < 0 {
		return nil
	}
	if err := i.rt.cgroups.Kill(i.cgroup); err != nil {
		return err
	}
	failpoint.Hit("runtime.cgroup-killed")
	if err := unix.PidfdSendSignal(i.pidfd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("killing the container's first process: %w", err)
	}
	select {
	case <-i.done:
		return nil
	case <-time.After(killDeadline):
		return fmt.Errorf("the container's processes are still there after %v", killDeadline)
	}
}

// Stop asks the server to end: its stdin is closed, then comes SIGTERM, then,
// after grace, Kill.
func (i *Instance) Stop(ctx context.Context, grace time.Duration) error {
	if i.Stdio != nil {
		i.Stdio.CloseWrite()
	}
	half := time.After(grace / 2)
	end := time.After(grace)
	for {
		select {
		case <-i.done:
			return nil
		case <-half:
			i.ask(ctx)
		case <-end:
			return i.Kill()
		case <-ctx.Done():
			return i.Kill()
		}
	}
}

// Clean removes what the container leaves behind once its processes are gone:
// containerd's objects, cgroups, sockets and folders. It may be called again.
func (i *Instance) Clean(ctx context.Context) (err error) {
	i.once.Do(func() { err = i.clean(ctx) })
	return err
}

func (i *Instance) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanDeadline)
	defer cancel()
	for _, c := range []*net.UnixConn{i.Stdio, i.Stderr} {
		if c != nil {
			c.Close()
		}
	}
	failpoint.Hit("runtime.clean-sockets")
	i.Use() // for those who ask afterwards
	var errs []error
	if i.task != nil {
		errs = append(errs, i.task.remove(ctx))
	}
	failpoint.Hit("runtime.clean-task")
	errs = append(errs, i.rt.cgroups.Remove(i.cgroup))
	failpoint.Hit("runtime.clean-cgroup")
	errs = append(errs, os.RemoveAll(i.dir()))
	if i.Refused != nil {
		errs = append(errs, i.Refused.Close())
	}
	if i.pidfd >= 0 {
		<-i.done // its watcher polls the pidfd; Kill came before
		unix.Close(i.pidfd)
	}
	failpoint.Hit("runtime.clean-folder")
	i.rt.ids.give(i.IDBase)
	return errors.Join(errs...)
}

// cleanDeadline bounds one clean-up; containerd answers in milliseconds unless it hangs.
const cleanDeadline = 30 * time.Second
