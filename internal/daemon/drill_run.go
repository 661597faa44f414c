package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
)

const (
	// runStart bounds the start of mcprun run and of the decoy by it: far more than they take.
	runStart = 20 * time.Second
	// runEnd is how long mcprun run may take to notice that its server was stopped.
	runEnd = time.Second
	// maxRunSays is how much of what mcprun run prints is kept, for the error.
	maxRunSays = 4 << 10
)

// foreground is the mcprun run of a drill, as a process of its own. It is started again and
// again; one at a time.
type foreground struct {
	text []byte // the server.yaml that it brings

	cmd  *exec.Cmd
	says *tail
	done chan struct{} // closed when it has ended
	err  error         // then

	mu       sync.Mutex
	pid      int            // of the process whose request is the drill's; 0 for none
	requests sync.WaitGroup // of it that the daemon works on
}

// tail keeps the end of what is written.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if n := t.buf.Len() - maxRunSays; n > 0 {
		t.buf.Next(n)
	}
	return len(p), nil
}

// client is the program that people have.
func (o *ownDrill) client() string { return filepath.Join(o.d.opts.Programs, "mcprun") }

// yaml is the server.yaml of the decoy, for mcprun run.
func (o *ownDrill) yaml() string { return filepath.Join(o.d.opts.Dirs.Drill(), "server.yaml") }

// startRun has mcprun run start the decoy. It does not give up in the middle, so that the
// decoy does not come up when the drill is over.
func (o *ownDrill) startRun(context.Context) error {
	f := &o.run
	ctx, cancel := context.WithTimeout(context.Background(), runStart)
	defer cancel()
	if err := f.begin(exec.Command(o.client(), "run", o.yaml()), "MCPRUN_RUN="+o.d.opts.Dirs.Run, "MCPRUN_DATA="+o.d.opts.Dirs.Data); err != nil {
		return fmt.Errorf("starting mcprun run: %w", err)
	}
	for o.decoyOne().status().State != "running" {
		select {
		case <-f.done:
			return fmt.Errorf("mcprun run ended: %w; it says: %s", errors.Join(f.err, errEnded), f.says.buf.Bytes())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("mcprun run does not start the decoy within %v", runStart), f.end())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

var errEnded = errors.New("before the decoy ran")

// byInterrupt does to it what Ctrl-C does, and waits for its end, which is that of the kill.
func (o *ownDrill) byInterrupt(ctx context.Context, _ limits.Target, _ string) error {
	f := &o.run
	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return errors.Join(errors.New("mcprun run goes on"), f.end())
	}
	if f.err != nil {
		return fmt.Errorf("mcprun run: %w; it says: %s", f.err, f.says.buf.Bytes())
	}
	return nil
}

// begin starts the process. It dies with this one, and not of what somebody types at the
// daemon's terminal.
func (f *foreground) begin(cmd *exec.Cmd, env ...string) error {
	f.mu.Lock() // whoever looks whose request it is waits for its number
	defer f.mu.Unlock()
	f.cmd, f.says, f.done, f.err = cmd, new(tail), make(chan struct{}), nil
	cmd.Dir, cmd.Env = "/", append(os.Environ(), env...)
	cmd.Stderr = f.says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		defer close(f.done)
		// The signal comes when the thread that started it ends, so this one stays.
		goruntime.LockOSThread()
		defer goruntime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			f.err = cmd.Wait()
		}
	}()
	err := <-started
	if err == nil {
		f.pid = cmd.Process.Pid
	}
	return err
}

// end kills the process if there is one.
func (f *foreground) end() error {
	if f.done == nil {
		return nil
	}
	err := f.cmd.Process.Kill()
	<-f.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// settled waits until nothing is under way any more that the process asked for, and has
// nothing of it begin: its end can be a kill, which is to be taken back with the others.
func (f *foreground) settled(ctx context.Context) error {
	if f.done != nil {
		select {
		case <-f.done: // as its server is stopped
		case <-time.After(runEnd):
		}
	}
	err := f.end()
	f.mu.Lock()
	f.pid = 0
	f.mu.Unlock()
	done := make(chan struct{})
	go func() { f.requests.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("a request of mcprun run does not end"))
	}
	return err
}

// asks returns the decoy's definition where the request is that of the drill's own mcprun
// run, by the number that the kernel gives: what anybody else asks to be run is held to the
// policy, whatever its name. Call over when the request is.
func (s *drills) asks(c *control.Call) (def *definition, over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return nil, nil
	}
	f := &s.now.run
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pid == 0 || c.Peer.Pid != int32(f.pid) || c.File != s.now.yaml() || !bytes.Equal(c.Manifest, f.text) {
		return nil, nil
	}
	f.requests.Add(1)
	return s.now.decoyOne().def, f.requests.Done
}
