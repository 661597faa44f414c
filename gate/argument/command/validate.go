package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// Validate returns nil or all that is wrong with the spec, joined.
func (s Spec) Validate() error {
	var errs []error
	if len(s.Programs) == 0 && s.Others == argument.Refuse {
		errs = append(errs, errors.New("programs: none is listed, so no command would be accepted; list some, or say others: hold"))
	}
	if len(s.Programs) > maxList {
		errs = append(errs, fmt.Errorf("programs: %d are listed; at most %d", len(s.Programs), maxList))
	}
	if s.Others > argument.Hold {
		errs = append(errs, errors.New("others: must be refuse or hold; what passes is listed"))
	}
	seen := map[string]bool{}
	for _, p := range s.Programs {
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("programs: %+.64q is listed twice; only the first would count", p.Name))
		}
		seen[p.Name] = true
		errs = append(errs, p.validate()...)
	}
	return errors.Join(errs...)
}

func (p Program) validate() []error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("program %+.64q: %w", p.Name, fmt.Errorf(format, args...)))
	}
	switch {
	case p.Name == "" || !isPlainName(p.Name):
		fault("a name is one word of plain ASCII, without quotes and signs of the shell")
	case strings.Contains(p.Name, "/") && (p.Name[0] != '/' || strings.Contains(p.Name, "/../")):
		fault("a path begins with / and has no ..; write where the program is, or its name alone")
	case neverRuns[kindOf(p.Name)].rule != "":
		fault("nothing allows this program; take it out")
	}
	for _, f := range slices.Concat(p.Forbidden, p.Opens) {
		if f == "script" && slices.Contains(p.Opens, f) {
			continue
		}
		if len(f) < 2 || f[0] != '-' && f[0] != '+' || f == "--" || strings.ContainsAny(f, "= \t\n") {
			fault("%+.64q is no option; write it as -c or --exec, without a value", f)
		}
	}
	for _, f := range p.Opens {
		r := runners[kindOf(p.Name)]
		if f == "script" && scripts[kindOf(p.Name)] == nil || f != "script" && !slices.Contains(r.flags, f) {
			fault("%+.64q opens nothing; take it out of opens", f)
		}
		if slices.Contains(p.Forbidden, f) {
			fault("%+.64q is opened and forbidden", f)
		}
	}
	for _, c := range p.Subcommands {
		if strings.TrimSpace(c) == "" || c[0] == '-' {
			fault("%+.64q is no subcommand", c)
		}
	}
	if n := max(len(p.Forbidden), len(p.Opens), len(p.Subcommands)); n > maxList {
		fault("a list of %d; at most %d", n, maxList)
	}
	return errs
}
