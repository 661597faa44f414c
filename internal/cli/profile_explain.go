package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/profiles"
)

func (a *App) profileExplainCommand() *cobra.Command {
	var arch string
	c := &cobra.Command{
		Use: "explain NAME|FILE CALL [ARG=VALUE...]", Short: "say whether a system call is allowed, by which rule and why", Args: cobra.MinimumNArgs(2),
		Long: "Say whether a profile allows a system call, by which rule of which file and for what reason; where it refuses it, which lines would allow it, or why none can.\nARG is the number of an argument, from 0, or its name; VALUE a number or a name: socket family=AF_NETLINK. Arguments that are not given may be anything.",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkArch(arch); err != nil {
				return err
			}
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			known, err := readArguments(args[1], args[2:])
			if err != nil {
				return explainError(args[0], args[1], err)
			}
			j, err := p.Judge(args[1], known, arch)
			if err != nil {
				return explainError(args[0], args[1], err)
			}
			out := map[string]any{"profile": p.Name(), "call": j.Call, "arch": arch, "outcome": j.Outcome.String(), "error": j.Error, "rules": showRules(j.Rules), "denied": showRules(j.Denied), "never": j.Never, "line": j.Line}
			return a.print(out, func(w io.Writer) { a.showJudgement(w, p, j, known, args[0]) })
		},
	}
	archFlag(c, &arch)
	return c
}

func explainError(profile, call string, err error) error {
	hint := fmt.Sprintf("mcprun profile explain %s %s", profile, call)
	if meant := profiles.Nearest(call); meant != "" {
		hint = fmt.Sprintf("mcprun profile explain %s %s", profile, meant)
	}
	return &mcprun.Error{Class: mcprun.Usage, What: "explaining " + call, Err: err, Hint: hint}
}

// readArguments reads ARG=VALUE.
func readArguments(call string, args []string) (map[uint]profiles.Value, error) {
	out := map[uint]profiles.Value{}
	var faults []error
	for _, text := range args {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			faults = append(faults, fmt.Errorf("%q: %w", text, errNoArgument))
			continue
		}
		arg, err := profiles.FindArgument(call, name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		v, err := arg.Find(value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			continue
		}
		out[arg.Arg] = v
	}
	return out, errors.Join(faults...)
}

func (a *App) showJudgement(w io.Writer, p *profiles.Profile, j profiles.Judgement, args map[uint]profiles.Value, named string) {
	asked := j.Call + argumentsText(j.Call, args)
	switch j.Outcome {
	case profiles.Allowed:
		fmt.Fprintf(w, "%s allows it: %s\n", p.Name(), a.colour(green, asked))
	case profiles.Depends:
		fmt.Fprintf(w, "%s %s: %s\n", p.Name(), a.colour(amber, "allows it for certain arguments, and answers "+j.Error+" to others"), asked)
	default:
		fmt.Fprintf(w, "%s %s: %s\n", p.Name(), a.colour(red, "refuses it with "+j.Error), asked)
	}
	if j.Missing != "" {
		fmt.Fprintf(w, "  only machines of kind %s have this call\n", j.Missing)
	}
	for _, r := range j.Rules {
		fmt.Fprintf(w, "\n  %s\n  %s: %s\n", r.String(), ruleAt(r), lock.Visible(r.Reason))
	}
	for _, r := range j.Denied {
		fmt.Fprintf(w, "\n  taken out by %s: %s\n  %s: %s\n", p.Name(), strings.TrimSpace(r.Call+" "+r.WhereText()), ruleAt(r), lock.Visible(r.Reason))
	}
	a.showRemedy(w, p, j, args, named)
}

// argumentsText is the arguments as they were asked for, by their names.
func argumentsText(call string, args map[uint]profiles.Value) string {
	out := ""
	for _, n := range slices.Sorted(maps.Keys(args)) {
		name := fmt.Sprint(n)
		if a, err := profiles.FindArgument(call, name); err == nil && a.Name != "" {
			name = a.Name
		}
		out += fmt.Sprintf(" %s=%s", name, args[n].Name)
	}
	return out
}

// showRemedy says what to type next.
func (a *App) showRemedy(w io.Writer, p *profiles.Profile, j profiles.Judgement, args map[uint]profiles.Value, named string) {
	known, _ := profiles.ArgumentsOf(j.Call)
	switch {
	case j.Outcome == profiles.Allowed, j.Missing != "":
	case j.Never != "":
		fmt.Fprintf(w, "\nno profile can allow it: %s\n", j.Never)
	case len(j.Denied) > 0:
		fmt.Fprintf(w, "\nto allow it again, take it out of deny: %s\n", ruleAt(j.Denied[0]))
	case j.Line != "":
		fmt.Fprintf(w, "\nto allow it, put into allow of a profile of your own:\n\n")
		if !p.Own() {
			fmt.Fprintf(w, "version: 1\nname: my-%s\nextends: %s\nallow:\n", p.Name(), p.Name())
		}
		for line := range strings.Lines(j.Line) {
			fmt.Fprint(w, "  "+line)
		}
		fmt.Fprintf(a.Err, "mcprun: hint: then: mcprun profile check ./my-%s.yaml\n", strings.TrimPrefix(p.Name(), "my-"))
	case len(known) > 0:
		if ask := refusedValue(p, known, j.Call, args); ask != "" {
			fmt.Fprintf(a.Err, "mcprun: hint: ask about one value: mcprun profile explain %s %s%s %s\n", named, j.Call, argumentsText(j.Call, args), ask)
		}
	}
}

// refusedValue is a value that the profile refuses, best one that can be allowed, to show
// how to ask about it.
func refusedValue(p *profiles.Profile, known []profiles.Argument, call string, args map[uint]profiles.Value) string {
	refused := ""
	for _, k := range known {
		if _, given := args[k.Arg]; given {
			continue
		}
		for _, v := range k.Values {
			with := maps.Clone(args)
			with[k.Arg] = v
			j, err := p.Judge(call, with, profiles.Arches()[0])
			if err != nil || j.Outcome != profiles.Refused {
				continue
			}
			refused = k.Name + "=" + v.Name
			if j.Line != "" {
				return refused
			}
		}
	}
	return refused
}
