package detect

import (
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

const recalledReason = "credential.misuse was seen 3 times within 1m, a kill rule of policy.yaml"

// What an earlier life saw counts, and kills by nothing of its own.
func TestRecall(t *testing.T) {
	rule := Rule{After: CredentialMisuse, Times: 3, Within: time.Minute, Level: Server, CoolDown: 30 * time.Second}
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	saw := func(seconds ...int) func(*Recall) {
		return func(r *Recall) {
			for _, s := range seconds {
				r.Saw(misuse("a"), at(s))
			}
		}
	}
	killed := limits.Target{Server: "a"}
	for _, row := range []struct {
		name string
		past func(*Recall)
		now  int
		want bool // that the next one, at now, kills
	}{
		{"nothing", saw(), 30, false},
		{"one is too few", saw(10), 30, false},
		{"two and the next", saw(10, 20), 30, true},
		{"as many as kill, without a kill: the crash came first", saw(10, 20, 25), 30, true},
		{"more than kill, of which all but one are too old for the next", saw(0, 1, 2, 3, 55), 63, false},
		{"too long ago", saw(10, 20), 75, false},
		{"of another", func(r *Recall) { r.Saw(misuse("b"), at(10)); r.Saw(misuse("b"), at(20)) }, 30, false},
		{"killed since, and revived", func(r *Recall) { saw(10, 20)(r); r.Threw(killed, at(21), "by hand"); r.Revived(killed) }, 30, false},
		{"everything killed since, and revived", func(r *Recall) {
			saw(10, 20)(r)
			r.Threw(limits.Target{}, at(21), "by hand")
			r.Revived(limits.Target{})
		}, 30, false},
		{"another killed since", func(r *Recall) { saw(10, 20)(r); r.Threw(limits.Target{Server: "b"}, at(21), "by hand") }, 30, true},
		{"while it was killed", func(r *Recall) { r.Threw(killed, at(5), "by hand"); saw(10, 20)(r); r.Revived(killed) }, 30, false},
		{"revived before", func(r *Recall) { r.Threw(killed, at(5), "by hand"); r.Revived(killed); saw(10, 20)(r) }, 30, true},
		{"a crash came between the record of the kill and its switch", func(r *Recall) {
			saw(10, 20, 25)(r)
			r.Threw(killed, at(25), recalledReason)
		}, 30, true},
		{"the same twice, and revived at last", func(r *Recall) {
			saw(10, 20, 25)(r)
			r.Threw(killed, at(25), recalledReason)
			r.Threw(killed, at(26), recalledReason)
			r.Revived(killed)
		}, 60, false},
		{"it holds still, until it is taken back", func(r *Recall) {
			saw(10, 20, 25)(r)
			r.Threw(killed, at(25), recalledReason)
			r.Holds(killed, at(25), recalledReason)
		}, 30, false},
		{"cooling down", func(r *Recall) {
			saw(1, 2, 3)(r)
			r.Threw(killed, at(3), recalledReason)
			r.Revived(killed)
			saw(10, 20)(r)
		}, 32, false},
		{"cooled down", func(r *Recall) {
			saw(1, 2, 3)(r)
			r.Threw(killed, at(3), recalledReason)
			r.Revived(killed)
			saw(34, 35)(r)
		}, 36, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := board{}
			var w Watch
			w.SetCommon([]Rule{rule})
			r := w.Recall()
			if r.Reach() != time.Minute {
				t.Fatalf("reach %v", r.Reach())
			}
			row.past(r)
			r.Done(at(row.now))
			if hits := b.see(&w, misuse("a"), time.Duration(row.now)*time.Second); len(hits) > 0 != row.want {
				t.Errorf("%v, want a kill: %v", hits, row.want)
			}
		})
	}
}

// A server's own rules, and what goes by its labels, are recalled when it starts; what was
// seen since counts as well.
func TestRecallServer(t *testing.T) {
	byLabel := Rule{After: CredentialMisuse, Times: 4, Within: time.Minute, Level: Label, Label: "team"}
	own := Rule{After: CredentialMisuse, Times: 3, Within: time.Minute, Level: Server}
	labels := []mcprun.Label{"team=x"}
	for _, row := range []struct {
		common, own []Rule
		want        Hit
	}{
		{[]Rule{byLabel}, nil, Hit{Rule: byLabel, Target: limits.Target{Label: "team=x"}, Seen: 4}},
		{nil, []Rule{own}, Hit{Rule: own, Own: true, Target: limits.Target{Server: "a"}, Seen: 3}},
	} {
		b := board{}
		var w Watch
		w.SetCommon(row.common)
		if r := w.Recall(); r.Reach() != 0 {
			t.Errorf("labels and own rules are known: %v", r.Reach())
		}
		w.SetServer("b", nil, labels)
		b.see(&w, misuse("b"), 25*time.Second)
		w.SetServer("a", row.own, labels)
		r := w.RecallServer("a")
		for _, s := range []int{10, 30} {
			r.Saw(misuse("a"), start.Add(time.Duration(s)*time.Second))
			r.Saw(misuse("b"), start.Add(time.Duration(s)*time.Second)) // not of a
		}
		r.Done(start.Add(40 * time.Second))
		if hits := b.see(&w, misuse("c"), 40*time.Second); hits != nil {
			t.Errorf("another: %+v", hits)
		}
		if hits := b.see(&w, misuse("a"), 41*time.Second); len(hits) != 1 || hits[0] != row.want {
			t.Errorf("%+v, want %+v", hits, row.want)
		}
	}
}
