package approval

import (
	"slices"
	"testing"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// Who wants to be told hears of each call once when it begins to wait, and once when it
// waits no more, however it ended; of what an earlier life knew, nothing.
func TestTell(t *testing.T) {
	d, r, c := desk()
	var heard []string
	d.Tell = func(i Item) { heard = append(heard, string(i.Args)+" "+i.State.String()) }
	want := func(list ...string) {
		t.Helper()
		if !slices.Equal(heard, list) {
			t.Errorf("heard %q, want %q", heard, list)
		}
		heard = nil
	}
	yes, no := ask(t, d, "y"), ask(t, d, "n")
	ask(t, d, "y") // the same question
	want(`{"a":"y"} waiting`, `{"a":"n"} waiting`)
	if _, err := d.Decide(yes.ID, true, "uid:2", ByCode, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decide(no.ID, false, "uid:2", Unproven, ""); err != nil {
		t.Fatal(err)
	}
	want(`{"a":"y"} approved`, `{"a":"n"} denied`)
	if !take(t, d, yes.Binding) {
		t.Fatal("the approval is not there")
	}
	ask(t, d, "k")
	d.Revoke(Stops(limits.Target{Server: "files"}, nil))
	want(`{"a":"k"} waiting`, `{"a":"k"} denied`)
	ask(t, d, "x")
	c.advance(Life)
	d.List()
	want(`{"a":"x"} waiting`, `{"a":"x"} expired`)

	again := New(r, c.now)
	for _, rec := range r.all {
		if rec.Type == audit.TypePending {
			again.Restore(rec)
		}
	}
	want()
}
