package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	goruntime "runtime"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/tryout"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/profiles"
)

func (a *App) profileTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME|FILE -- COMMAND [ARG...]", Short: "run a command of this machine under a profile, and show what was refused", Args: cobra.MinimumNArgs(2),
		Long: "Run a command under the filter that a server with this profile has, and show which of its system calls were refused, why, and what would\nallow them. Only the system calls are held: the command has your user, your files and your network. Its exit code is passed on.",
		RunE: func(_ *cobra.Command, args []string) error { return a.tryProfile(args[0], args[1:]) },
	}
}

// maxTried bounds the kinds of refused calls that are shown.
const maxTried = 256

// tried is one kind of refused call.
type tried struct {
	Call  string `json:"call"`
	Args  string `json:"args"`
	Count int    `json:"count"`
	Rule  string `json:"rule"`
	Why   string `json:"why"`
	Add   string `json:"add,omitempty"`
}

func (a *App) tryProfile(name string, command []string) error {
	p, err := readProfile(name)
	if err != nil {
		return err
	}
	req := control.Request{Op: control.OpCompile, File: name}
	if isPath(name) {
		if req.Profile, err = os.ReadFile(name); err != nil {
			return &mcprun.Error{Class: mcprun.Usage, What: "reading " + name, Err: err}
		}
	}
	res, err := a.do(req)
	if err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt) // is for the command; we show what it has tried
	defer signal.Stop(ignored)
	all := &attempts{profile: p, kinds: map[string]*tried{}}
	execve, _ := profiles.Number("execve", goruntime.GOARCH)
	err = tryout.Run(cmd, tryout.Filter{Program: res.Filter.Program, Newest: res.Filter.Newest}, execve, all.add)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return &mcprun.Error{Class: mcprun.Failed, What: "running " + command[0] + " under " + p.Name(), Err: err}
	}
	if err := a.print(all.list(), func(io.Writer) { a.showTried(a.Err, p, all.list()) }); err != nil {
		return err
	}
	if exit != nil {
		return exitCode(max(1, exit.ExitCode()))
	}
	return nil
}

// attempts collects what was refused.
type attempts struct {
	profile *profiles.Profile
	mu      sync.Mutex
	kinds   map[string]*tried
	order   []string
}

func (t *attempts) add(c tryout.Call) {
	name := profiles.NameOf(c.Number, goruntime.GOARCH)
	args := profiles.Arguments(name, c.Args)
	key := name + "(" + args + ")"
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kinds[key]
	if k == nil {
		if len(t.kinds) >= maxTried {
			return
		}
		d := t.profile.Denial(goruntime.GOARCH, name, c.Args)
		k = &tried{Call: name, Args: args, Rule: d.Rule, Why: d.Why, Add: d.Add}
		t.kinds[key] = k
		t.order = append(t.order, key)
	}
	k.Count++
}

func (t *attempts) list() []tried {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []tried{}
	for _, key := range t.order {
		out = append(out, *t.kinds[key])
	}
	return out
}

func (a *App) showTried(w io.Writer, p *profiles.Profile, all []tried) {
	if len(all) == 0 {
		fmt.Fprintf(w, "mcprun: %s refused nothing\n", p.Name())
		return
	}
	fmt.Fprintf(w, "mcprun: %s refused:\n", p.Name())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var adds []string
	for _, k := range all {
		fmt.Fprintf(tw, "  %s(%s)\t%d\t%s\n", k.Call, lock.Visible(k.Args), k.Count, k.Why)
		if k.Add != "" && !slices.Contains(adds, k.Add) {
			adds = append(adds, k.Add)
		}
	}
	tw.Flush()
	if len(adds) > 0 {
		d := &control.Denials{Server: mcprun.ServerName("my-" + p.Name()), Profile: p.Name()}
		if p.Own() {
			d.File = p.File()
		}
		fmt.Fprintf(w, "mcprun: hint: a program may try these and do without. Where it does not, %s\n", allowing(d, adds))
	}
}
