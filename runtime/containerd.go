package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/mod/semver"

	"github.com/mcprun/mcprun/internal/failpoint"
)

const (
	snapshotter = "overlayfs"
	runtimeName = "io.containerd.runc.v2"

	// Older ones let an image write on the host or run as its root:
	// CVE-2026-41579 (runc), CVE-2026-53488 (containerd).
	minRunc       = "v1.5.2"
	minContainerd = "v2.3.2"
)

// containerd is the connection to one containerd and our namespace in it.
type containerd struct {
	client      *client.Client
	namespace   string
	programs    string
	runcState   string
	version     string
	runcVersion string
}

func dialContainerd(ctx context.Context, address string, opts Options) (*containerd, error) {
	c := &containerd{namespace: opts.Dirs.CgroupParent(), programs: opts.Programs, runcState: opts.Dirs.Runc()}
	var err error
	if c.client, err = client.New(address, client.WithDefaultNamespace(c.namespace), client.WithTimeout(bootDeadline)); err != nil {
		return nil, fmt.Errorf("connecting to containerd at %s: %w", address, err)
	}
	if err := c.checkVersions(ctx); err != nil {
		c.client.Close()
		return nil, err
	}
	return c, nil
}

func (c *containerd) close() error { return c.client.Close() }

func (c *containerd) ctx(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, c.namespace)
}

// checkVersions refuses programs with known holes and a snapshotter that cannot
// shift owners: without id-mapped mounts a container's files would be root's.
func (c *containerd) checkVersions(ctx context.Context) error {
	v, err := c.client.Version(ctx)
	if err != nil {
		return fmt.Errorf("asking containerd for its version: %w", err)
	}
	c.version = v.Version
	if err := AtLeast("containerd", v.Version, minContainerd); err != nil {
		return err
	}
	if c.runcVersion, err = ProgramVersion(ctx, filepath.Join(c.programs, "runc")); err != nil {
		return err
	}
	if err := AtLeast("runc", c.runcVersion, minRunc); err != nil {
		return err
	}
	caps, err := c.client.GetSnapshotterCapabilities(ctx, snapshotter)
	if err != nil {
		return fmt.Errorf("asking containerd about its snapshotter: %w", err)
	}
	if !slices.Contains(caps, "remap-ids") {
		return errors.New("the kernel or file system has no id-mapped mounts for overlayfs: Linux 5.19 and ext4, xfs or btrfs are needed")
	}
	return nil
}

var versionPattern = regexp.MustCompile(`v?(\d+\.\d+\.\d+[-+.\w]*)`)

// ProgramVersion runs "program --version" and returns the version it prints.
func ProgramVersion(ctx context.Context, program string) (string, error) {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", filepath.Base(program), err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	m := versionPattern.FindSubmatch(first)
	if m == nil {
		return "unknown", nil
	}
	return "v" + string(m[1]), nil
}

// AtLeast refuses a version below want, and one that is not a version: what
// cannot be judged is too old.
func AtLeast(program, have, want string) error {
	v := have
	if !strings.HasPrefix(v, "v") {
		v = "v" + v
	}
	if !semver.IsValid(v) || semver.Compare(v, want) < 0 {
		return fmt.Errorf("%s %q is older than %s, which closes a way onto the host; run make build for current ones", program, have, want)
	}
	return nil
}

// containerdTask is one container with its task.
type containerdTask struct {
	c         *containerd
	container client.Container
	task      client.Task
}

// create makes the snapshot, the container and its task; the task has a process
// that waits, and has run nothing of the server yet.
func (c *containerd) create(ctx context.Context, plan Plan, starter, spec string, base uint32) (*containerdTask, error) {
	ctx = c.ctx(ctx)
	t := &containerdTask{c: c}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: IDRange}}
	var err error
	t.container, err = c.client.NewContainer(ctx, plan.ID,
		client.WithSnapshotter(snapshotter),
		client.WithNewSnapshot(plan.ID, plan.Image.image, client.WithUserNSRemapperLabels(ids, ids)),
		client.WithRuntime(runtimeName, &options.Options{BinaryName: starter, Root: c.runcState}),
		withSpec(spec),
	)
	if err != nil {
		after, cancel := afterwards(ctx)
		defer cancel()
		c.client.SnapshotService(snapshotter).Remove(after, plan.ID)
		return nil, fmt.Errorf("creating the container: %w", err)
	}
	failpoint.Hit("containerd.container-created")
	if t.task, err = t.container.NewTask(ctx, cio.NullIO); err != nil {
		after, cancel := afterwards(ctx)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("creating the container's first process: %w", err), t.remove(after))
	}
	return t, nil
}

// undoDeadline bounds what is undone of a container that could not be made: containerd
// may be what hangs.
const undoDeadline = 10 * time.Second

// afterwards is for undoing what was begun under ctx: a start that was interrupted left its
// layer behind, since nothing more was asked of containerd under a context that had ended.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoDeadline)
}

func withSpec(spec string) client.NewContainerOpts {
	return func(_ context.Context, _ *client.Client, c *containers.Container) error {
		var s specs.Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			return err
		}
		var err error
		c.Spec, err = typeurl.MarshalAny(&s)
		return err
	}
}

func marshalSpec(s *specs.Spec) (string, error) {
	raw, err := json.Marshal(s)
	return string(raw), err
}

func (t *containerdTask) pid() int { return int(t.task.Pid()) }

func (t *containerdTask) start(ctx context.Context) error {
	if err := t.task.Start(t.c.ctx(ctx)); err != nil {
		return fmt.Errorf("starting the container: %w", err)
	}
	return nil
}

// pause and resume are for containers whose runtime holds them by itself.
func (t *containerdTask) pause(ctx context.Context) error { return t.task.Pause(t.c.ctx(ctx)) }

func (t *containerdTask) resume(ctx context.Context) error { return t.task.Resume(t.c.ctx(ctx)) }

// remove deletes task, container and snapshot. What is already gone is fine.
func (t *containerdTask) remove(ctx context.Context) error {
	ctx = t.c.ctx(ctx)
	var errs []error
	if t.task != nil {
		if _, err := t.task.Delete(ctx, killAndWait); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("deleting the task: %w", err))
		}
	}
	failpoint.Hit("containerd.task-deleted")
	if err := t.container.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, fmt.Errorf("deleting the container: %w", err))
	}
	return errors.Join(errs...)
}

// killAndWait ends a task that may have ended already. runsc, unlike runc, fails at
// what is gone, and containerd cannot tell that from other failures: what counts is
// that it ends.
func killAndWait(ctx context.Context, p client.Process) error {
	exited, err := p.Wait(ctx)
	if err != nil {
		return err
	}
	kerr := p.Kill(ctx, syscall.SIGKILL, client.WithKillAll)
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), kerr)
	}
}

// signal has the runtime signal the server.
func (t *containerdTask) signal(ctx context.Context, s syscall.Signal) error {
	return t.task.Kill(t.c.ctx(ctx), s)
}

// reconcile deletes what an earlier life left in our namespace: tasks,
// containers, their snapshots, leases. Images stay.
func (c *containerd) reconcile(ctx context.Context) error {
	ctx = c.ctx(ctx)
	left, err := c.client.Containers(ctx)
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	for _, container := range left {
		if task, err := container.Task(ctx, nil); err == nil {
			task.Kill(ctx, syscall.SIGKILL)
			task.Delete(ctx, killAndWait)
		}
		if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("deleting container %s: %w", container.ID(), err)
		}
	}
	return errors.Join(c.dropSnapshots(ctx), c.dropLeases(ctx), c.collect(ctx))
}

// collect removes the folders of snapshots that are deleted: containerd does so
// at its next collection, and forgets at its end that one is due. A snapshot
// made and deleted reminds it; the end of a lease can be made to wait for it.
func (c *containerd) collect(ctx context.Context) error {
	const name = "mcprun-collect"
	manager, sn := c.client.LeasesService(), c.client.SnapshotService(snapshotter)
	lease, err := manager.Create(ctx, leases.WithID(name))
	if err != nil {
		return fmt.Errorf("collecting what was deleted: %w", err)
	}
	_, err = sn.Prepare(leases.WithLease(ctx, lease.ID), name, "")
	if err == nil {
		err = sn.Remove(ctx, name)
	}
	if err = errors.Join(err, manager.Delete(ctx, lease, leases.SynchronousDelete)); err != nil {
		return fmt.Errorf("collecting what was deleted: %w", err)
	}
	return nil
}

// dropSnapshots removes writable layers without a container: a crash came
// between the two.
func (c *containerd) dropSnapshots(ctx context.Context) error {
	sn := c.client.SnapshotService(snapshotter)
	var keys []string
	err := sn.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			keys = append(keys, info.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing snapshots: %w", err)
	}
	for _, key := range keys {
		if err := sn.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("removing snapshot %s: %w", key, err)
		}
	}
	return nil
}

func (c *containerd) dropLeases(ctx context.Context) error {
	manager := c.client.LeasesService()
	left, err := manager.List(ctx)
	if err != nil {
		return fmt.Errorf("listing leases: %w", err)
	}
	for _, l := range left {
		if err := manager.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("deleting lease %s: %w", l.ID, err)
		}
	}
	return nil
}

// Objects counts what containerd holds for us, so that tests and doctor can see
// that nothing is left.
func (r *Runtime) Objects(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(r.ctrd.ctx(ctx), 10*time.Second)
	defer cancel()
	left, err := r.ctrd.client.Containers(ctx)
	if err != nil {
		return nil, err
	}
	n := map[string]int{"containers": len(left)}
	err = r.ctrd.client.SnapshotService(snapshotter).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			n["snapshots"]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	leases, err := r.ctrd.client.LeasesService().List(ctx)
	n["leases"] = len(leases)
	return n, err
}
