// Package starter proposes what a server.yaml could say of a server's tools, from
// their pinned definitions and from what the file grants besides: (server.yaml,
// server.lock) → [Proposal]. Each line of a proposal has its reason, and what only a
// person can know is marked as something to decide, with a value that lets nothing
// pass until then.
//
// It does no I/O, and nothing it reads makes a proposal milder than what the names of
// tools and the table of classes say: a server's own words raise a class, attach a
// check, or are passed over. What it does not understand is high; what the gate
// withholds is left out.
//
// What it does not protect from: a proposal is a guess by names, formats and
// descriptions, which the server wrote. A tool that reads a path from an argument
// called "note" gets no check of paths, and one that deletes and is called get_items
// is proposed as low. It is there to be read line by line by a person who knows the
// server; the sandbox and egress hold for what nobody noticed.
package starter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// Proposal is what a server.yaml could say of all tools, in the order of their names.
type Proposal struct {
	Server mcprun.ServerName
	Tools  []Tool
}

// Tool is what it could say of one.
type Tool struct {
	Name      mcprun.ToolName
	Withheld  string // why it is left out; "" if it is not
	Risk      mcprun.Risk
	Why       string
	Decide    string // what a person has to say of the tool as a whole
	Marks     []Mark
	Arguments []Argument
	Rules     []Rule
	DryRun    string // the argument that reads as if it asked for one; "" if there is none
}

// Mark is a key that is true, such as untrusted.
type Mark struct{ Key, Why string }

// Argument is the check of one argument; At is as server.yaml has it.
type Argument struct {
	At     string
	Check  argument.Check
	Why    string
	Decide string
}

// Rule is a condition with why it is there.
type Rule struct {
	Rule when.Rule
	Why  string
}

// Propose goes through all pinned tools.
func Propose(s *manifest.Server, pins *lock.File) Proposal {
	around := survey(s, pins)
	p := Proposal{Server: s.Name}
	withheld := withheldTools(s, pins)
	for _, pinned := range pins.Tools {
		t := Tool{Name: pinned.Name, Withheld: withheld[pinned.Name]}
		if t.Withheld == "" {
			t = around.propose(pinned)
		}
		p.Tools = append(p.Tools, t)
	}
	slices.SortStableFunc(p.Tools, func(a, b Tool) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// withheldTools asks the gate which tools it would not hand out, whatever is granted.
func withheldTools(s *manifest.Server, pins *lock.File) map[mcprun.ToolName]string {
	grants := map[mcprun.ToolName]gate.Grant{}
	for _, t := range pins.Tools {
		grants[t.Name] = gate.Grant{Risk: mcprun.High}
	}
	_, problems := gate.NewPolicy(s.Name, pins, grants)
	out := map[mcprun.ToolName]string{}
	for _, p := range problems {
		out[p.Tool] = p.Err.Error()
	}
	return out
}

// Grants is the proposal as server.yaml's reader would have it.
func (p Proposal) Grants() map[mcprun.ToolName]manifest.Tool {
	out := map[mcprun.ToolName]manifest.Tool{}
	for _, t := range p.Tools {
		if t.Withheld == "" {
			out[t.Name] = t.grant()
		}
	}
	return out
}

func (t Tool) grant() manifest.Tool {
	g := manifest.Tool{Risk: t.Risk}
	for _, m := range t.Marks {
		switch m.Key {
		case "untrusted":
			g.Untrusted = manifest.Yes
		case "private":
			g.Private = manifest.Yes
		case "sends":
			g.Sends = manifest.Yes
		}
	}
	for _, a := range t.Arguments {
		at, err := argument.ParsePointer(a.At)
		if a.Check != nil && err == nil { // pointer makes no others
			g.Arguments = append(g.Arguments, argument.Attached{At: at, Check: a.Check})
		}
	}
	for _, r := range t.Rules {
		g.Rules = append(g.Rules, r.Rule)
	}
	return g
}

// Decisions lists what a person has to decide, each with its tool.
func (p Proposal) Decisions() []string {
	seen := map[string]bool{}
	for _, t := range p.Tools {
		for _, d := range append([]string{t.Decide}, decisions(t.Arguments)...) {
			if d != "" {
				seen[fmt.Sprintf("%s: %s", t.Name, d)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func decisions(list []Argument) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.Decide)
	}
	return out
}
