package gate

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	wordchecks "github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/lock"
)

// Policy is what one server may be asked to do. It never changes: Withhold and
// Changed return another one. It is safe for concurrent use.
type Policy struct {
	server mcprun.ServerName
	digest mcprun.Digest // of the files that it was made from
	around surroundings
	tools  map[mcprun.ToolName]entry
}

// entry is one tool in a policy. rule is set for a tool that is withheld.
type entry struct {
	pinned  lock.Tool
	shown   jsontext.Value // the definition as clients see it
	granted bool
	grant   Grant
	tool    *Tool // nil where not granted
	traits  Traits
	scanned bool // a check of server.yaml's looks for secrets in all arguments
	rule    string
	reason  string
	hint    string
}

// Problem is why a tool that server.yaml grants cannot be called.
type Problem struct {
	Tool mcprun.ToolName // "" if it concerns all of them
	Err  error
}

// NewPolicy joins what is pinned with what server.yaml grants. The policy is
// always usable: a tool with a problem is refused with the reason, and so is
// everything if the file is for another server or missing.
func NewPolicy(server mcprun.ServerName, file *lock.File, grants map[mcprun.ToolName]Grant) (*Policy, []Problem) {
	p := &Policy{server: server, tools: map[mcprun.ToolName]entry{}}
	if file == nil {
		return p, []Problem{{Err: fmt.Errorf("nothing is pinned; run mcprun lock")}}
	}
	if file.Server != server {
		return p, []Problem{{Err: fmt.Errorf("the lock file is for server %s, not %s", visible(string(file.Server)), server)}}
	}
	var problems []Problem
	alike := confusions(file)
	for _, pinned := range file.Tools {
		grant, granted := grants[pinned.Name]
		e := newEntry(pinned, grant, granted, alike[pinned.Name])
		if granted && e.rule != "" {
			problems = append(problems, Problem{pinned.Name, fmt.Errorf("%s", e.reason)})
		}
		p.tools[pinned.Name] = e
	}
	for _, name := range slices.Sorted(maps.Keys(grants)) {
		if _, ok := p.tools[name]; !ok {
			problems = append(problems, Problem{name, fmt.Errorf("server.yaml grants it, but it is not pinned; run mcprun lock")})
		}
	}
	return p, problems
}

// confusions returns, by name, why a tool's name is taken for another one's.
func confusions(file *lock.File) map[mcprun.ToolName]string {
	var names []string
	for _, t := range file.Tools {
		names = append(names, string(t.Name))
	}
	out := map[mcprun.ToolName]string{}
	for _, f := range confusable(names) {
		out[mcprun.ToolName(f.Tool)] = f.Reason
	}
	return out
}

func newEntry(pinned lock.Tool, grant Grant, granted bool, alike string) entry {
	e := entry{grant: grant, pinned: lock.Tool{Name: pinned.Name, Digest: pinned.Digest, Definition: pinned.Definition.Clone()}, granted: granted}
	tool, err := Compile(e.pinned.Definition, grant.Risk)
	switch {
	case err != nil:
		e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: %v", pinned.Name, err), "")
	case tool.Name != pinned.Name:
		e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: its definition is named %s", pinned.Name, tool.Name), "")
	case alike != "":
		e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: %s: %s", pinned.Name, LintConfusable, alike), "")
	case !granted:
		propose, _ := Propose(pinned.Definition)
		e.hint = fmt.Sprintf("add to server.yaml:\ntools:\n  %s: {risk: %s}", pinned.Name, propose)
	default:
		e.tool, e.shown = tool.unless(grant).under(grant).behind(grant), e.pinned.Definition
		if grant.Justify {
			if e.shown, err = withJustification(e.pinned.Definition, tool.definition); err != nil {
				e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: %v", pinned.Name, err), "take justification out of server.yaml, or set risk: high")
				return e
			}
		}
		if why, has := e.tool.unfitCheck(grant.Arguments); why != "" {
			e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: %s", pinned.Name, why), has)
			return e
		}
		if why := e.tool.unfitPreview(grant.Preview); why != "" {
			e.withhold(RuleWithheld, fmt.Sprintf("%s is withheld: %s", pinned.Name, why), "name what makes it a dry run, or take preview out of server.yaml")
			return e
		}
		e.traits = traits(grant, e.tool, tool.definition)
		e.scanned = slices.ContainsFunc(grant.Arguments, func(a argument.Attached) bool {
			_, ok := a.Check.(wordchecks.Secrets)
			return ok && a.At.All()
		})
	}
	return e
}

// unless raises a tool whose arguments something runs unjudged.
func (t *Tool) unless(g Grant) *Tool {
	why := g.unjudged(t.interpreted)
	if why == "" || mcprun.Stricter(t.Risk, mcprun.High) == t.Risk {
		return t
	}
	raised := *t
	raised.Risk, raised.raised = mcprun.High, why
	return &raised
}

// under raises a tool to the class that the operator's ceilings demand.
func (t *Tool) under(g Grant) *Tool {
	if g.demanded == "" || mcprun.Stricter(t.Risk, g.least) == t.Risk {
		return t
	}
	raised := *t
	raised.Risk, raised.raised = g.least, g.demanded
	return &raised
}

// behind blocks a tool that is high where the server's isolation is too little for one.
func (t *Tool) behind(g Grant) *Tool {
	if g.behind == "" || t.Risk != mcprun.High {
		return t
	}
	blocked := *t
	blocked.Risk, blocked.raised = mcprun.Block, g.behind
	if t.raised != "" {
		blocked.raised += " (" + t.raised + ")"
	}
	return &blocked
}

// blocked says who blocks a tool.
func (t *Tool) blocked(it string) string {
	if t == nil || t.granted == mcprun.Block || t.raised == "" {
		return "server.yaml blocks " + it
	}
	return it + ": " + t.raised
}

func (e *entry) withhold(rule, reason, hint string) {
	e.rule, e.reason, e.hint = rule, reason, hint
}

// Server is the server that the policy is for.
func (p *Policy) Server() mcprun.ServerName { return p.server }

// Digest names the files that the policy was made from; "" for one that was made
// from none. What was withheld since does not change it.
func (p *Policy) Digest() mcprun.Digest { return p.digest }

// Conditional reports whether rules of a tool have conditions, which speak of the
// session, the time and what went before.
func (p *Policy) Conditional(name mcprun.ToolName) bool { return len(p.tools[name].grant.Rules) > 0 }

// Traits are those of a tool that may be called; none of one that may not.
func (p *Policy) Traits(name mcprun.ToolName) Traits { return p.tools[name].traits }

// OfResources are the traits of what a server hands out without a tool: it can be
// anything that the server reaches.
func (p *Policy) OfResources() Traits {
	return Traits{Untrusted: p.around.wayOut, Private: p.around.private}
}

// Tool returns a tool that may be listed.
func (p *Policy) Tool(name mcprun.ToolName) (*Tool, bool) {
	e, ok := p.tools[name]
	if !ok || !e.listed() {
		return nil, false
	}
	return e.tool, true
}

func (e entry) listed() bool {
	return e.granted && e.rule == "" && e.tool != nil && e.tool.Risk != mcprun.Block
}

// Listed returns the definitions that clients are shown, in the order of their
// names: granted, not blocked, not withheld. They are as pinned, but for the
// justification that server.yaml demands.
func (p *Policy) Listed() []jsontext.Value {
	out := []jsontext.Value{}
	for _, name := range p.names() {
		if e := p.tools[name]; e.listed() {
			out = append(out, e.shown.Clone())
		}
	}
	return out
}

func (p *Policy) names() []mcprun.ToolName { return slices.Sorted(maps.Keys(p.tools)) }

// Withhold returns a copy in which one tool is refused for that reason.
func (p *Policy) Withhold(tool mcprun.ToolName, reason string) *Policy {
	return p.with(tool, RuleWithheld, fmt.Sprintf("%s is withheld: %s", tool, visible(reason)), "")
}

func (p *Policy) with(tool mcprun.ToolName, rule, reason, hint string) *Policy {
	c := &Policy{server: p.server, digest: p.digest, around: p.around, tools: maps.Clone(p.tools)}
	if c.tools == nil {
		c.tools = map[mcprun.ToolName]entry{}
	}
	e := c.tools[tool]
	e.withhold(rule, reason, hint)
	c.tools[tool] = e
	return c
}

// Changed returns a copy that trusts nothing that is not as it was pinned:
// tools of the running server that differ from their pin, that are new, or that
// are gone. With a nil file every tool is.
func (p *Policy) Changed(current *lock.File) *Policy {
	const review = "look at the change with mcprun lock, and commit it if it is meant"
	if current == nil {
		current = new(lock.File)
	}
	now := map[mcprun.ToolName]lock.Tool{}
	out := p
	for _, t := range current.Tools {
		now[t.Name] = t
		pinned, ok := p.tools[t.Name]
		switch {
		case !ok:
			out = out.with(t.Name, RuleChanged, fmt.Sprintf("%s is new: it is not pinned", t.Name), review)
		case !t.Same(pinned.pinned):
			out = out.with(t.Name, RuleChanged, fmt.Sprintf("%s is not as it was pinned", t.Name), review)
		}
	}
	for _, name := range p.names() {
		if _, ok := now[name]; !ok {
			out = out.with(name, RuleChanged, fmt.Sprintf("%s is pinned but the server no longer has it", name), review)
		}
	}
	return out
}
