package limits

import (
	"testing"

	"github.com/mcprun/mcprun"
)

// What is set aside for a server is there for its calls, and never more than the budget
// is set aside or used together.
func TestLease(t *testing.T) {
	l := New()
	l.Set("files", Limits{Server: Set{Budgets: []Budget{{CPU, Day, 1000}}}}, noon)
	call := Asked{ID: "call", Server: "files", Tool: "read", Want: Use{Calls: 1}, Least: Use{Calls: 1}}
	var open []*Ticket
	total := int64(0)
	for i := 0; ; i++ {
		ticket, r := l.Lease(mcprun.CallID("l"+string(rune('a'+i))), "files", CPU, 10, 500, noon)
		if r != nil {
			if r.Rule != RuleBudget || r.Unit != CPU {
				t.Fatal(r)
			}
			break
		}
		if i == 0 && ticket.Granted()[CPU] != 125 {
			t.Errorf("the first lease has %d, want an eighth", ticket.Granted()[CPU])
		}
		total += ticket.Granted()[CPU]
		open = append(open, ticket)
	}
	if total > 1000 || total < 990 {
		t.Errorf("%d were set aside of 1000", total)
	}
	if r := l.Look(call, noon); r != nil {
		t.Errorf("a call while its server has something set aside: %v", r)
	}
	for _, ticket := range open {
		ticket.Settle(ticket.Granted(), noon)
	}
	if total < 1000 { // the rest, which was too small for a lease
		l.Add("files", CPU, 1000-total, noon)
	}
	if r := l.Look(call, noon); r == nil || r.Unit != CPU {
		t.Errorf("a call when all is used: %v", r)
	}
	l.Deduct("files", CPU, 5, noon)
	if r := l.LookLease("files", CPU, 5, noon); r != nil {
		t.Errorf("five were given back: %v", r)
	}
	if r := l.LookLease("files", CPU, 6, noon); r == nil {
		t.Error("six, where five were given back")
	}
	if r := l.Look(call, noon.AddDate(0, 0, 1)); r != nil {
		t.Errorf("a call on the next day: %v", r)
	}
}
