package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/profiles"
)

// shownRule is one rule as --json has it.
type shownRule struct {
	Call    string `json:"call"`
	Verdict string `json:"verdict"` // allow, or what it is answered with
	Arch    string `json:"arch,omitempty"`
	Where   string `json:"where,omitempty"`
	Reason  string `json:"reason"`
	Profile string `json:"profile"`
	Line    int    `json:"line,omitempty"`
}

func showRule(r profiles.Rule) shownRule {
	out := shownRule{Call: r.Call, Verdict: "allow", Arch: r.Arch, Where: r.WhereText(), Reason: r.Reason, Profile: r.Profile, Line: r.Line}
	if r.Verdict != mcprun.Allow {
		out.Verdict = answerOf(r)
	}
	return out
}

func showRules(rules []profiles.Rule) []shownRule {
	out := []shownRule{}
	for _, r := range rules {
		out = append(out, showRule(r))
	}
	return out
}

// answerOf is what a denied call gets.
func answerOf(r profiles.Rule) string {
	if r.Answer == "" {
		return "EPERM"
	}
	return string(r.Answer)
}

// place is where a rule stands.
func ruleAt(r profiles.Rule) string {
	if r.Line > 0 {
		return fmt.Sprintf("%s:%d", r.Profile, r.Line)
	}
	return r.Profile
}

func (a *App) profileShowCommand() *cobra.Command {
	var arch string
	c := &cobra.Command{
		Use: "show NAME|FILE", Short: "show every rule of a profile with its reason", Args: cobra.ExactArgs(1),
		Long: "Show which system calls a profile allows, for which arguments, in which file the rule stands and for what reason. What is not there is refused with EPERM.",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkArch(arch); err != nil {
				return err
			}
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			out := map[string]any{"name": p.Name(), "about": p.About(), "extends": p.Extends(), "digest": p.Digest(), "arch": arch,
				"calls": p.Calls(arch), "rules": showRules(p.Rules(arch)), "denied": showRules(p.Denied()), "beside": p.Beside()}
			return a.print(out, func(w io.Writer) { a.showProfile(w, p, arch) })
		},
	}
	archFlag(c, &arch)
	return c
}

func (a *App) showProfile(w io.Writer, p *profiles.Profile, arch string) {
	fmt.Fprintf(w, "%s", a.colour(bold, p.Name()))
	if p.Extends() != "" {
		fmt.Fprintf(w, ", extends %s", p.Extends())
	}
	fmt.Fprintf(w, ": %d calls on %s, all others are refused with EPERM\n%s\n", len(p.Calls(arch)), arch, p.Digest())
	if p.About() != "" {
		fmt.Fprintln(w, lock.Visible(p.About()))
	}
	rules := p.Rules(arch)
	for len(rules) > 0 {
		// Those of one entry stand together, and are read together.
		n := 1
		for n < len(rules) && sameEntry(rules[0], rules[n]) {
			n++
		}
		a.showEntry(w, rules[:n])
		rules = rules[n:]
	}
	if p.Beside() != "" {
		fmt.Fprintf(w, "\n%s, where server.yaml does not say it itself\n%s", a.colour(bold, "what else it gives"), lock.Visible(p.Beside()))
	}
	for _, r := range p.Denied() {
		fmt.Fprintf(w, "\n%s %s %s\n  %s: %s\n", a.colour(red, "deny"), r.Call, r.WhereText(), ruleAt(r), lock.Visible(r.Reason))
	}
}

// besideChanges are the lines that only one of two profiles gives beside system calls, with
// - or + before them.
func besideChanges(old, now string) []string {
	before, after := strings.Split(old, "\n"), strings.Split(now, "\n")
	var out []string
	for _, line := range before {
		if line != "" && !slices.Contains(after, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range after {
		if line != "" && !slices.Contains(before, line) {
			out = append(out, "+ "+line)
		}
	}
	return out
}

func sameEntry(a, b profiles.Rule) bool {
	return a.Profile == b.Profile && a.Line == b.Line && a.Reason == b.Reason && a.WhereText() == b.WhereText() && a.Answer == b.Answer
}

func (a *App) showEntry(w io.Writer, rules []profiles.Rule) {
	var calls []string
	for _, r := range rules {
		calls = append(calls, r.Call)
	}
	word := a.colour(green, "allow")
	if rules[0].Verdict != mcprun.Allow {
		word = a.colour(amber, answerOf(rules[0]))
	}
	fmt.Fprintf(w, "\n%s %s\n", word, strings.Join(calls, " "))
	if where := rules[0].WhereText(); where != "" {
		fmt.Fprintf(w, "  where %s\n", where)
	}
	fmt.Fprintf(w, "  %s: %s\n", ruleAt(rules[0]), lock.Visible(rules[0].Reason))
}

func (a *App) profileDiffCommand() *cobra.Command {
	var arch string
	var reasons bool
	var used string
	c := &cobra.Command{
		Use: "diff NAME|FILE [NAME|FILE]", Short: "show what a second profile allows and refuses beside a first, or beside what was used", Args: cobra.RangeArgs(1, 2),
		Long: "Compare two profiles call by call. A line with + is a rule that only the second has, one with - a rule that only the first has.\nThe exit code is 3 if they enforce different things.\n\n" +
			"With --used the second is what a server has done: what the runs of mcprun learn saw that are kept beside its server.yaml, and what its profile denied since\nthe daemon started. Of calls that a profile allows nothing else is known.",
		Example: "  mcprun profile diff node ./my-node.yaml\n  mcprun profile diff node --used files",
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case used != "" && len(args) == 1:
				return a.profileDiffUsed(args[0], used)
			case used != "" || len(args) != 2:
				return &mcprun.Error{Class: mcprun.Usage, What: "comparing profiles", Why: "name two of them, or one and --used with a server", Hint: "mcprun help profile diff"}
			}
			if err := checkArch(arch); err != nil {
				return err
			}
			old, err := readProfile(args[0])
			if err != nil {
				return err
			}
			now, err := readProfile(args[1])
			if err != nil {
				return err
			}
			changes := profiles.Compare(old, now, arch)
			if !reasons {
				changes = slices.DeleteFunc(changes, func(c profiles.Change) bool { return c.Same })
			}
			out := []map[string]any{}
			differ := 0
			for _, c := range changes {
				out = append(out, map[string]any{"call": c.Call, "old": showRules(c.Old), "new": showRules(c.New), "sameEnforced": c.Same})
				if !c.Same {
					differ++
				}
			}
			beside := besideChanges(old.Beside(), now.Beside())
			for _, line := range beside {
				out = append(out, map[string]any{"beside": line})
			}
			err = a.print(out, func(w io.Writer) {
				if differ > 0 || len(beside) == 0 {
					a.showChangesOf(w, old, now, changes, differ, arch)
				}
				for _, line := range beside {
					fmt.Fprintln(w, lock.Visible(line))
				}
			})
			if err != nil {
				return err
			}
			if differ > 0 || len(beside) > 0 {
				return exitCode(mcprun.Denied.ExitCode())
			}
			return nil
		},
	}
	archFlag(c, &arch)
	c.Flags().StringVar(&used, "used", "", "compare with what this `server` did: its name or its server.yaml")
	c.Flags().BoolVar(&reasons, "reasons", false, "also rules of which only the reasons differ")
	return c
}

func (a *App) showChangesOf(w io.Writer, old, now *profiles.Profile, changes []profiles.Change, differ int, arch string) {
	for _, c := range changes {
		for _, r := range c.Old {
			if c.Same || !hasRule(c.New, r) {
				fmt.Fprintln(w, a.colour(red, "- "+r.String())+a.colour(faint, "  ("+ruleAt(r)+": "+lock.Visible(r.Reason)+")"))
			}
		}
		for _, r := range c.New {
			if c.Same || !hasRule(c.Old, r) {
				fmt.Fprintln(w, a.colour(green, "+ "+r.String())+a.colour(faint, "  ("+ruleAt(r)+": "+lock.Visible(r.Reason)+")"))
			}
		}
	}
	fmt.Fprintf(w, "%s allows %d calls on %s, %s %d; %d are judged differently\n", old.Name(), len(old.Calls(arch)), arch, now.Name(), len(now.Calls(arch)), differ)
}

func hasRule(rules []profiles.Rule, r profiles.Rule) bool {
	return slices.ContainsFunc(rules, func(have profiles.Rule) bool { return have.String() == r.String() })
}
