package gate

import (
	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

// Grants is what a server.yaml says of its tools.
func Grants(s *manifest.Server) map[mcprun.ToolName]Grant {
	out := make(map[mcprun.ToolName]Grant, len(s.Tools))
	for name, t := range s.Tools {
		out[name] = Grant{Risk: t.Risk, Arguments: t.Arguments, Rules: t.Rules}
	}
	return out
}
