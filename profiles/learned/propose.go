package learned

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

// reasons of the lines of a learned profile.
const (
	reasonEvery     = "every program does this"
	reasonNeighbour = "not seen: what libraries of another version or machine use in place of one that was"
)

// Propose writes a profile, in the form of docs/profiles.md, that allows what was seen and
// little more. Each line says how often and from where.
func (s Seen) Propose(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Learned from %s: %s.\n", s.Server, s.Trust())
	for _, line := range s.uses() {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	fmt.Fprintf(&b, "version: 1\nname: %s\nextends: none\nabout: what %s was seen to do\nallow:\n", name, s.Server)
	p := s.plan()
	b.WriteString(group(reasonEvery, profiles.EveryProgram(), nil))
	for _, g := range p.whole {
		b.WriteString(group(g.reason, g.calls, p.counts))
	}
	for _, line := range p.judged {
		b.WriteString(line)
	}
	b.WriteString(group(reasonNeighbour, p.neighbours, nil))
	b.WriteString("\n# What else it used, as lines that a profile can have: look at each, and take the \"# \" away.\n")
	for _, line := range s.beside() {
		b.WriteString("# " + line + "\n")
	}
	return b.String()
}

// uses are what else was seen, for whoever writes server.yaml.
func (s Seen) uses() []string {
	out := []string{fmt.Sprintf("At most %d MiB of memory and %d processes and threads; %.1f s of processor time in all.", (s.Memory+(1<<20)-1)>>20, s.Pids, float64(s.CPU)/1e6)}
	if len(s.Environment) > 0 {
		out = append(out, "Its environment had "+clean(strings.Join(s.Environment, ", "))+"; which of them it read cannot be seen.")
	}
	for _, f := range s.Folders {
		if f.Write {
			out = append(out, fmt.Sprintf("Wrote below %s: %s.", clean(f.Path), f.where()))
		}
	}
	for _, h := range s.Hosts {
		out = append(out, h.line())
	}
	for _, c := range s.Refused {
		out = append(out, fmt.Sprintf("Tried %s(%s), which no profile can allow: %s.", c.Call, clean(c.Args), c.where()))
	}
	return out
}

// clean keeps what came from a server on its line of a comment.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}

type plan struct {
	whole      []wholeGroup
	judged     []string
	neighbours []string
	counts     map[string]int64
}

type wholeGroup struct {
	reason string
	calls  []string
}

// plan sorts what was seen into the lines of a profile.
func (s Seen) plan() plan {
	p := plan{counts: map[string]int64{}}
	named := map[string]bool{}
	for _, c := range profiles.EveryProgram() {
		named[c] = true
	}
	byReason := map[string][]string{}
	judged := map[string][][]profiles.Condition{}
	why := map[string]Call{}
	for _, c := range s.Calls {
		p.counts[c.Call] += c.total()
		sum := why[c.Call]
		sum.add(c.Counts)
		why[c.Call] = sum
		if len(c.Where) > 0 {
			judged[c.Call] = append(judged[c.Call], c.Where)
		}
	}
	for _, call := range slices.Sorted(maps.Keys(why)) {
		if named[call] {
			continue
		}
		named[call] = true
		if len(judged[call]) == 0 {
			byReason[why[call].reason()] = append(byReason[why[call].reason()], call)
			continue
		}
		lines, err := profiles.Merged(call, judged[call])
		if err != nil {
			continue // the tables are part of the program, and tested
		}
		for _, where := range lines {
			line, err := profiles.AllowLine(call, where)
			if err != nil {
				continue // so is the table of names
			}
			p.judged = append(p.judged, indent(strings.Replace(line, profiles.PlaceholderReason, fmt.Sprintf("%s # %s in all", quoted(why[call].reason()), times(p.counts[call])), 1)))
		}
	}
	order := slices.SortedFunc(maps.Keys(byReason), func(a, b string) int {
		return strings.Compare(rank(a)+a, rank(b)+b)
	})
	for _, r := range order {
		p.whole = append(p.whole, wholeGroup{r, byReason[r]})
	}
	for _, c := range s.Calls {
		for _, n := range profiles.Neighbours(c.Call) {
			if !named[n] {
				named[n] = true
				p.neighbours = append(p.neighbours, n)
			}
		}
	}
	slices.Sort(p.neighbours)
	return p
}

// rank puts the start before the rest.
func rank(reason string) string {
	if reason == reasonStart {
		return "0"
	}
	return "1"
}

// maxReasonTools bounds the tools that a reason names.
const maxReasonTools = 4

func names(tools []mcprun.ToolName) string {
	var out []string
	for _, t := range tools[:min(len(tools), maxReasonTools)] {
		out = append(out, clean(string(t)))
	}
	if n := len(tools) - maxReasonTools; n > 0 {
		out = append(out, fmt.Sprintf("%d more", n))
	}
	return strings.Join(out, " and ")
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// group is one entry of allow with a line for each call.
func group(reason string, calls []string, counts map[string]int64) string {
	if len(calls) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  - reason: %s\n    calls:\n", quoted(reason))
	for _, c := range calls {
		fmt.Fprintf(&b, "      - %s", c)
		if n := counts[c]; n > 0 {
			fmt.Fprintf(&b, " # %s", times(n))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// plain is text that YAML takes for nothing else, without quotes.
var plain = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*(,? [a-zA-Z0-9_]+)*$`)

func quoted(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

func indent(lines string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(lines, "\n"), "\n", "\n  ") + "\n"
}
