package manifest

import (
	"maps"

	"github.com/mcprun/mcprun"
)

// ToolsTightened reports whether b has of a's tools only what a has, each with its risk or a
// greater one, and all else as it was. Calls are judged when they are made and again when
// somebody has approved them, so that this can be put in force while a server runs. More
// cannot: which of two checks or limits is the stricter one is not for a program to say.
func ToolsTightened(a, b *Server) bool {
	was := *a
	was.Tools = maps.Clone(a.Tools)
	maps.DeleteFunc(was.Tools, func(name mcprun.ToolName, _ Tool) bool { _, stays := b.Tools[name]; return !stays })
	for name, t := range was.Tools {
		t.Risk = min(t.Risk, b.Tools[name].Risk) // the smaller one is the stricter
		was.Tools[name] = t
	}
	return toolsText(&was) == toolsText(b)
}
