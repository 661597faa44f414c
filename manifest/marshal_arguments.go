package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/command"
	"github.com/mcprun/mcprun/gate/argument/paths"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/gate/argument/urls"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/when"
)

// toolFields writes all of one tool on one line.
func toolFields(t Tool) fields {
	var f fields
	f.add(true, "risk: %s", t.Risk)
	for _, said := range []struct {
		key   string
		value Said
	}{{"untrusted", t.Untrusted}, {"private", t.Private}, {"sends", t.Sends}} {
		f.add(said.value != Unsaid, "%s: %t", said.key, said.value == Yes)
	}
	f.add(t.Justify, "justification: required")
	f.add(t.Confirm, "confirm: true")
	f.add(t.Approvers != 0, "approvers: %d", t.Approvers)
	f.add(len(t.Preview) > 0, "preview: {arguments: %s}", fixedFields(t.Preview))
	f.add(len(t.Arguments) > 0, "arguments: %s", argumentFields(t.Arguments))
	f.add(len(t.Rules) > 0, "rules: %s", ruleTexts(t.Rules))
	if l := setFields(t.Limits, false); len(l) > 0 {
		f.add(true, "limits: %s", l)
	}
	f.add(t.Cost != Cost{}, "cost: %s", costText(t.Cost))
	return f
}

// argumentFields keeps checks of one argument together; the file has each once.
func argumentFields(list []argument.Attached) fields {
	var order []string
	checks := map[string]fields{}
	for _, a := range list {
		at := a.At.String()
		if _, known := checks[at]; !known {
			order = append(order, at)
		}
		checks[at] = append(checks[at], checkText(a.Check))
	}
	var f fields
	for _, at := range order {
		f.add(true, "%s: %s", quote(at), checks[at])
	}
	return f
}

// CheckText writes a check with its key, as server.yaml has it: path: {under: [/workspace]}.
func CheckText(c argument.Check) string { return checkText(c) }

// RuleText writes a rule as server.yaml has it, in braces.
func RuleText(r when.Rule) string {
	var f fields
	f.add(true, "when: %s", quote(r.When.String()))
	f.add(true, "risk: %s", r.Risk)
	f.add(true, "reason: %s", quote(r.Reason))
	f.add(r.Hint != "", "hint: %s", quote(r.Hint))
	return f.String()
}

// checkText writes a check with its key.
func checkText(c argument.Check) string {
	switch c := c.(type) {
	case paths.Spec:
		var f fields
		f.add(len(c.Under) > 0, "under: [%s]", quoteAll(c.Under))
		f.add(c.Relative != "", "relative: %s", quote(c.Relative))
		f.add(c.Globs, "globs: true")
		f.add(c.Sensitive != argument.Hold, "sensitive: %s", c.Sensitive)
		return "path: " + f.String()
	case urls.Spec:
		var f fields
		f.add(len(c.Schemes) > 0, "schemes: [%s]", quoteAll(c.Schemes))
		f.add(len(c.Hosts) > 0, "hosts: %s", texts(c.Hosts))
		f.add(len(c.Ports) > 0, "ports: %s", strings.ReplaceAll(fmt.Sprint(c.Ports), " ", ", "))
		f.add(c.Unlisted != argument.Refuse, "unlisted: %s", c.Unlisted)
		f.add(c.Private, "private: true")
		f.add(c.Blank, "blank: true")
		return "url: " + f.String()
	case command.Spec:
		return "command: " + commandFields(c).String()
	case sql.Spec:
		return "sql: " + sqlFields(c).String()
	case words.Email:
		var f fields
		f.add(len(c.Domains) > 0, "domains: %s", texts(c.Domains))
		f.add(c.Unlisted != argument.Refuse, "unlisted: %s", c.Unlisted)
		return "email: " + f.String()
	case words.Ref:
		var f fields
		f.add(c.Revisions, "revisions: true")
		f.add(c.Ranges, "ranges: true")
		return "git-ref: " + f.String()
	case words.Number:
		var f fields
		f.add(c.Min != 0, "min: %s", strconv.FormatFloat(c.Min, 'f', -1, 64))
		f.add(true, "max: %s", strconv.FormatFloat(c.Max, 'f', -1, 64))
		f.add(c.Integer, "integer: true")
		return "number: " + f.String()
	case words.Text:
		var f fields
		f.add(true, "max: %d", c.MaxBytes)
		f.add(c.Lines, "lines: true")
		return "text: " + f.String()
	case words.Enum:
		return "enum: [" + quoteAll(c) + "]"
	case words.Pattern:
		return "pattern: " + quote(c.String())
	case argument.Unchecked:
		return "unchecked: " + quote(c.Reason)
	case words.Secrets:
		return "secret: forbidden"
	}
	return fmt.Sprintf("unknown: %T", c) // which Parse refuses
}

func commandFields(s command.Spec) (f fields) {
	var programs fields
	for _, p := range s.Programs {
		var one fields
		one.add(len(p.Subcommands) > 0, "subcommands: [%s]", quoteAll(p.Subcommands))
		one.add(len(p.Forbidden) > 0, "forbidden: [%s]", quoteAll(p.Forbidden))
		one.add(len(p.Opens) > 0, "opens: [%s]", quoteAll(p.Opens))
		programs.add(true, "%s: %s", quote(p.Name), one)
	}
	f.add(len(programs) > 0, "programs: %s", programs)
	f.add(s.Others != argument.Refuse, "others: %s", s.Others)
	var allow []string
	for _, name := range slices.Sorted(maps.Keys(shellFeatures)) {
		if *shellFeatures[name](&s) {
			allow = append(allow, name)
		}
	}
	f.add(len(allow) > 0, "allow: [%s]", strings.Join(allow, ", "))
	return f
}

func sqlFields(s sql.Spec) (f fields) {
	for name, d := range dialects {
		f.add(d == s.Dialect, "dialect: %s", name)
	}
	for key, verdict := range map[string]argument.Verdict{"pass": argument.Pass, "hold": argument.Hold} {
		var classes []string
		for c := sql.Read; c <= sql.Admin; c++ {
			if v, ok := s.Classes[c]; ok && v == verdict {
				classes = append(classes, c.String())
			}
		}
		f.add(len(classes) > 0, "%s: [%s]", key, strings.Join(classes, ", "))
	}
	slices.Sort(f) // dialect, hold, pass
	f.add(len(s.Tables) > 0, "tables: [%s]", quoteAll(s.Tables))
	f.add(len(s.Functions) > 0, "functions: [%s]", quoteAll(s.Functions))
	f.add(s.Many, "many: true")
	return f
}

func ruleTexts(list []when.Rule) string {
	var out []string
	for _, r := range list {
		out = append(out, RuleText(r))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// toolsText is all that a file says of its tools.
func toolsText(s *Server) string {
	var b strings.Builder
	marshalTools(s, func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) })
	return b.String()
}
