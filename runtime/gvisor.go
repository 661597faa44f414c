package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

// What differs between the kinds of isolation stands in this file. A container of
// gVisor has two processes on the host where one of runc has the server's own: the
// sandbox, which is the server's kernel and has its processes below it, and a gofer,
// which opens the files of the container for it.

// starters are the programs that containerd's shim calls to make a container.
var starters = map[manifest.Isolation]string{manifest.Runc: "runc", manifest.GVisor: "mcprun-runsc"}

// starter finds the program, and what it needs beside it.
func (r *Runtime) starter(i manifest.Isolation) (string, error) {
	name, known := starters[i]
	if !known {
		return "", fmt.Errorf("isolation %v is not known", i)
	}
	needs := []string{name}
	if i == manifest.GVisor {
		needs = append(needs, "runsc")
	}
	for _, n := range needs {
		if _, err := os.Stat(filepath.Join(r.opts.Programs, n)); err != nil {
			return "", &mcprun.Error{Class: mcprun.Failed, What: "isolating it with " + i.String(), Why: n + " is not in " + r.opts.Programs, Err: err,
				Hint: "make setup-gvisor, or write isolation: runc; mcprun doctor shows what is there"}
		}
	}
	return filepath.Join(r.opts.Programs, name), nil
}

// canStart refuses a profile behind which gVisor would let nothing begin: under runc the
// daemon lets the start of the server itself through, but nobody asks it from within a
// sandbox, and to add the call would let the server start what it likes.
func canStart(plan Plan) error {
	if plan.Server.Isolation != manifest.GVisor || slices.Contains(plan.Profile.Calls(goruntime.GOARCH), "execve") {
		return nil
	}
	return &mcprun.Error{Class: mcprun.Usage, What: "starting it behind gVisor", Why: "the profile " + plan.Profile.Name() + " has no execve, with which the server itself is started there",
		Hint: "add to allow of that profile: {calls: [execve], reason: gVisor starts the server with it}; or write isolation: runc, where a server can be started that can start nothing"}
}

// hostTasks is how many tasks of the host a server may have that is given so many
// processes and threads.
func hostTasks(i manifest.Isolation, pids int64) int64 {
	if i == manifest.GVisor {
		return pids + SentryTasks
	}
	return pids + InitTasks
}

// holdGofer takes the second process of a container of gVisor, and puts all that it
// has into the cgroup by which it is frozen and killed. Nothing of the server
// has run yet, so that its name is its own.
func (i *Instance) holdGofer() error {
	for _, pid := range i.rt.cgroups.Processes(i.cgroup) {
		if err := i.rt.cgroups.Adopt(i.cgroup, pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.HasPrefix(line, []byte("runsc-gofer\x00")) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			return fmt.Errorf("holding the container's gofer: %w", err)
		}
		i.gofer, i.goferfd = pid, fd
	}
	if i.gofer != 0 {
		return nil
	}
	return errors.New("the container has no gofer: runsc is another version than this mcprun knows; make setup-gvisor")
}

// goferDeadline bounds the wait for the gofer to close its own way out, which takes
// it milliseconds.
const goferDeadline = 5 * time.Second

// enclosed waits until the gofer sees the container's files and nothing else.
func (i *Instance) enclosed(ctx context.Context) error {
	for end := time.Now().Add(goferDeadline); time.Now().Before(end); {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/root%s", i.gofer, initTarget)); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.done:
			return errors.New("the container ended while it was built")
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("the container's gofer does not enclose itself within %v", goferDeadline)
}

// mounter is the process that sees what was mounted as the server will.
func (i *Instance) mounter(ctx context.Context) (int, error) {
	if i.gofer == 0 {
		return i.pid, nil
	}
	return i.gofer, i.enclosed(ctx)
}

// endGofer ends what is left of a container whose sandbox is gone, and waits for it.
func (i *Instance) endGofer() {
	if i.goferfd < 0 {
		return
	}
	unix.PidfdSendSignal(i.goferfd, unix.SIGKILL, nil, 0)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(i.goferfd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			break
		}
	}
	unix.Close(i.goferfd)
}

// ask sends the server SIGTERM. Of a sandbox it would be the end: there the runtime
// is to pass it on.
func (i *Instance) ask(ctx context.Context) {
	if i.gofer == 0 {
		unix.PidfdSendSignal(i.pidfd, unix.SIGTERM, nil, 0)
		return
	}
	i.task.signal(ctx, unix.SIGTERM)
}

// pauseDeadline bounds the wait for gVisor's kernel to have all of the server's
// threads stand still, which takes it and the programs in between some ten milliseconds.
const pauseDeadline = 5 * time.Second

// pauseSandbox has the server's own kernel hold it. Unlike the freezer it is no hold on
// that kernel itself, which the server would have to have broken.
func (i *Instance) pauseSandbox() error {
	if i.paused.Load() {
		return nil
	}
	ctx, cancel := i.untilKilled()
	defer cancel()
	if err := i.task.pause(ctx); err != nil {
		after, cancel := i.untilKilled() // it may have been paused, and the answer be late
		defer cancel()
		return fmt.Errorf("having gVisor pause it: %w", errors.Join(err, i.task.resume(after)))
	}
	i.paused.Store(true)
	return nil
}

func (i *Instance) resumeSandbox() error {
	if !i.paused.Load() {
		return nil
	}
	ctx, cancel := i.untilKilled()
	defer cancel()
	if err := i.task.resume(ctx); err != nil {
		return fmt.Errorf("having gVisor resume it: %w", err)
	}
	i.paused.Store(false)
	return nil
}

// untilKilled ends with a kill, which nothing holds up.
func (i *Instance) untilKilled() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), pauseDeadline)
	go func() {
		defer cancel()
		select {
		case <-i.freezer.killed:
		case <-i.done:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// isStarter reports whether a program is one that makes containers.
func isStarter(name string) bool {
	return slices.Contains([]string{"runc", "mcprun-runsc", "runsc"}, name)
}
