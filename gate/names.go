package gate

import (
	"fmt"
	"strings"
)

// confusable finds names of one server that a person or a model takes for each
// other: a call meant for one reaches the other.
func confusable(names []string) []Finding {
	var out []Finding
	for i, name := range names {
		for _, earlier := range names[:i] {
			why := ""
			switch {
			case name == "" || earlier == "":
			case name == earlier:
				why = "is there twice"
			case foldName(name) == foldName(earlier):
				why = fmt.Sprintf("differs from %s only in case and separators", visible(earlier))
			case glyphName(name) == glyphName(earlier):
				why = fmt.Sprintf("looks like %s", visible(earlier))
			}
			if why != "" {
				for _, n := range []string{name, earlier} {
					out = append(out, Finding{Tool: visible(n), Rule: LintConfusable, Path: "/name", Reason: visible(name) + " " + why, Severity: Block})
				}
			}
		}
	}
	return out
}

// foldName removes case and separators.
func foldName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
}

// glyphName also maps the ASCII characters that share a shape. Names are ASCII
// (all else is refused), so the table of Unicode TR39 shrinks to these.
func glyphName(s string) string {
	return foldName(strings.NewReplacer("0", "o", "1", "l", "I", "l").Replace(s))
}
