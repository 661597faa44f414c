package servers

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// A client of a server that does not run gets from the pins, byte for byte in canonical
// form, what the server lists itself.
func TestRestingServersListWhatTheyListRunning(t *testing.T) {
	d := harness.New(t)
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			bare := filepath.Join(d.Dir, s.name+"-bare")
			workspace(t, bare)
			workspace(t, filepath.Join(d.Dir, s.name+"-contained"))
			want := definitions(t, start(t, bareCommand(t, s.script, bare)))
			d.Up(s.name, s.name, "idle: stop\n"+granted(s.name, s.profile, s.script))
			got := definitions(t, start(t, d.Command("connect", s.name)))
			if !slices.Equal(got, want) {
				t.Errorf("from the pins:\n%.2000s\nfrom the server:\n%.2000s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if pids := d.Pids(); len(pids) != 0 {
				t.Errorf("the list started %v", pids)
			}
		})
	}
}

// definitions are all tools that a server lists, in canonical form and sorted.
func definitions(t *testing.T, c *client) []string {
	t.Helper()
	var list struct {
		Tools      []jsontext.Value `json:"tools"`
		NextCursor string           `json:"nextCursor"`
	}
	if err := json.Unmarshal(c.ask("tools/list", `{}`), &list); err != nil || list.NextCursor != "" {
		t.Fatalf("%v, or more than one page", err)
	}
	var out []string
	for _, raw := range list.Tools {
		text, err := strictjson.Canonical(raw)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	slices.Sort(out)
	return out
}
