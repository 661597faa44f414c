package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) lockCommand() *cobra.Command {
	var diff bool
	cmd := &cobra.Command{
		Use: "lock SERVER.YAML", Short: "pin a server's image and tools in server.lock",
		Long: "Start the server once without any network, show what it offers, and write its pins beside server.yaml,\nto be reviewed and committed. With --diff nothing is written: what changed since the last lock is shown,\ninvisible characters made visible, and the exit code is 3 if anything did.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, m, err := readManifest(args[0])
			if err != nil {
				return err
			}
			abs, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			_, profile, err := ownProfile(m, args[0])
			if err != nil {
				return err
			}
			if err := a.ensureDaemon(); err != nil {
				return err
			}
			res, err := a.do(control.Request{Op: control.OpLock, Manifest: raw, File: abs, Profile: profile})
			if err != nil {
				return err
			}
			now, err := lock.Parse(res.Lock)
			if err != nil {
				return err
			}
			if diff {
				return a.showDiff(abs, now)
			}
			if err := atomicfile.Write(lockPath(abs), res.Lock, 0o644); err != nil {
				return &mcprun.Error{Class: mcprun.Failed, What: "writing the pins", Err: err}
			}
			return a.print(now, func(w io.Writer) { a.showLock(w, m, now, abs) })
		},
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "show what changed, write nothing")
	return cmd
}

func (a *App) showDiff(abs string, now *lock.File) error {
	raw, err := os.ReadFile(lockPath(abs))
	if errors.Is(err, os.ErrNotExist) {
		return &mcprun.Error{Class: mcprun.Usage, What: "nothing is pinned yet, so there is nothing to compare", Hint: "mcprun lock " + abs}
	}
	if err != nil {
		return err
	}
	old, err := lock.Parse(raw)
	if err != nil {
		return &mcprun.Error{Class: mcprun.Denied, What: "reading server.lock", Err: err, Hint: "git checkout the reviewed file, or pin anew: mcprun lock " + abs}
	}
	changes := lock.Compare(old, now)
	err = a.print(changes, func(w io.Writer) {
		if len(changes) == 0 {
			fmt.Fprintln(w, "nothing changed")
			return
		}
		fmt.Fprint(w, lock.Text(changes))
		fmt.Fprintf(a.Err, "mcprun: hint: if every change is meant: mcprun lock %s\n", abs)
	})
	if err == nil && len(changes) > 0 {
		return exitCode(mcprun.Denied.ExitCode())
	}
	return err
}

// showLock shows each tool with its class and what it asks for, and the lines
// that would grant the rest.
func (a *App) showLock(w io.Writer, m *manifest.Server, f *lock.File, abs string) {
	fmt.Fprintf(w, "%s: %s, image %s, %d tools\n\n", f.Server, lock.Visible(serverTitle(f)), f.Image.Short(), len(f.Tools))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TOOL\tRISK\tARGUMENTS\tNOTE")
	missing := 0
	var defs []jsontext.Value
	for _, t := range f.Tools {
		defs = append(defs, t.Definition)
		risk, note := "not granted", ""
		if g, ok := m.Tools[t.Name]; ok {
			risk = g.Risk.String()
		}
		tool, err := gate.Compile(t.Definition, m.Tools[t.Name].Risk)
		switch {
		case err != nil:
			note = a.colour(red, "withheld: "+clipText(lock.Visible(err.Error())))
		case risk == "not granted":
			missing++
		case tool.Risk.String() != risk:
			note = "raised to " + tool.Risk.String() + " by what the tool says of itself"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", t.Name, risk, clipText(strings.Join(argumentNames(t.Definition), " ")), note)
	}
	tw.Flush()
	for _, finding := range gate.LintAll(defs) {
		fmt.Fprintf(a.Err, "mcprun: %s\n", clipText(lock.Visible(finding.String())))
	}
	fmt.Fprintf(w, "\npinned in %s\n", lockPath(abs))
	if missing > 0 {
		fmt.Fprintf(w, "\n%d tools are not granted, and none is callable that server.yaml does not grant.\n", missing)
		fmt.Fprintf(a.Err, "mcprun: hint: see what to grant, line by line with reasons: mcprun policy init %s\n", abs)
	}
	fmt.Fprintf(a.Err, "mcprun: hint: review and commit %s, then: mcprun start %s\n", filepath.Base(lockPath(abs)), abs)
}

// maxCell bounds what one tool can put on a line of a terminal.
const maxCell = 200

func clipText(s string) string {
	r := []rune(strings.ReplaceAll(s, "\n", " "))
	if len(r) > maxCell {
		return string(r[:maxCell]) + "…"
	}
	return string(r)
}
