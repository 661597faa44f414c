package approval

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
)

func TestMay(t *testing.T) {
	const asker, other, third = "uid:1", "uid:2", "uid:3"
	list := []mcprun.Principal{asker, other}
	for _, r := range []struct {
		name  string
		rules Rules
		yes   []mcprun.Principal
		by    mcprun.Principal
		proof Proof
		why   string // "" if they may
		hint  string
	}{
		{"another operator", DefaultRules(), nil, other, Unproven, "", ""},
		{"the zero value", Rules{}, nil, other, ByCode, "lets nobody", "policy.yaml"},
		{"an empty list", Rules{Needs: 1, Approvers: []mcprun.Principal{}}, nil, other, ByCode, "lets nobody", "policy.yaml"},
		{"nobody", DefaultRules(), nil, "", ByCode, "nobody is named", ""},
		{"the one who made the call", DefaultRules(), nil, asker, Unproven, "may be an agent", "mcprun approvals enroll"},
		{"the same with a code", DefaultRules(), nil, asker, ByCode, "", ""},
		{"proof is asked for and missing", Rules{Needs: 1, Proof: true}, nil, other, Unproven, "proof that a human is there", "--code"},
		{"proof is asked for and there", Rules{Needs: 1, Proof: true}, nil, other, ByCode, "", ""},
		{"four eyes", Rules{Needs: 1, FourEyes: true}, nil, asker, ByCode, "somebody else's eyes", "another"},
		{"four eyes, another", Rules{Needs: 1, FourEyes: true}, nil, other, Unproven, "", ""},
		{"four eyes name the others", Rules{Needs: 1, FourEyes: true, Approvers: list}, nil, asker, ByCode, "somebody else's eyes", ": uid:2"},
		{"one of the approvers", Rules{Needs: 1, Approvers: list}, nil, other, Unproven, "", ""},
		{"an approver's own call", Rules{Needs: 1, Approvers: list}, nil, asker, Unproven, "may be an agent", ""},
		{"none of the approvers", Rules{Needs: 1, Approvers: list}, nil, third, ByCode, "not one of those", "uid:1, uid:2"},
		{"root is none of the approvers", Rules{Needs: 1, Approvers: list}, nil, "uid:0", ByCode, "not one of those", ""},
		{"twice the same", Rules{Needs: 2}, []mcprun.Principal{other}, other, ByCode, "said yes already", "another"},
		{"a second one", Rules{Needs: 2}, []mcprun.Principal{other}, third, Unproven, "", ""},
	} {
		i := item("x")
		i.ID, i.Yes = "a-1", r.yes
		err := May(r.rules, i, r.by, r.proof)
		var e *mcprun.Error
		switch {
		case r.why == "" && err != nil:
			t.Errorf("%s: %v", r.name, err)
		case r.why == "":
		case !errors.As(err, &e) || e.Class != mcprun.Denied || !strings.Contains(e.Why, r.why) || e.Hint == "" || !strings.Contains(e.Hint, r.hint):
			t.Errorf("%s: %v (hint %q), want %q with hint %q", r.name, err, hintOf(err), r.why, r.hint)
		}
	}
}

func hintOf(err error) string {
	var e *mcprun.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Hint
}

// A yes more, by another person: only then it goes through. One no ends it.
func TestTwoApprovers(t *testing.T) {
	d, r, _ := desk()
	d.Rules = func() Rules { return Rules{Needs: 2} }
	i := ask(t, d, "x")
	half := say(t, d, i.ID, true, "uid:2")
	if half.State != Waiting || len(half.Yes) != 1 || take(t, d, i.Binding) {
		t.Fatalf("after one of two: %v, %v", half.State, half.Yes)
	}
	if _, err := d.Decide(i.ID, true, "uid:2", ByCode, ""); err == nil || !strings.Contains(err.Error(), "said yes already") {
		t.Errorf("the same person again: %v", err)
	}
	whole := say(t, d, i.ID, true, "uid:3")
	if whole.State != Approved || whole.By != "uid:2, uid:3" || len(half.Yes) != 1 {
		t.Errorf("after two: %v by %q", whole.State, whole.By)
	}
	if !take(t, d, i.Binding) || take(t, d, i.Binding) {
		t.Error("it is not good exactly once")
	}
	j := ask(t, d, "y")
	say(t, d, j.ID, true, "uid:2")
	if no := say(t, d, j.ID, false, "uid:2"); no.State != Denied {
		t.Errorf("one who said yes and then no: %v", no.State)
	}
	if _, err := d.Decide(j.ID, true, "uid:3", ByCode, ""); !errors.Is(err, ErrOver) {
		t.Errorf("a yes after a no: %v", err)
	}
	var said []string
	for _, rec := range r.all {
		if rec.Type == audit.TypeApproval {
			said = append(said, rec.Detail[detailYes])
		}
	}
	if got := strings.Join(said, ";"); got != "1 of 2;2 of 2;1 of 2;" {
		t.Errorf("the record says %q", got)
	}
}

func say(t *testing.T, d *Desk, id string, yes bool, by mcprun.Principal) Item {
	t.Helper()
	i, err := d.Decide(id, yes, by, Unproven, "")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// What a tool asks for and what the operator asks for: the more of the two, also when
// the operator asks for more while the call waits, and not less for asking for less.
func TestNeedsOnlyGrow(t *testing.T) {
	d, _, _ := desk()
	now := DefaultRules()
	d.Rules = func() Rules { return now }
	one := item("tool asks for two")
	one.Needs = 2
	i, err := d.Ask(one)
	if err != nil || i.Needs != 2 {
		t.Fatalf("%d, %v", i.Needs, err)
	}
	if say(t, d, i.ID, true, "uid:2").State != Waiting || say(t, d, i.ID, true, "uid:3").State != Approved {
		t.Error("what the tool asks for does not count")
	}
	j := ask(t, d, "raised meanwhile")
	now.Needs = 2
	if got := say(t, d, j.ID, true, "uid:2"); got.State != Waiting {
		t.Errorf("one is enough though two are asked for by now: %v", got.State)
	}
	now.Needs = 1
	if say(t, d, j.ID, true, "uid:3").State != Approved {
		t.Error("two are not enough")
	}
	k := ask(t, d, "the same call, of a tool that asks for more by now")
	again := item("the same call, of a tool that asks for more by now")
	again.Needs = 2
	if got, err := d.Ask(again); err != nil || got.ID != k.ID || got.Needs != 2 {
		t.Errorf("asked again: %+v, %v", got, err)
	}
	if say(t, d, k.ID, true, "uid:2").State != Waiting {
		t.Error("one is enough")
	}
}

// Whoever races with themselves is still one person.
func TestOnePersonManyTimes(t *testing.T) {
	d, _, _ := desk()
	d.Rules = func() Rules { return Rules{Needs: 2} }
	i := ask(t, d, "x")
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { d.Decide(i.ID, true, "uid:2", ByCode, "") })
	}
	all.Wait()
	if got, _ := d.Get(i.ID); got.State != Waiting || len(got.Yes) != 1 {
		t.Errorf("%v, %v", got.State, got.Yes)
	}
}

// A crash between two approvals: the first is not lost, and not counted twice. A
// record of before there were two approvers is one that needs one.
func TestTwoApproversOverACrash(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	rules := Rules{Needs: 2}
	life := func(f func(d *Desk)) {
		log, err := audit.Open(filepath.Join(dir, "log"), audit.Options{KeyDir: filepath.Join(dir, "key"), Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		d := New(log, c.now)
		d.Rules = func() Rules { return rules }
		if err := audit.Since(filepath.Join(dir, "log"), c.now().Add(-Life), func(e audit.Entry) error { d.Restore(&e.Record); return nil }); err != nil {
			t.Fatal(err)
		}
		f(d)
	}
	var i, raised Item
	life(func(d *Desk) {
		i = ask(t, d, "x")
		say(t, d, i.ID, true, "uid:2")
		rules.Needs = 1
		raised = ask(t, d, "y")
		rules.Needs = 2
		say(t, d, raised.ID, true, "uid:2")
	})
	rules.Needs = 1 // what was asked for then counts still
	for _, id := range []string{i.ID, raised.ID} {
		life(func(d *Desk) {
			if got, err := d.Get(id); err != nil || got.State != Waiting || len(got.Yes) != 1 || got.Needs != 2 {
				t.Fatalf("after the crash: %+v, %v", got, err)
			}
			if _, err := d.Decide(id, true, "uid:2", ByCode, ""); err == nil {
				t.Error("the same person counts again after the crash")
			}
			say(t, d, id, true, "uid:3")
		})
		life(func(d *Desk) {
			if got, _ := d.Get(id); got.State != Approved || !take(t, d, got.Binding) {
				t.Errorf("after the second crash: %v", got.State)
			}
		})
	}
	d, _, _ := desk()
	d.Restore(&audit.Record{Type: audit.TypePending, Principal: "uid:1", Server: "files", Tool: "write", Time: c.now(), Detail: map[string]string{detailID: "a-old", detailUntil: "2100-01-01T00:00:00Z"}})
	d.Restore(&audit.Record{Type: audit.TypeApproval, Verdict: mcprun.Allow, Who: "uid:2", Detail: map[string]string{detailID: "a-old"}})
	if got, _ := d.Get("a-old"); got.State != Approved || got.By != "uid:2" {
		t.Errorf("of an older record: %+v", got)
	}
}
