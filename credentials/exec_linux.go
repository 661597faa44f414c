package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// execBound is above what a password manager needs, the network included,
	// and below the bound of the Cache, so that the error names the program.
	execBound = 10 * time.Second

	// pipeGrace is how long a process that left the group may hold the output
	// open after the program's end.
	pipeGrace = time.Second

	// maxArguments and maxArgument keep a command line reviewable.
	maxArguments = 64
	maxArgument  = 4096

	// killGrace is how long a killed program may take to be gone. One that waits
	// for a dead file server, or runs as another user, may stay for ever.
	killGrace = time.Second

	// maxComplaint bounds the first line of stderr: it is compared with the output
	// as a whole, so a longer one is left out. maxShown of it go into an error.
	maxComplaint = 4096
	maxShown     = 200

	// defaultPath serves programs that start others, where the daemon has no PATH.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

var (
	errSlow    = fmt.Errorf("it ran longer than %v and was killed", execBound)
	errVerbose = fmt.Errorf("it printed more than %d bytes", MaxOutput)
)

// program is Source.Exec. It gets PATH, HOME and LANG of the daemon's and no
// other variable, no input, and / as its folder; who needs more writes
// [/usr/bin/env, NAME=value, program].
type program []string

func (p program) name() string { return "exec" }

func (p program) where() string {
	if len(p) == 0 {
		return "(no program)"
	}
	return printablePath(p[0])
}

func (p program) check(int) error {
	if len(p) == 0 || !validPath(p[0]) {
		return errors.New("exec: begin with the absolute path of a program, such as [/usr/bin/pass, show, github]")
	}
	if len(p)-1 > maxArguments {
		return fmt.Errorf("exec: %d arguments; at most %d: write a script", len(p)-1, maxArguments)
	}
	for i, a := range p[1:] {
		if len(a) > maxArgument || strings.ContainsRune(a, 0) {
			return fmt.Errorf("exec: argument %d is longer than %d bytes or holds a NUL: write a script", i+1, maxArgument)
		}
	}
	return nil
}

func (p program) get(ctx context.Context, env lookup) (Secret, error) {
	info, err := os.Stat(p[0])
	if err != nil {
		return Secret{}, err
	}
	// It runs with the daemon's rights: who can write it has them.
	if err := checkMode(p[0], info, public); err != nil {
		return Secret{}, err
	}
	out, err := p.run(ctx, env)
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(cutNewline(out), time.Time{})
}

// run returns what the program printed. Nothing of its process group outlives it.
func (p program) run(ctx context.Context, env lookup) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, execBound, errSlow)
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	// The death signal comes when the thread that started the program ends, which
	// must not be before its time.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()

	out := &bounded{max: MaxOutput, over: func() error { cut(errVerbose); return errVerbose }}
	complaint := &bounded{max: maxComplaint, over: func() error { return nil }}
	cmd := exec.Command(p[0], p[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = minimalEnv(env), "/", pipeGrace
	cmd.Stdout, cmd.Stderr = out, complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // too late to begin
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended, err := finish(ctx, cmd)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	switch {
	case !ended:
		return nil, fmt.Errorf("%w, but it cannot be killed", err)
	case err != nil:
		return nil, withComplaint(err, complaint.buf.String(), out.buf.String())
	}
	return out.buf.Bytes(), nil
}

// finish waits for the program's end, or ends it with ctx, and kills what is left
// of its group. Unless it ended, its output may still grow and is not to be read.
func finish(ctx context.Context, cmd *exec.Cmd) (ended bool, err error) {
	exited := make(chan struct{})
	go func() { waitExited(cmd.Process.Pid); close(exited) }()
	select {
	case <-exited:
	case <-ctx.Done():
	}
	// Nobody has taken its exit status yet, so the number is still its own and no
	// stranger's group is hit. It may have left its group: hence the second kill.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Process.Kill()
	select {
	case <-exited:
	case <-time.After(killGrace):
		go cmd.Wait()
		return false, errors.New("it does not end")
	}
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		return true, errors.New("a process that it left behind holds its output open")
	}
	return true, err
}

// waitExited returns when the child has ended, and leaves its status to Wait.
func waitExited(pid int) {
	const (
		pPID    = 1          // P_PID of waitid(2)
		wExited = 0x4        // WEXITED
		wNoWait = 0x01000000 // WNOWAIT
	)
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), 0, wExited|wNoWait, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// withComplaint adds the first line of stderr, unless it repeats a line of the
// output: that may be the secret.
func withComplaint(err error, stderr, stdout string) error {
	line, _, whole := strings.Cut(stderr, "\n")
	line = strings.TrimSpace(line)
	if line == "" || !whole && len(stderr) == maxComplaint {
		return err
	}
	for said := range strings.Lines(stdout) {
		if said = strings.TrimSpace(said); said != "" && strings.Contains(line, said) {
			return fmt.Errorf("%w; its stderr repeats its output and is not shown", err)
		}
	}
	return fmt.Errorf("%w; stderr: %q", err, line[:min(len(line), maxShown)])
}

func minimalEnv(env lookup) []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "LANG"} {
		if v, ok := env(name); ok {
			out = append(out, name+"="+v)
		} else if name == "PATH" {
			out = append(out, "PATH="+defaultPath)
		}
	}
	return out
}

// bounded keeps the first max bytes and calls over for more. It embeds no buffer:
// io.Copy would use the buffer's ReadFrom, past the bound.
type bounded struct {
	buf  bytes.Buffer
	max  int
	over func() error
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.buf.Len()
	if len(p) <= room {
		return b.buf.Write(p)
	}
	b.buf.Write(p[:room])
	return len(p), b.over()
}
