package cli

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/lock"
)

// argumentNames lists the declared arguments of a tool, required ones with a mark.
func argumentNames(def jsontext.Value) []string {
	var d struct {
		InputSchema struct {
			Properties map[string]jsontext.Value `json:"properties"`
			Required   []string                  `json:"required"`
		} `json:"inputSchema"`
	}
	if json.Unmarshal(def, &d) != nil {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(d.InputSchema.Properties)) {
		shown := lock.Visible(name)
		if slices.Contains(d.InputSchema.Required, name) {
			shown += "*"
		}
		out = append(out, shown)
	}
	return out
}

// serverTitle is what a server calls itself.
func serverTitle(f *lock.File) string {
	var info struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if json.Unmarshal(f.ServerInfo, &info) != nil {
		return "unnamed"
	}
	return info.Name + " " + info.Version
}
