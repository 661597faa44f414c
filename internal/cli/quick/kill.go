package quick

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
)

// Targets are the flags that name what a kill or revive is about.
type Targets struct {
	all           bool
	label, client string
}

func (t *Targets) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&t.all, "all", false, "everything")
	cmd.Flags().StringVar(&t.label, "label", "", "all servers with this label: KEY=VALUE")
	cmd.Flags().StringVar(&t.client, "principal", "", "all calls of one client: uid:NUMBER, or the name of a user")
}

// Request names the one target that was given.
func (t *Targets) Request(req control.Request, args []string) (control.Request, error) {
	given := len(args)
	for _, is := range []bool{t.all, t.label != "", t.client != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return req, &mcprun.Error{Class: mcprun.Usage, What: "name one target: a server, a tool, a label, a principal or everything", Hint: "mcprun kill NAME, NAME/TOOL, --label KEY=VALUE, --principal uid:NUMBER or --all"}
	}
	req.All = t.all
	var err error
	switch {
	case t.label != "":
		req.Label, err = mcprun.ParseLabel(t.label)
	case t.client != "":
		req.Client, err = principalOf(t.client)
	case len(args) == 1:
		server, tool, isTool := strings.Cut(args[0], "/")
		if req.Server, err = mcprun.ParseServerName(server); err == nil && isTool {
			req.Tool, err = mcprun.ParseToolName(tool)
		}
	}
	if err != nil {
		return req, &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun ps"}
	}
	return req, nil
}

// principalOf reads uid:NUMBER, or the name of a user of this host.
func principalOf(s string) (mcprun.Principal, error) {
	if strings.Contains(s, ":") {
		return mcprun.ParsePrincipal(s)
	}
	u, err := user.Lookup(s)
	if err != nil {
		return "", fmt.Errorf("%q is no user of this host; write uid:NUMBER", s)
	}
	return mcprun.ParsePrincipal("uid:" + u.Uid)
}

func (a *App) killCommand() *cobra.Command {
	var t Targets
	var why string
	var keep bool
	cmd := &cobra.Command{
		Use: "kill NAME | NAME/TOOL | --label K=V | --principal P | --all", Short: "end a server, a tool or a client's calls at once; it stays dead until revived",
		Long: "Throw the kill switch. When the command returns, new calls are refused, calls in flight have failed,\nno process is left, and the switch is on disk. kill --all works without a daemon too.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := t.Request(control.Request{Op: control.OpKill, Why: why, Preserve: keep}, args)
			if err != nil {
				return err
			}
			if keep && t.all { // with or without a daemon
				return &mcprun.Error{Class: mcprun.Usage, What: "killing everything", Why: "this switch waits for nothing, and so keeps nothing", Hint: "mcprun kill SERVER --preserve, then mcprun kill --all; or mcprun kill --label KEY=VALUE --preserve"}
			}
			res, err := a.askKill(req)
			var e *mcprun.Error
			if t.all && errors.As(err, &e) && e.Class == mcprun.Unreachable {
				return a.killWithoutDaemon(why)
			}
			if err != nil {
				return err
			}
			if err := a.Print(res.Killed, func(w io.Writer) { a.ShowKill(w, res.Killed) }); err != nil || len(res.Killed.Problems) == 0 {
				return err
			}
			return &mcprun.Error{Class: mcprun.Failed, What: res.Killed.Target + " is killed, but not all of it was done", Why: strings.Join(res.Killed.Problems, "; "), Hint: "mcprun doctor"}
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	cmd.Flags().BoolVar(&keep, "preserve", false, "keep what a server leaves: its log, processes and files")
	return cmd
}

// daemonSilence is how long kill --all waits for a daemon that is there and does
// not answer, stopped or stuck; an answer takes milliseconds, 0.1 s with much to free.
const daemonSilence = 2 * time.Second

// askKill asks the daemon. Root can kill everything without it, and so does not
// wait for long: a daemon that goes on later finds the switch on disk.
func (a *App) askKill(req control.Request) (*control.Result, error) {
	if !req.All || os.Geteuid() != 0 {
		return a.Do(req)
	}
	type answer struct {
		res *control.Result
		err error
	}
	got := make(chan answer, 1)
	go func() {
		res, err := a.Do(req)
		got <- answer{res, err}
	}()
	select {
	case r := <-got:
		return r.res, r.err
	case <-time.After(daemonSilence):
		return nil, &mcprun.Error{Class: mcprun.Unreachable, What: "killing everything", Why: fmt.Sprintf("the daemon does not answer within %v", daemonSilence)}
	}
}

// ShowKill tells of a kill, step by step.
func (a *App) ShowKill(w io.Writer, r *control.KillReport) {
	fmt.Fprintf(w, "killed %s", r.Target)
	if r.Sessions > 0 {
		fmt.Fprintf(w, "; %d sessions ended", r.Sessions)
	}
	if r.Failed > 0 {
		fmt.Fprintf(w, "; %d calls in flight failed", r.Failed)
	}
	fmt.Fprintf(w, "\n  by %s at %s: %s\n", r.Who, r.When.Local().Format(time.RFC3339), lock.Visible(r.Why))
	for _, s := range r.Steps {
		fmt.Fprintf(w, "  %-10s after %8.2f ms  %s\n", s.Step, s.AfterMS, s.Note)
	}
	for _, k := range r.Kept {
		a.showKept(w, k)
	}
	fmt.Fprintf(w, "it stays dead until: mcprun revive %s --why '...'\n", r.Argument)
}

// showKept says where what is left of one server is.
func (a *App) showKept(w io.Writer, k control.Kept) {
	if k.Folder != "" {
		fmt.Fprintf(w, "kept of %s in %s\n", k.Server, k.Folder)
	}
	for _, f := range k.Files {
		fmt.Fprintf(w, "  %-14s %10d bytes  %s\n", f.Name, f.Size, f.Digest)
	}
	for _, m := range k.Missing {
		fmt.Fprintf(w, "  not kept of %s: %s\n", k.Server, lock.Visible(m))
	}
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
	serr := limits.Write(a.Dirs.Switches(), k)
	n, kerr := killCgroup(a.Dirs.CgroupParent(), withoutDaemonWait)
	if err := errors.Join(serr, kerr); err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "killing everything", Err: err}
	}
	fmt.Fprintf(a.Out, "killed everything without a daemon: %d processes, after %.2f ms\n", n, float64(time.Since(begun).Microseconds())/1000)
	fmt.Fprintln(a.Out, "it stays dead until a daemon runs and: mcprun revive --all --why '...'")
	return nil
}

func (a *App) reviveCommand() *cobra.Command {
	var t Targets
	var why string
	cmd := &cobra.Command{
		Use: "revive NAME | NAME/TOOL | --label K=V | --principal P | --all", Short: "take back a kill switch",
		Long: "Take back a kill switch, the one that is named. Where revive: {approvers: 2} stands in policy.yaml, it\nis taken back when a second operator says so too, within an hour and with a reason of their own.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := t.Request(control.Request{Op: control.OpRevive, Why: why}, args)
			if err != nil {
				return err
			}
			res, err := a.Do(req)
			if err != nil {
				return err
			}
			return a.Print(res.Revived, func(w io.Writer) { showRevival(w, res.Revived) })
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record (required)")
	return cmd
}

func showRevival(w io.Writer, r *control.Revival) {
	if r.Done {
		fmt.Fprintf(w, "%s may run again\n", r.Target)
	} else {
		fmt.Fprintf(w, "%s stays dead: %d of %d have said that it may run again\n", r.Target, len(r.Yes), r.Needs)
	}
	for _, y := range r.Yes {
		fmt.Fprintf(w, "  %s at %s: %s\n", PersonName(y.Who), y.At.Local().Format(time.RFC3339), lock.Visible(y.Why))
	}
	if !r.Done {
		fmt.Fprintf(w, "another operator has to, before %s: mcprun revive %s --why '...'\n", r.Until.Local().Format(time.RFC3339), r.Argument)
	}
}

// PersonName adds to a principal the name of its user on this host.
func PersonName(p mcprun.Principal) string {
	if uid, ok := strings.CutPrefix(string(p), "uid:"); ok {
		if u, err := user.LookupId(uid); err == nil {
			return u.Username + " (" + string(p) + ")"
		}
	}
	return string(p)
}
