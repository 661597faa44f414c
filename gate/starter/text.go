package starter

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// Section is the proposal as the tools section of a server.yaml, each line with its
// reason behind it.
func (p Proposal) Section() string {
	var b strings.Builder
	b.WriteString("tools:  # proposed by mcprun policy init: read each line, and decide where it says decide\n")
	granted := 0
	for _, t := range p.Tools {
		if t.Withheld != "" {
			line(&b, "", 2, "", fmt.Sprintf("%s is left out: %s", t.Name, t.Withheld))
			continue
		}
		granted++
		t.write(&b)
	}
	if granted == 0 {
		return strings.Replace(b.String(), "tools:", "tools: {}", 1)
	}
	return b.String()
}

func (t Tool) write(b *strings.Builder) {
	line(b, manifest.Quote(string(t.Name))+":", 2, "", "")
	line(b, "risk: "+t.Risk.String(), 4, t.Decide, t.Why)
	if t.DryRun != "" { // that it changes nothing is the operator's word alone
		line(b, "", 4, "", fmt.Sprintf("preview: {arguments: {%s: true}} shows whoever approves what it would do; try first that it changes nothing then", manifest.Quote(t.DryRun)))
	}
	for _, m := range t.Marks {
		line(b, m.Key+": true", 4, "", m.Why)
	}
	if len(t.Arguments) > 0 {
		t.writeArguments(b)
	}
	if len(t.Rules) > 0 {
		line(b, "rules:", 4, "", "")
		for _, r := range t.Rules {
			line(b, "- "+manifest.RuleText(r.Rule), 6, "", r.Why)
		}
	}
}

func (t Tool) writeArguments(b *strings.Builder) {
	checked := 0
	for _, a := range t.Arguments {
		if a.Check != nil {
			checked++
		}
	}
	if checked > 0 {
		line(b, "arguments:", 4, "", "")
	}
	for _, a := range t.Arguments {
		if a.Check == nil {
			line(b, "", 6, a.Decide, manifest.Quote(a.At)+" "+a.Why)
			continue
		}
		line(b, fmt.Sprintf("%s: {%s}", manifest.Quote(a.At), manifest.CheckText(a.Check)), 6, a.Decide, a.Why)
	}
}

// line writes a line with its reason, and above it what has to be decided.
func line(b *strings.Builder, text string, indent int, decide, why string) {
	space := strings.Repeat(" ", indent)
	if decide != "" {
		fmt.Fprintf(b, "%s# decide: %s\n", space, comment(decide))
	}
	switch {
	case text == "":
		fmt.Fprintf(b, "%s# %s\n", space, comment(why))
	case why == "":
		fmt.Fprintf(b, "%s%s\n", space, text)
	default:
		fmt.Fprintf(b, "%s%s  # %s\n", space, text, comment(why))
	}
}

// comment keeps what a server wrote on its line, and visible.
func comment(s string) string {
	return strings.ReplaceAll(lock.Visible(s), "\n", " ")
}
