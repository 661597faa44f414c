package manifest

import (
	"fmt"

	"github.com/mcprun/mcprun"
)

// Lines are those of a file that a key takes, its value included; both count from 1.
type Lines struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// ReadLines says where in a server.yaml each key stands, for whoever shows lines of it:
// egress[1], or tools.get_issue. Of a text that Parse does not take it may say anything.
func ReadLines(data []byte) map[string]Lines {
	out := map[string]Lines{}
	if root := readYAML(data, newReport()); root != nil {
		root.lines("", out)
	}
	return out
}

// lines notes the places below n, and returns the last line that it takes.
func (n node) lines(path string, out map[string]Lines) int {
	last := n.line
	for _, p := range n.pairs {
		at := join(path, keyName(p.key.text))
		end := max(p.key.line, p.value.lines(at, out))
		out[at] = Lines{p.key.line, end}
		last = max(last, end)
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		end := item.lines(at, out)
		out[at] = Lines{item.line, end}
		last = max(last, end)
	}
	return last
}

// ToolPath is what ReadLines calls the place of a tool.
func ToolPath(name mcprun.ToolName) string { return toolPath(name) }
