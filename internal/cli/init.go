package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/starter"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) policyInitCommand() *cobra.Command {
	var write, force bool
	c := &cobra.Command{
		Use: "init SERVER.YAML", Short: "propose what server.yaml could say of the pinned tools", Args: cobra.ExactArgs(1),
		Long: "Propose a tools section for a server whose tools are pinned: a class, checks of arguments and marks for each, every line with its reason.\nLines that say decide need a person; until then they let nothing pass by itself. Without --write nothing is changed.",
		RunE: func(_ *cobra.Command, args []string) error {
			m, pins, err := readPinned(args[0])
			if err != nil {
				return err
			}
			p := starter.Propose(m.Server, pins)
			if write {
				if err := putTools(args[0], m, p.Section(), force); err != nil {
					return err
				}
			}
			if err := a.print(proposalJSON(p), func(w io.Writer) { showProposal(w, args[0], p, write) }); err != nil {
				return err
			}
			a.sayDecisions(args[0], p, write)
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write", false, "put the section into the file, all else stays")
	c.Flags().BoolVar(&force, "force", false, "with --write: in place of the tools that are there")
	return c
}

// readPinned reads a server.yaml that has been locked.
func readPinned(path string) (*serverFile, *lock.File, error) {
	m, err := readServer(path)
	if err != nil {
		return nil, nil, err
	}
	pins, err := os.ReadFile(lockPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "proposing a policy", Why: "the server's tools are not pinned, so nothing is known of them", Hint: "mcprun lock " + path}
	}
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the pins", Err: err}
	}
	f, err := lock.Parse(pins)
	if err == nil && f.Server != m.Name {
		err = fmt.Errorf("it is for the server %s", f.Server)
	}
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + lockPath(path), Err: err, Hint: "mcprun lock " + path}
	}
	return m, f, nil
}

// putTools writes the section into the file, which must be as it was read.
func putTools(path string, m *serverFile, section string, force bool) error {
	if len(m.Tools) > 0 && !force {
		return &mcprun.Error{Class: mcprun.Usage, What: "writing the proposal", Why: fmt.Sprintf("%s says something of %d tools already", path, len(m.Tools)),
			Hint: "compare: mcprun policy init " + path + "; replace them: mcprun policy init --write --force " + path}
	}
	out, err := starter.Put(m.raw, m.profile, section)
	if err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "writing the proposal into " + path, Err: err, Hint: "put what mcprun policy init prints there by hand"}
	}
	if err := replaceFile(path, m.raw, out); err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "writing the proposal into " + path, Err: err}
	}
	return nil
}

// replaceFile exchanges what a file holds in one step, if it still holds was. A file
// behind a link is exchanged where it is, and keeps its mode.
func replaceFile(path string, was, now []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	is, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(is, was) {
		err = errors.New("somebody changed it in the meantime; try again")
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(path, now, info.Mode().Perm())
}

func showProposal(w io.Writer, path string, p starter.Proposal, written bool) {
	if written {
		fmt.Fprintf(w, "%s now has %d tools\n", path, len(p.Grants()))
		return
	}
	fmt.Fprint(w, p.Section())
}

// maxDecisions is how many decisions are listed; the rest is in the section.
const maxDecisions = 12

// sayDecisions tells what a person has to do next.
func (a *App) sayDecisions(path string, p starter.Proposal, written bool) {
	list := p.Decisions()
	for _, d := range list[:min(len(list), maxDecisions)] {
		fmt.Fprintf(a.Err, "mcprun: decide: %s\n", lock.Visible(d))
	}
	if n := len(list) - maxDecisions; n > 0 {
		fmt.Fprintf(a.Err, "mcprun: and %d more; search for decide: in the section\n", n)
	}
	if written {
		fmt.Fprintf(a.Err, "mcprun: hint: read it line by line, then: mcprun check %s\n", path)
	} else {
		fmt.Fprintf(a.Err, "mcprun: hint: put it into the file: mcprun policy init --write %s\n", path)
	}
}

func proposalJSON(p starter.Proposal) map[string]any {
	tools := []map[string]any{}
	for _, t := range p.Tools {
		if t.Withheld != "" {
			tools = append(tools, map[string]any{"name": t.Name, "withheld": t.Withheld})
			continue
		}
		arguments, rules, marks := []map[string]any{}, []map[string]any{}, map[string]string{}
		for _, one := range t.Arguments {
			check := ""
			if one.Check != nil {
				check = manifest.CheckText(one.Check)
			}
			arguments = append(arguments, map[string]any{"at": one.At, "check": check, "why": one.Why, "decide": one.Decide})
		}
		for _, r := range t.Rules {
			rules = append(rules, map[string]any{"rule": manifest.RuleText(r.Rule), "why": r.Why})
		}
		for _, m := range t.Marks {
			marks[m.Key] = m.Why
		}
		tools = append(tools, map[string]any{"name": t.Name, "risk": t.Risk.String(), "why": t.Why, "decide": t.Decide, "marks": marks, "arguments": arguments, "rules": rules})
	}
	return map[string]any{"server": p.Server, "tools": tools, "section": p.Section(), "decisions": p.Decisions()}
}
