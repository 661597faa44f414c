package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun"
)

// What a record says of a risk and of a justification is what was noted, in the
// same order, over the disk too.
func TestRiskInARecord(t *testing.T) {
	parts := []mcprun.Contribution{
		{Name: "class", Points: 35, Least: mcprun.Medium, Why: "its class is medium"},
		{Name: "argument", Points: 0, Least: mcprun.High, Why: "a human has to look: /path"},
		{Name: "class", Points: 1, Least: mcprun.Low, Why: ""},
	}
	said := mcprun.Justification{Intent: "mend it", Target: "a file", Effect: "it works"}
	r := &Record{Type: TypeCall}
	NoteRisk(r, 36, parts)
	NoteJustification(r, said)
	score, got := Risk(r)
	if d := cmp.Diff(parts, got); d != "" || score != 36 {
		t.Errorf("score %d, parts:\n%s", score, d)
	}
	if got := Justification(r); got != said {
		t.Errorf("justification %+v", got)
	}
	if score, parts := Risk(&Record{}); score != 0 || parts != nil {
		t.Errorf("of a record without: %d, %v", score, parts)
	}
}
