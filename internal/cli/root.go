// Package cli is the command mcprun: one file a command. Standard output is what
// was asked for; progress, errors and hints go to standard error.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/manifest"
)

// App is one run of the command: its streams and its global flags.
type App struct {
	In       *os.File
	Out, Err io.Writer
	Version  string

	dirs paths.Dirs
	json bool
}

// Main runs the command and returns its exit code; see docs/exit-codes.md.
func (a *App) Main(args []string) int {
	root := a.Command()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	return a.report(err)
}

// report prints an error in the house's form and returns its exit code.
func (a *App) report(err error) int {
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	var e *mcprun.Error
	if !errors.As(err, &e) {
		e = &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun help"}
	}
	if a.json {
		json.NewEncoder(a.Out).Encode(map[string]any{"error": e})
	}
	fmt.Fprintf(a.Err, "mcprun: %s\n", strings.TrimRight(e.Error(), "\n"))
	if e.Hint != "" {
		fmt.Fprintf(a.Err, "mcprun: hint: %s\n", e.Hint)
	}
	return e.Class.ExitCode()
}

// exitCode ends the command silently: all has been said.
type exitCode int

func (exitCode) Error() string { return "" }

// Command builds the tree of commands.
func (a *App) Command() *cobra.Command {
	root := &cobra.Command{
		Use:           "mcprun",
		Short:         "run MCP servers in containers, and judge every call to them",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.dirs.Run, "run", envOr("MCPRUN_RUN", paths.DefaultRun), "the daemon's folder for sockets")
	flags.StringVar(&a.dirs.Data, "data", envOr("MCPRUN_DATA", paths.DefaultData), "the daemon's folder for data")
	flags.BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(
		a.startCommand(), a.runCommand(), a.reloadCommand(), a.stopCommand(), a.killCommand(), a.killKeyCommand(), a.reviveCommand(), a.pauseCommand(), a.resumeCommand(), a.psCommand(), a.inspectCommand(),
		a.logsCommand(), a.lockCommand(), a.callCommand(), a.connectCommand(), a.checkCommand(), a.doctorCommand(), a.versionCommand(),
		a.egressCommand(), a.limitsCommand(), a.approvalsCommand(), a.approveCommand(), a.denyCommand(), a.policyCommand(), a.explainCommand(), a.auditCommand(), a.shutdownCommand(), a.docsCommand(),
	)
	return root
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// do asks the daemon one thing, showing progress.
func (a *App) do(req control.Request) (*control.Result, error) {
	c, err := control.Dial(a.dirs.Socket())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(req, a.events())
}

func (a *App) events() control.Events {
	return control.Events{
		Progress: func(s string) { fmt.Fprintf(a.Err, "mcprun: %s\n", s) },
		Log:      func(s string) { fmt.Fprintln(a.Out, s) },
	}
}

// print writes v as JSON where --json was given, else what text says.
func (a *App) print(v any, text func(io.Writer)) error {
	if !a.json {
		text(a.Out)
		return nil
	}
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// onTerminal reports whether a human reads what is printed.
func (a *App) onTerminal() bool {
	f, ok := a.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour marks s on a terminal; the meaning is always in the words.
func (a *App) colour(code, s string) string {
	if !a.onTerminal() || os.Getenv("NO_COLOR") != "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

const (
	green = "32"
	red   = "31"
	amber = "33"
	faint = "2"
	bold  = "1"
)

// readManifest reads server.yaml as the user sees it.
func readManifest(path string) ([]byte, *manifest.Server, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + path, Err: err, Hint: "docs/server-yaml.md shows a complete one"}
	}
	m, err := manifest.Parse(path, raw)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "server.yaml has errors", Why: "\n" + err.Error()}
	}
	return raw, m, nil
}

// nameOf takes a server's name, or a server.yaml that has it.
func nameOf(arg string) (mcprun.ServerName, error) {
	if strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") {
		_, m, err := readManifest(arg)
		if err != nil {
			return "", err
		}
		return m.Name, nil
	}
	n, err := mcprun.ParseServerName(arg)
	if err != nil {
		return "", &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun ps"}
	}
	return n, nil
}
