package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// checkApprovers: a call that needs more people than are ever asked would wait for
// good.
func checkApprovers(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		if n := s.Tools[name].Approvers; n < 0 || n > MaxApprovers {
			r.fail(toolPath(name)+".approvers", fmt.Sprintf("write 1 to %d", MaxApprovers), "%d people cannot be asked for", n)
		}
	}
}

// checkArguments: a check that can accept nothing, or accepts all, is a mistake that
// would be found when somebody needs the tool.
func checkArguments(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		t := s.Tools[name]
		if len(t.Arguments) > maxChecks {
			r.fail(toolPath(name)+".arguments", "check what matters", "%d checks; at most %d", len(t.Arguments), maxChecks)
		}
		for _, a := range t.Arguments {
			v, ok := a.Check.(interface{ Validate() error })
			path := argumentPath(toolPath(name), a.At.String())
			if !ok || r.bad[path] {
				continue
			}
			if err := v.Validate(); err != nil {
				first, _, _ := strings.Cut(err.Error(), "\n")
				kind, _, _ := strings.Cut(checkText(a.Check), ":")
				r.fail(path, "write e.g. "+examples[kind], "%s: %s", kind, first)
			}
		}
	}
}

// examples are checks as people write them.
var examples = map[string]string{
	"path": "path: {under: [/workspace]}", "url": "url: {hosts: [docs.example.com]}", "email": "email: {domains: [example.com]}",
	"command": "command: {programs: {git: {subcommands: [status, log]}}}", "sql": "sql: {dialect: postgres}", "number": "number: {min: 1, max: 100}", "text": "text: {max: 4KiB}",
}

// checkRules: a rule that makes nothing stricter, or says no reason, helps nobody.
func checkRules(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		rules := s.Tools[name].Rules
		if len(rules) > maxRules {
			r.fail(toolPath(name)+".rules", "join conditions with ||", "%d rules; at most %d", len(rules), maxRules)
		}
		for i, rule := range rules {
			path := fmt.Sprintf("%s.rules[%d]", toolPath(name), i)
			switch {
			case r.bad[path] || r.bad[path+".when"] || r.bad[path+".risk"]:
			case rule.When == nil:
				r.fail(path+".when", "write a condition in CEL", "is missing")
			case rule.Risk >= mcprun.Low:
				r.fail(path+".risk", "write medium, high or block", "a rule only makes a call riskier, and %s is the least", rule.Risk)
			case strings.TrimSpace(rule.Reason) == "":
				r.fail(path+".reason", "say why, for the one who is refused", "is empty")
			}
		}
	}
}
