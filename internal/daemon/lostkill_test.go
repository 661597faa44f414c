package daemon

import (
	"testing"

	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// A kill counts until it is taken back, in the order of the record; one whose target cannot
// be read stops everything: it may have.
func TestLostKillsAreThoseThatHold(t *testing.T) {
	rec := func(kind audit.Type, target limits.Target) *audit.Record {
		r := &audit.Record{Type: kind, Why: "test"}
		approval.MarkKill(r, target, nil)
		return r
	}
	one, two := limits.Target{Server: "one"}, limits.Target{Server: "two", Tool: "x"}
	l := lostKills{}
	for _, r := range []*audit.Record{
		rec(audit.TypeRevive, two), rec(audit.TypeKill, one), rec(audit.TypeKill, two), rec(audit.TypeRevive, one), rec(audit.TypeNote, limits.Target{}),
	} {
		l.read(r)
	}
	if _, holds := l[two]; len(l) != 1 || !holds {
		t.Errorf("those that hold: %+v", l)
	}
	l.read(&audit.Record{Type: audit.TypeKill, Why: "test", Detail: map[string]string{"target": "planet@earth"}})
	if _, all := l[limits.Target{}]; !all {
		t.Errorf("a kill of what this version does not know: %+v", l)
	}
}
