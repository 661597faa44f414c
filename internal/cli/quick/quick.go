// Package quick has the commands of mcprun that must start fast: connect, which a
// client starts for each of its servers, and the switches. It has them whole,
// with the root of the tree of commands, for the full client as for the small
// program in which they start fast.
//
// It reaches nothing that reads server.yaml or judges calls, for that takes ten
// times as long to load as the command to run; a test holds it.
package quick

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/paths"
)

// App is one run of a command: its streams, and where its global flags go.
type App struct {
	In       *os.File
	Out, Err io.Writer
	Dirs     *paths.Dirs
	JSON     *bool
	// NameOf takes a server's name, or a server.yaml that has it.
	NameOf func(arg string) (mcprun.ServerName, error)
}

// errElsewhere says that this needs the full client. Nothing has been done yet.
var errElsewhere = errors.New("the full client does this")

// Main runs the command if it is one of this package. If it is not, nothing has
// been read, written or asked.
func Main(in *os.File, out, errs io.Writer, args []string) (code int, done bool) {
	a := &App{In: in, Out: out, Err: errs, Dirs: new(paths.Dirs), JSON: new(bool), NameOf: nameOf}
	root := a.Root()
	if cmd, _, err := root.Find(args); err != nil || cmd == root {
		return 0, false
	}
	root.SetArgs(args)
	err := root.Execute()
	if errors.Is(err, errElsewhere) {
		return 0, false
	}
	return a.Report(err), true
}

// nameOf leaves files to the full client, which can read them.
func nameOf(arg string) (mcprun.ServerName, error) {
	if IsFile(arg) {
		return "", errElsewhere
	}
	return ParseName(arg)
}

// IsFile reports whether an argument is a server.yaml rather than a server's name.
func IsFile(arg string) bool {
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml")
}

// ParseName reads the name of a server as a user types it.
func ParseName(arg string) (mcprun.ServerName, error) {
	n, err := mcprun.ParseServerName(arg)
	if err != nil {
		return "", &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun ps"}
	}
	return n, nil
}

// Root is the command mcprun with the global flags and the commands of this package.
func (a *App) Root() *cobra.Command {
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
	flags.StringVar(&a.Dirs.Run, "run", envOr("MCPRUN_RUN", paths.DefaultRun), "the daemon's folder for sockets")
	flags.StringVar(&a.Dirs.Data, "data", envOr("MCPRUN_DATA", paths.DefaultData), "the daemon's folder for data")
	flags.BoolVar(a.JSON, "json", false, "print JSON")
	root.AddCommand(a.connectCommand(), a.killCommand(), a.reviveCommand(), a.pauseCommand(), a.resumeCommand())
	return root
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// Report prints an error in the house's form and returns the exit code; see
// docs/exit-codes.md.
func (a *App) Report(err error) int {
	if err == nil {
		return 0
	}
	var code ExitCode
	if errors.As(err, &code) {
		return int(code)
	}
	var e *mcprun.Error
	if !errors.As(err, &e) {
		e = &mcprun.Error{Class: mcprun.Usage, What: err.Error(), Hint: "mcprun help"}
	}
	if *a.JSON {
		json.NewEncoder(a.Out).Encode(map[string]any{"error": e})
	}
	fmt.Fprintf(a.Err, "mcprun: %s\n", strings.TrimRight(e.Error(), "\n"))
	if e.Hint != "" {
		fmt.Fprintf(a.Err, "mcprun: hint: %s\n", e.Hint)
	}
	return e.Class.ExitCode()
}

// ExitCode ends the command silently: all has been said.
type ExitCode int

func (ExitCode) Error() string { return "" }

// Do asks the daemon one thing, showing progress.
func (a *App) Do(req control.Request) (*control.Result, error) {
	c, err := control.Dial(a.Dirs.Socket())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(req, a.Events())
}

// Events shows what the daemon says before it is done.
func (a *App) Events() control.Events {
	return control.Events{
		Progress: func(s string) { fmt.Fprintf(a.Err, "mcprun: %s\n", s) },
		Log:      func(s string) { fmt.Fprintln(a.Out, s) },
	}
}

// Print writes v as JSON where --json was given, else what text says.
func (a *App) Print(v any, text func(io.Writer)) error {
	if !*a.JSON {
		text(a.Out)
		return nil
	}
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
