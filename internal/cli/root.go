// Package cli is the command mcprun: one file a command. Standard output is what
// was asked for; progress, errors and hints go to standard error.
package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/cli/quick"
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
	return a.quick().Report(root.Execute())
}

// quick has what this client shares with the small one.
func (a *App) quick() *quick.App {
	return &quick.App{In: a.In, Out: a.Out, Err: a.Err, Dirs: &a.dirs, JSON: &a.json, NameOf: nameOf}
}

// exitCode ends the command silently: all has been said.
type exitCode = quick.ExitCode

// Command builds the tree of commands.
func (a *App) Command() *cobra.Command {
	root := a.quick().Root()
	root.AddCommand(
		a.startCommand(), a.runCommand(), a.reloadCommand(), a.stopCommand(), a.killKeyCommand(), a.psCommand(), a.inspectCommand(),
		a.logsCommand(), a.lockCommand(), a.callCommand(), a.checkCommand(), a.doctorCommand(), a.versionCommand(),
		a.egressCommand(), a.limitsCommand(), a.drillCommand(), a.approvalsCommand(), a.approveCommand(), a.denyCommand(), a.policyCommand(), a.profileCommand(), a.learnCommand(), a.explainCommand(), a.auditCommand(), a.shutdownCommand(), a.docsCommand(),
	)
	return root
}

// do asks the daemon one thing, showing progress.
func (a *App) do(req control.Request) (*control.Result, error) { return a.quick().Do(req) }

func (a *App) events() control.Events { return a.quick().Events() }

// print writes v as JSON where --json was given, else what text says.
func (a *App) print(v any, text func(io.Writer)) error { return a.quick().Print(v, text) }

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

// serverFile is a server.yaml as the user sees it, with the profile in a file that it names.
type serverFile struct {
	*manifest.Server
	raw     []byte
	profile []byte   // the text of the profile; nil where it is built in or has errors
	taken   []string // the keys that the server gets from the profile
}

// readServer reads it. Errors of the profile are those of whoever needs it (ownProfile),
// unless what is missing in server.yaml may stand there.
func readServer(path string) (*serverFile, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + path, Err: err, Hint: "docs/server-yaml.md shows a complete one"}
	}
	f := &serverFile{raw: raw}
	var broken error
	if file := manifest.ProfileFile(raw); file != "" {
		_, f.profile, broken = readOwnProfile(file, path)
	}
	f.Server, f.taken, err = manifest.ParseUnder(path, raw, f.profile)
	switch {
	case err != nil && broken != nil:
		return nil, broken
	case err != nil:
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "server.yaml has errors", Why: "\n" + err.Error()}
	}
	return f, nil
}

// readManifest is readServer for who needs no more than the two.
func readManifest(path string) ([]byte, *manifest.Server, error) {
	f, err := readServer(path)
	if err != nil {
		return nil, nil, err
	}
	return f.raw, f.Server, nil
}

// nameOf takes a server's name, or a server.yaml that has it.
func nameOf(arg string) (mcprun.ServerName, error) {
	if !quick.IsFile(arg) {
		return quick.ParseName(arg)
	}
	_, m, err := readManifest(arg)
	if err != nil {
		return "", err
	}
	return m.Name, nil
}
