package learned

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// Counts says how often something was seen, and when.
type Counts struct {
	Start int64                     `json:"start"`           // before the first call of a tool
	Tools map[mcprun.ToolName]int64 `json:"tools,omitempty"` // while this one alone was being called
	Idle  int64                     `json:"idle"`            // later, with no tool or several being called
}

// note counts once: tools are being called now, and called says whether any was before.
func (c *Counts) note(called bool, tools []mcprun.ToolName) {
	switch {
	case !called && len(tools) == 0:
		c.Start++
	case len(tools) == 1:
		if c.Tools == nil {
			c.Tools = map[mcprun.ToolName]int64{}
		}
		c.Tools[tools[0]]++
	default:
		c.Idle++
	}
}

func (c Counts) total() int64 {
	n := c.Start + c.Idle
	for _, t := range c.Tools {
		n += t
	}
	return n
}

// add counts what another was.
func (c *Counts) add(o Counts) {
	c.Start, c.Idle, c.Tools = c.Start+o.Start, c.Idle+o.Idle, maps.Clone(c.Tools)
	if c.Tools == nil {
		c.Tools = map[mcprun.ToolName]int64{}
	}
	for t, n := range o.Tools {
		c.Tools[t] += n
	}
}

// reasons say where something was seen.
const (
	reasonStart = "seen while it started"
	reasonIdle  = "seen while no tool, or several, were being called"
)

// reason is one that many lines share: of what was seen at the start, it names no tool.
func (c Counts) reason() string {
	tools := slices.Sorted(maps.Keys(c.Tools))
	switch {
	case c.Start > 0 && len(tools) == 0:
		return reasonStart
	case len(tools) == 0:
		return reasonIdle
	case c.Start > 0:
		return reasonStart + ", and in calls of tools"
	}
	return "seen in calls of " + names(tools)
}

// where says all of it, for a line of its own.
func (c Counts) where() string {
	var parts []string
	if c.Start > 0 {
		parts = append(parts, "while it started")
	}
	if tools := slices.Sorted(maps.Keys(c.Tools)); len(tools) > 0 {
		parts = append(parts, "in calls of "+names(tools))
	}
	if c.Idle > 0 {
		parts = append(parts, "while no tool, or several, were being called")
	}
	return times(c.total()) + ", " + strings.Join(parts, " and ")
}

// bound are the tools that something was seen in calls of and never else; none where
// that is not sure.
func (c Counts) bound() []mcprun.ToolName {
	if c.Start > 0 || c.Idle > 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Tools))
}
