package gate

import "github.com/mcprun/mcprun"

// ToolState is what a policy makes of one tool, for people to read.
type ToolState struct {
	Name  mcprun.ToolName
	Risk  mcprun.Risk
	State string // granted, blocked, withheld, not granted
	Why   string
}

// Summary lists every tool that the policy knows, in the order of their names.
func (p *Policy) Summary() []ToolState {
	var out []ToolState
	for _, name := range p.names() {
		e := p.tools[name]
		s := ToolState{Name: name, State: "granted"}
		switch {
		case e.rule != "":
			s.State, s.Why = "withheld", e.reason
		case !e.granted:
			s.State, s.Why = "not granted", "server.yaml does not name it"
		case !e.listed():
			s.State, s.Why = "blocked", e.tool.blocked("it")
		default:
			s.Risk = e.tool.Risk
			if e.tool.raised != "" {
				s.Why = "raised: " + e.tool.raised
			}
		}
		out = append(out, s)
	}
	return out
}

// ToolDigest is the pin of a tool, "" for one that is not pinned.
func (p *Policy) ToolDigest(name mcprun.ToolName) mcprun.Digest { return p.tools[name].pinned.Digest }
