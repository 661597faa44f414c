package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"text/template"
	"time"

	"github.com/mcprun/mcprun/internal/paths"
)

// privateContainerd is a containerd of our own: its own root, state, socket and
// plugins, and the daemon's child, so that it dies with it.
type privateContainerd struct {
	cmd     *exec.Cmd
	address string
	exited  chan struct{}
}

// containerdConfig collects garbage after each deletion, for what a container
// wrote stays on the disk until then. It leaves out what is not used here, first of all the CRI
// plugin: it would run an image's command as root of the host on a pull in
// older versions (CVE-2026-53488).
var containerdConfig = template.Must(template.New("config").Parse(`version = 3
root = {{printf "%q" .Root}}
state = {{printf "%q" .State}}
disabled_plugins = [
  "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.restart", "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.image-verifier.v1.bindir", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.native",
  "io.containerd.differ.v1.erofs", "io.containerd.mount-handler.v1.erofs", "io.containerd.monitor.container.v1.restart", "io.containerd.monitor.task.v1.cgroups",
  "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.sandbox.controller.v1.shim",
]
[grpc]
  address = {{printf "%q" .Address}}
[ttrpc]
  address = {{printf "%q" .TTRPC}}
[debug]
  address = ""
  level = "warn"
[metrics]
  address = ""
[plugins."io.containerd.snapshotter.v1.overlayfs"]
  sync_remove = true
[plugins."io.containerd.gc.v1.scheduler"]
  deletion_threshold = 1
  schedule_delay = "0s"
`))

// bootDeadline bounds containerd's start: 11–16 ms measured, seconds on a loaded host.
const bootDeadline = 20 * time.Second

func privateAddress(dirs paths.Dirs) string { return filepath.Join(dirs.Containerd(), "c.sock") }

func startPrivate(ctx context.Context, opts Options) (*privateContainerd, error) {
	state := opts.Dirs.Containerd()
	// A container's root must pass through both to its own files; only names are open to it.
	for _, dir := range []string{opts.Dirs.Data, state, opts.Dirs.ContainerdDB()} {
		err := os.MkdirAll(dir, 0o711)
		if err = errors.Join(err, os.Chmod(dir, 0o711)); err != nil {
			return nil, fmt.Errorf("starting containerd: %w", err)
		}
	}
	p := &privateContainerd{address: privateAddress(opts.Dirs), exited: make(chan struct{})}
	config := filepath.Join(state, "config.toml")
	f, err := os.OpenFile(config, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	err = containerdConfig.Execute(f, map[string]string{
		"Root": opts.Dirs.ContainerdDB(), "State": filepath.Join(state, "state"), "Address": p.address, "TTRPC": p.address + ".ttrpc",
	})
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(state, "log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening containerd's log: %w", err)
	}
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(opts.Programs, "containerd"), "--config", config)
	p.cmd.Env = []string{"PATH=" + opts.Programs + ":" + defaultPath, "GOGC=50"}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Its own group, so that an interrupt typed at the daemon's terminal is the daemon's to handle.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("starting containerd: %w", err)
	}
	if err := p.await(ctx); err != nil {
		p.stop()
		raw, _ := os.ReadFile(filepath.Join(state, "log"))
		return nil, fmt.Errorf("starting containerd: %w; its log ends: %s", err, lastBytes(raw, 600))
	}
	return p, nil
}

// run starts the child on a thread that lives as long as the child: the
// parent-death signal comes when the thread that forked ends, not the process.
func (p *privateContainerd) run() error {
	started := make(chan error)
	go func() {
		goruntime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.cmd.Wait()
		close(p.exited)
	}()
	return <-started
}

func (p *privateContainerd) await(ctx context.Context) error {
	end := time.Now().Add(bootDeadline)
	for {
		c, err := net.Dial("unix", p.address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("it does not answer within %v", bootDeadline)
		}
	}
}

// stop ends containerd, by force if it does not follow.
func (p *privateContainerd) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
