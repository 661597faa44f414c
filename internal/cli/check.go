package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) checkCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "check SERVER.YAML", Short: "read a server.yaml and its pins without starting anything", Args: cobra.ExactArgs(1),
		Long: "Read a server.yaml and the pins beside it, and hold it against the operator's ceilings: the daemon's, or where none answers those that it would read.\nThe exit code is 3 if it asks for more than they allow.",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readServer(args[0])
			if err != nil {
				return err
			}
			m := f.Server
			ceilings, note, err := a.ceilings(file)
			if err != nil {
				return err
			}
			notes, err := checkPins(args[0], m, ceilings)
			if err != nil {
				return err
			}
			if note != "" {
				notes = append(notes, note)
			}
			asks, err := beyond(ceilings, m, args[0])
			if err != nil {
				return err
			}
			kills := append(byItself(m.Kill, "server.yaml"), byItself(ceilings.Kill, "policy.yaml")...)
			err = a.print(map[string]any{"server": m.Name, "notes": notes, "beyond": asks, "kills": kills, "fromProfile": f.taken}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is valid: server %s, %d tools granted\n", args[0], m.Name, len(m.Tools))
				if len(f.taken) > 0 {
					fmt.Fprintf(w, "  from %s: %s\n", m.Profile, strings.Join(f.taken, ", "))
				}
				for _, k := range kills {
					fmt.Fprintln(w, "  by itself:", k)
				}
				for _, n := range notes {
					fmt.Fprintln(w, "  note:", n)
				}
			})
			if err != nil {
				return err
			}
			if err := refusedBy(map[string][]string{args[0]: asks}, args); err != nil {
				return err
			}
			if _, err := os.Stat(lockPath(args[0])); err == nil && len(m.Tools) > 0 {
				fmt.Fprintf(a.Err, "mcprun: hint: %s\n", a.putInForce(m.Name, args[0]))
			}
			return nil
		},
	}
	policyFlag(c, &file, daemonsPolicy)
	return c
}

// byItself are the kills that nobody has to ask for, with the file that has them.
func byItself(rules []detect.Rule, file string) []string {
	out := []string{}
	for _, r := range rules {
		out = append(out, r.String()+" ("+file+")")
	}
	return out
}

// putInForce is the command by which a server runs with the file as it is now.
func (a *App) putInForce(name mcprun.ServerName, path string) string {
	res, err := a.do(control.Request{Op: control.OpList})
	if err == nil && slices.ContainsFunc(res.Servers, func(s control.ServerStatus) bool { return s.Name == name && s.State == "running" }) {
		return fmt.Sprintf("it runs as it was when it started; if it changed: mcprun stop %s && mcprun start %s", name, path)
	}
	return "mcprun start " + path
}

func checkPins(path string, m *manifest.Server, c *manifest.Ceilings) ([]string, error) {
	notes := []string{}
	for _, n := range m.Notes {
		notes = append(notes, fmt.Sprintf("line %d: %s", n.Line, n.Text))
	}
	raw, err := os.ReadFile(lockPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return append(append(notes, raised(m, c)...), "nothing is pinned yet: mcprun lock "+path), nil
	}
	if err != nil {
		return nil, err
	}
	f, err := lock.Parse(raw)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + lockPath(path), Err: err, Hint: "mcprun lock " + path}
	}
	policy, problems := gate.PolicyOf(m, f, c)
	for _, p := range problems {
		notes = append(notes, fmt.Sprintf("tool %s: %v", p.Tool, p.Err))
	}
	for _, t := range policy.Summary() {
		if t.State == "granted" && t.Why != "" {
			notes = append(notes, fmt.Sprintf("tool %s counts as %s; %s", t.Name, t.Risk, t.Why))
		}
		if g, ok := m.Tools[t.Name]; ok && t.State == "blocked" && g.Risk != mcprun.Block {
			notes = append(notes, fmt.Sprintf("tool %s is blocked; %s", t.Name, t.Why))
		}
	}
	return notes, nil
}

// raised says which tools the ceilings raise, of a server whose tools are not pinned.
func raised(m *manifest.Server, c *manifest.Ceilings) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m.Tools)) {
		if least, why := c.Least(m.Name, name); least < m.Tools[name].Risk {
			out = append(out, fmt.Sprintf("tool %s counts as %s; raised: %s", name, least, why))
		}
	}
	return out
}
