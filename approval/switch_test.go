package approval

import (
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// What a kill takes away is gone, before and after a restart, and nothing else is. The
// record of a kill of a label or a client names no server, which once meant all.
func TestAKillTakesAwayWhatItStops(t *testing.T) {
	many := make([]mcprun.ServerName, 100)
	for i := range many {
		many[i] = mcprun.ServerName(strings.Repeat("a", 20))
	}
	for _, row := range []struct {
		name    string
		target  limits.Target
		servers []mcprun.ServerName
		want    bool
	}{
		{"everything", limits.Target{}, nil, true},
		{"its server", limits.Target{Server: "files"}, nil, true},
		{"another", limits.Target{Server: "mail"}, nil, false},
		{"its tool", limits.Target{Server: "files", Tool: "write"}, nil, true},
		{"another tool", limits.Target{Server: "files", Tool: "read"}, nil, false},
		{"its client", limits.Target{Principal: "uid:1"}, nil, true},
		{"another client", limits.Target{Principal: "uid:2"}, nil, false},
		{"a label of it", limits.Target{Label: "team=x"}, []mcprun.ServerName{"mail", "files"}, true},
		{"a label of others", limits.Target{Label: "team=x"}, []mcprun.ServerName{"mail"}, false},
		{"a label of none", limits.Target{Label: "team=x"}, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, r, c := desk()
			i := ask(t, d, "x")
			if n := d.Revoke(Stops(row.target, row.servers)); (n == 1) != row.want {
				t.Errorf("Revoke = %d", n)
			}
			kill := &audit.Record{Type: audit.TypeKill}
			MarkKill(kill, row.target, row.servers)
			again := New(r, c.now)
			for _, rec := range append(r.all, kill) {
				again.Restore(rec)
			}
			got, err := again.Get(i.ID)
			if err != nil || (got.State == Denied) != row.want {
				t.Errorf("after a restart: %v, %v", got.State, err)
			}
		})
	}
	// A list that does not fit is not there, and then all are meant.
	kill := &audit.Record{Type: audit.TypeKill}
	MarkKill(kill, limits.Target{Label: "team=x"}, many)
	if stops := stopsIn(kill); !stops(Binding{Server: "files"}) {
		t.Error("a kill of too many servers to name keeps an approval alive")
	}
	// And the record of a version before there were labels.
	if stops := stopsIn(&audit.Record{Type: audit.TypeKill, Server: "files"}); !stops(Binding{Server: "files"}) || stops(Binding{Server: "mail"}) {
		t.Error("an old record is read differently")
	}
}
