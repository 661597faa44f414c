package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

const (
	// opTimeout bounds one operation: several times what the slowest, a walk of
	// the tree, needs on a loaded machine with half a CPU.
	opTimeout = 5 * time.Second
	// limitsTimeout bounds an operation of -limits, which touches 1 GiB.
	limitsTimeout = 15 * time.Second
	// maxOutput bounds what is kept of a child's output.
	maxOutput = result.MaxLine
	// defaultWorkers keeps two children and their threads far below a limit of
	// 64 processes, and hides the waiting of connections that time out.
	defaultWorkers = 2
)

// runner runs operations in children.
type runner struct {
	workers int
	fresh   bool // a mount namespace for each child
}

// run runs ops and prints each result as soon as those before it are there, so
// that a run that is killed leaves what it had.
func (r runner) run(ops []op, stdout io.Writer) ([]result.Result, error) {
	// The operations that look at this process come first, before the children
	// give it pipes and process handles of its own.
	early := map[string]result.Result{}
	for _, o := range ops {
		if o.here {
			early[o.name] = toResult(o, o.run())
		}
	}
	next, done := make(chan int), make([]chan result.Result, len(ops))
	for i := range done {
		done[i] = make(chan result.Result, 1)
	}
	go func() {
		defer close(next)
		for i := range ops {
			if !ops[i].limits {
				next <- i
			}
		}
	}()
	for range max(1, r.workers) {
		go func() {
			for i := range next {
				if res, ok := early[ops[i].name]; ok {
					done[i] <- res
					continue
				}
				done[i] <- r.one(ops[i])
			}
		}()
	}
	enc := json.NewEncoder(stdout)
	rs := make([]result.Result, 0, len(ops))
	for i := range ops {
		var res result.Result
		if ops[i].limits { // alone, when the others are done: it takes what they need
			res = r.one(ops[i])
		} else {
			res = <-done[i]
		}
		rs = append(rs, res)
		if err := enc.Encode(res); err != nil {
			return nil, fmt.Errorf("printing %s: %w", res.Name, err)
		}
	}
	if err := enc.Encode(result.Summary{Summary: true, Counts: result.Count(rs)}); err != nil {
		return nil, fmt.Errorf("printing the summary: %w", err)
	}
	return rs, nil
}

// one runs o in a child and turns however that ends into a result.
func (r runner) one(o op) result.Result {
	limit := opTimeout
	if o.limits {
		limit = limitsTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, selfPath, "-one", o.name)
	// One scheduler thread keeps a child small; a session of its own keeps it
	// from a controlling terminal that an operation could hang up.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if r.fresh {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var res result.Result
	if json.Unmarshal(stdout.Bytes(), &res) == nil && res.Name == o.name {
		return res
	}
	return toResult(o, ended(ctx, err, stderr.String()))
}

// ended says what the death of a child without a result means.
func ended(ctx context.Context, err error, stderr string) outcome {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return broken("hung: " + ctx.Err().Error())
	case errors.As(err, &exit):
		status, _ := exit.Sys().(syscall.WaitStatus)
		// A filter that kills ends the child by SIGSYS; one that traps makes
		// the Go runtime print the signal.
		if status.Signaled() && status.Signal() == unix.SIGSYS || strings.Contains(stderr, "SIGSYS") {
			return outcome{verdict: result.Denied, errno: "SIGSYS", detail: "killed by the filter"}
		}
		line, _, _ := strings.Cut(stderr, "\n")
		return broken(fmt.Sprintf("child ended with %s: %s", exit, line))
	case err != nil:
		return broken("starting a child: " + err.Error())
	}
	return broken("the child printed no result")
}

// selfPath is this program; the link works under any root as long as /proc is
// there.
const selfPath = "/proc/self/exe"

// bounded keeps the first bytes of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, maxOutput-b.Len()))])
	return len(p), nil
}

// startSelf starts this program again to do nothing, with attr, and waits.
// What comes back is the error of the start, which is that of the clone or
// unshare in attr.
func startSelf(attr *syscall.SysProcAttr) error {
	cmd := exec.Command(selfPath, "-noop")
	cmd.SysProcAttr = attr
	return cmd.Run()
}
