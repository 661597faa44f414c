package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check SERVER.YAML", Short: "read a server.yaml and its pins without starting anything", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, m, err := readManifest(args[0])
			if err != nil {
				return err
			}
			notes, err := checkPins(args[0], m)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"server": m.Name, "notes": notes}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is valid: server %s, %d tools granted\n", args[0], m.Name, len(m.Tools))
				for _, n := range notes {
					fmt.Fprintln(w, "  note:", n)
				}
			})
		},
	}
}

func checkPins(path string, m *manifest.Server) ([]string, error) {
	notes := []string{}
	for _, n := range m.Notes {
		notes = append(notes, fmt.Sprintf("line %d: %s", n.Line, n.Text))
	}
	raw, err := os.ReadFile(lockPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return append(notes, "nothing is pinned yet: mcprun lock "+path), nil
	}
	if err != nil {
		return nil, err
	}
	f, err := lock.Parse(raw)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + lockPath(path), Err: err, Hint: "mcprun lock " + path}
	}
	policy, problems := gate.NewPolicy(m.Name, f, gate.Grants(m))
	for _, p := range problems {
		notes = append(notes, fmt.Sprintf("tool %s: %v", p.Tool, p.Err))
	}
	for _, t := range policy.Summary() {
		if t.State == "granted" && t.Why != "" {
			notes = append(notes, fmt.Sprintf("tool %s counts as %s; %s", t.Name, t.Risk, t.Why))
		}
	}
	return notes, nil
}
