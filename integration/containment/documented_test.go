package containment

import (
	"os"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// The walls, as the columns of docs/containment.md.
const (
	underRunc = iota
	underLandlock
	underGVisor
)

// documented holds docs/containment.md to what gets through: each operation stands there,
// in the wall's column.
func documented(t *testing.T, wall int, results []result.Result) {
	t.Helper()
	page, err := os.ReadFile("../../docs/containment.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, info := map[string]bool{}, ""
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) == 7 && strings.HasPrefix(cells[1], " `") {
			listed[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2+wall]) == "through"
		}
		if strings.HasPrefix(line, "Under all three ") {
			info = line
		}
	}
	if len(listed) == 0 || info == "" {
		t.Fatal("docs/containment.md has no table any more")
	}
	for _, r := range result.LetThrough(results, false) {
		if !listed[r.Name] && !strings.Contains(info, "`"+r.Name+"`") {
			t.Errorf("%s gets through (%s), and docs/containment.md does not say so of this wall", r.Name, r.Detail)
		}
	}
}
