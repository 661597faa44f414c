package limits

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
)

func TestEnough(t *testing.T) {
	yes := func(who ...mcprun.Principal) (out []Yes) {
		for _, w := range who {
			out = append(out, Yes{Who: w})
		}
		return out
	}
	for _, r := range []struct {
		name   string
		before []Yes
		by     mcprun.Principal
		needs  int
		done   bool
		err    string
	}{
		{"the zero value of a policy", nil, "uid:1", 0, false, "lets nobody"},
		{"the same with yeses", yes("uid:2", "uid:3"), "uid:1", 0, false, "lets nobody"},
		{"nobody", yes("uid:2"), "", 2, false, "lets nobody"},
		{"one of one", nil, "uid:1", 1, true, ""},
		{"one of two", nil, "uid:1", 2, false, ""},
		{"two of two", yes("uid:2"), "uid:1", 2, true, ""},
		{"the same person twice", yes("uid:1"), "uid:1", 2, false, "said yes already"},
		{"the same person, by now asked for alone", yes("uid:1"), "uid:1", 1, true, ""},
		{"another, by now asked for alone", yes("uid:2"), "uid:1", 1, true, ""},
		{"two of three", yes("uid:2"), "uid:1", 3, false, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			done, err := Enough(r.before, r.by, r.needs)
			if done != r.done || (err == nil) != (r.err == "") || err != nil && !strings.Contains(err.Error(), r.err) {
				t.Errorf("Enough = %v, %v; want %v, %q", done, err, r.done, r.err)
			}
		})
	}
}

// A yes is about one kill, for a time, and counts once for each person.
func TestRevivals(t *testing.T) {
	var r Revivals
	now := time.Unix(100000, 0)
	k := Kill{Target: Target{Server: "files"}, When: now.Add(-time.Minute)}
	again, other := k, Kill{Target: Target{Label: "a=b"}, When: k.When}
	again.When = now
	r.Add(k, Yes{Who: "uid:1", Why: "first", At: now})
	r.Add(k, Yes{Who: "uid:1", Why: "second", At: now})
	r.Add(other, Yes{Who: "uid:3", At: now})
	for _, one := range []struct {
		name string
		of   Kill
		at   time.Time
		want string
	}{
		{"now", k, now, "uid:1"},
		{"just in time", k, now.Add(ReviveLife - 1), "uid:1"},
		{"too late", k, now.Add(ReviveLife), ""},
		{"the clock went back", k, now.Add(-time.Second), ""},
		{"a later kill of the same target", again, now, ""},
		{"another target", other, now, "uid:3"},
	} {
		if got := Names(r.Of(one.of, one.at)); got != one.want {
			t.Errorf("%s: %q, want %q", one.name, got, one.want)
		}
	}
	if got := r.Of(k, now); got[0].Why != "second" {
		t.Errorf("it keeps %q", got[0].Why)
	}
	r.Add(again, Yes{Who: "uid:2", At: now})
	if got := Names(r.Of(again, now)); got != "uid:2" {
		t.Errorf("after a later kill: %q, want only what was said of it", got)
	}
	r.Forget(k.Target)
	if got := r.Of(again, now); got != nil {
		t.Errorf("forgotten: %v", got)
	}
}
