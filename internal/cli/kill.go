package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
)

// target reads NAME, NAME/TOOL, or nothing with --all.
func target(req control.Request, all bool, args []string) (control.Request, error) {
	if all != (len(args) == 0) {
		return req, &mcprun.Error{Class: mcprun.Usage, What: "name one target, or give --all", Hint: "mcprun kill NAME, mcprun kill NAME/TOOL, mcprun kill --all"}
	}
	req.All = all
	if all {
		return req, nil
	}
	server, tool, isTool := strings.Cut(args[0], "/")
	var err error
	if req.Server, err = mcprun.ParseServerName(server); err == nil && isTool {
		req.Tool, err = mcprun.ParseToolName(tool)
	}
	if err != nil {
		return req, &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun ps"}
	}
	return req, nil
}

func (a *App) killCommand() *cobra.Command {
	var all bool
	var why string
	cmd := &cobra.Command{
		Use: "kill NAME | NAME/TOOL | --all", Short: "end a server or a tool at once; it stays dead until revived",
		Long: "Throw the kill switch. When the command returns, new calls are refused, calls in flight have failed,\nno process is left, and the switch is on disk. kill --all works without a daemon too.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := target(control.Request{Op: control.OpKill, Why: why}, all, args)
			if err != nil {
				return err
			}
			res, err := a.askKill(req)
			var e *mcprun.Error
			if all && errors.As(err, &e) && e.Class == mcprun.Unreachable {
				return a.killWithoutDaemon(why)
			}
			if err != nil {
				return err
			}
			return a.print(res.Killed, func(w io.Writer) { a.showKill(w, res.Killed) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return cmd
}

// daemonSilence is how long kill --all waits for a daemon that is there and does
// not answer, stopped or stuck; an answer takes milliseconds, 0.1 s with much to free.
const daemonSilence = 2 * time.Second

// askKill asks the daemon. Root can kill everything without it, and so does not
// wait for long: a daemon that goes on later finds the switch on disk.
func (a *App) askKill(req control.Request) (*control.Result, error) {
	if !req.All || os.Geteuid() != 0 {
		return a.do(req)
	}
	type answer struct {
		res *control.Result
		err error
	}
	got := make(chan answer, 1)
	go func() {
		res, err := a.do(req)
		got <- answer{res, err}
	}()
	select {
	case r := <-got:
		return r.res, r.err
	case <-time.After(daemonSilence):
		return nil, &mcprun.Error{Class: mcprun.Unreachable, What: "killing everything", Why: fmt.Sprintf("the daemon does not answer within %v", daemonSilence)}
	}
}

func (a *App) showKill(w io.Writer, r *control.KillReport) {
	fmt.Fprintf(w, "killed %s", r.Target)
	if r.Failed > 0 {
		fmt.Fprintf(w, "; %d calls in flight failed", r.Failed)
	}
	fmt.Fprintln(w)
	for _, s := range r.Steps {
		fmt.Fprintf(w, "  %-10s after %8.2f ms  %s\n", s.Step, s.AfterMS, s.Note)
	}
	t := r.Target
	if t == "everything" {
		t = "--all"
	}
	fmt.Fprintf(w, "it stays dead until: mcprun revive %s --why '...'\n", t)
}

// withoutDaemonWait bounds the wait for processes to end.
const withoutDaemonWait = 10 * time.Second

// killWithoutDaemon throws the switch on disk and ends every process by itself.
func (a *App) killWithoutDaemon(why string) error {
	if os.Geteuid() != 0 {
		return &mcprun.Error{Class: mcprun.Denied, What: "no daemon answers, and ending the processes without one needs root", Hint: "sudo mcprun kill --all"}
	}
	if why == "" {
		why = "no reason given"
	}
	begun := time.Now()
	k := limits.Kill{Who: fmt.Sprintf("uid:%d", os.Getuid()), Why: why + " (no daemon answered)", When: begun}
	// The switch first: a daemon that comes up meanwhile finds it.
	serr := limits.Write(a.dirs.Switches(), k)
	n, kerr := killCgroup(a.dirs.CgroupParent(), withoutDaemonWait)
	if err := errors.Join(serr, kerr); err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "killing everything", Err: err}
	}
	fmt.Fprintf(a.Out, "killed everything without a daemon: %d processes, after %.2f ms\n", n, float64(time.Since(begun).Microseconds())/1000)
	fmt.Fprintln(a.Out, "it stays dead until a daemon runs and: mcprun revive --all --why '...'")
	return nil
}

func (a *App) reviveCommand() *cobra.Command {
	var all bool
	var why string
	cmd := &cobra.Command{
		Use: "revive NAME | NAME/TOOL | --all", Short: "take back a kill switch", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := target(control.Request{Op: control.OpRevive, Why: why}, all, args)
			if err != nil {
				return err
			}
			if _, err := a.do(req); err != nil {
				return err
			}
			what := "everything"
			if !all {
				what = args[0]
			}
			fmt.Fprintf(a.Out, "%s may run again\n", what)
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the switch that stops everything")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record (required)")
	return cmd
}
