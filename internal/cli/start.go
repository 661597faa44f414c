package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
)

func (a *App) startCommand() *cobra.Command {
	return &cobra.Command{
		Use: "start SERVER.YAML", Short: "start a server in its container",
		Long: "Start the server that the file describes. Its tools must have been pinned with mcprun lock.\nWhere no daemon answers and the user is root, one is started.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := startRequest(control.OpStart, args[0])
			if err != nil {
				return err
			}
			if err := a.ensureDaemon(); err != nil {
				return err
			}
			res, err := a.do(req)
			if err != nil {
				return err
			}
			return a.print(res.Server, func(w io.Writer) {
				fmt.Fprintf(w, "%s is %s: %d tools, %d withheld\n", res.Server.Name, res.Server.State, res.Server.Tools, res.Server.Withheld)
				if res.Server.State == "ready" {
					fmt.Fprintln(a.Err, "mcprun: it is started when it is called (idle: stop)")
				}
				if res.Server.Tools == 0 {
					fmt.Fprintf(a.Err, "mcprun: hint: no tool is granted; see what to say of each: mcprun policy init %s\n", args[0])
				} else {
					fmt.Fprintf(a.Err, "mcprun: hint: give your MCP client this command: mcprun connect %s\n", res.Server.Name)
				}
			})
		},
	}
}

// startRequest reads server.yaml and the server.lock beside it. The daemon
// reads both again; reading them here finds mistakes without one.
func startRequest(op control.Op, path string) (control.Request, error) {
	raw, m, err := readManifest(path)
	if err != nil {
		return control.Request{}, err
	}
	_, profile, err := ownProfile(m, path)
	if err != nil {
		return control.Request{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return control.Request{}, err
	}
	pins, err := os.ReadFile(lockPath(abs))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return control.Request{}, &mcprun.Error{Class: mcprun.Usage, What: "reading server.lock", Err: err}
	}
	return control.Request{Op: op, Manifest: raw, File: abs, Lock: pins, Profile: profile}, nil
}

// lockPath is where a server's pins are: server.yaml has server.lock, files.yaml
// has files.lock.
func lockPath(manifest string) string {
	return manifest[:len(manifest)-len(filepath.Ext(manifest))] + ".lock"
}

// daemonWait bounds the wait for a daemon that was started; it first removes
// what an earlier life left, for up to five seconds.
const daemonWait = 20 * time.Second

// ensureDaemon starts a daemon in the background where none answers.
func (a *App) ensureDaemon() error {
	c, err := control.Dial(a.dirs.Socket())
	if err == nil {
		return c.Close()
	}
	if os.Geteuid() != 0 {
		return err
	}
	self, serr := os.Executable()
	if serr != nil {
		return serr
	}
	if err := os.MkdirAll(a.dirs.Data, 0o700); err != nil {
		return err
	}
	log, lerr := os.OpenFile(a.dirs.DaemonLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if lerr != nil {
		return lerr
	}
	defer log.Close()
	fmt.Fprintf(a.Err, "mcprun: starting the daemon (its log: %s)\n", a.dirs.DaemonLog())
	cmd := exec.Command(filepath.Join(filepath.Dir(self), "mcprund"), "-run", a.dirs.Run, "-data", a.dirs.Data)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return &mcprun.Error{Class: mcprun.Unreachable, What: "starting the daemon", Err: err, Hint: "make build, or put mcprund beside mcprun"}
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	for end := time.Now().Add(daemonWait); time.Now().Before(end); {
		if c, err := control.Dial(a.dirs.Socket()); err == nil {
			return c.Close()
		}
		select {
		case err := <-exited:
			return &mcprun.Error{Class: mcprun.Unreachable, What: "the daemon ended", Err: err, Hint: "tail " + a.dirs.DaemonLog()}
		case <-time.After(5 * time.Millisecond):
		}
	}
	return &mcprun.Error{Class: mcprun.Unreachable, What: "the daemon does not answer", Hint: "tail " + a.dirs.DaemonLog()}
}

func (a *App) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run SERVER.YAML", Short: "run a server in the foreground; an interrupt kills it",
		Long: "Run the server and show its log. SIGINT or SIGTERM, or the end of this command in any other way,\nis a kill switch: the server ends at once and stays dead until mcprun revive.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := startRequest(control.OpRun, args[0])
			if err != nil {
				return err
			}
			if err := a.ensureDaemon(); err != nil {
				return err
			}
			return a.foreground(req)
		},
	}
}

func (a *App) foreground(req control.Request) error {
	c, err := control.Dial(a.dirs.Socket())
	if err != nil {
		return err
	}
	defer c.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Do(req, a.events())
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			fmt.Fprintln(a.Err, "mcprun: the server ended")
		}
		return err
	case s := <-signals:
		_, m, err := readManifest(req.File)
		if err != nil {
			return err
		}
		res, err := a.do(control.Request{Op: control.OpKill, Server: m.Name, Why: "mcprun run got " + s.String()})
		if err != nil {
			return err
		}
		a.quick().ShowKill(a.Err, res.Killed)
		return nil
	}
}

func (a *App) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload SERVER.YAML", Short: "put changed egress rules in force while the server runs", Args: cobra.ExactArgs(1),
		Long: "Put the egress rules of the file in force for the server that runs. Connections whose rules are not the same as before are cut.\nWhere the file is broken, or more than egress has changed, nothing happens and the old rules stay.",
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := startRequest(control.OpReload, args[0])
			if err != nil {
				return err
			}
			res, err := a.do(req)
			if err != nil {
				return err
			}
			return a.print(res.Changed, func(w io.Writer) { a.showRules(w, res.Changed) })
		},
	}
}

func (a *App) showRules(w io.Writer, c *control.RuleChange) {
	for _, r := range c.Added {
		fmt.Fprintln(w, a.colour(green, "+"), r)
	}
	for _, r := range c.Removed {
		fmt.Fprintln(w, a.colour(red, "-"), r)
	}
	if len(c.Added)+len(c.Removed) == 0 {
		fmt.Fprintf(a.Err, "mcprun: the rules of %s are as they were\n", c.Server)
	}
}

func (a *App) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop NAME", Short: "stop a server; it can be started again", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			res, err := a.do(control.Request{Op: control.OpStop, Server: name})
			if err != nil {
				return err
			}
			return a.print(res.Server, func(w io.Writer) { fmt.Fprintf(w, "%s is stopped\n", name) })
		},
	}
}

// awaitDaemonEnd waits for the lock that a daemon holds to its last moment.
func (a *App) awaitDaemonEnd() error {
	f, err := os.Open(a.dirs.PidFile())
	if err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "waiting for the daemon's end", Err: err}
	}
	defer f.Close()
	for end := time.Now().Add(daemonWait); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
			return nil
		}
	}
	return &mcprun.Error{Class: mcprun.Failed, What: "the daemon still runs", Hint: "tail " + a.dirs.DaemonLog()}
}

func (a *App) shutdownCommand() *cobra.Command {
	return &cobra.Command{
		Use: "shutdown", Short: "stop every server and the daemon", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := control.Dial(a.dirs.Socket())
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Do(control.Request{Op: control.OpShutdown}, a.events()); err != nil {
				return err
			}
			return a.awaitDaemonEnd()
		},
	}
}
