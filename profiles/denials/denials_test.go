package denials

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What is recorded adds up to what was counted, whatever comes when; and a server that
// tries without end writes few records.
func TestNothingIsLost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var l Log
		now := start
		counted, recorded, records := map[Kind]int64{}, map[Kind]int64{}, 0
		for range 20000 {
			now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
			k := Kind{Call: fmt.Sprint("call", rnd.IntN(5))}
			counted[k]++
			e, n := l.Add(k, now, nil, Entry{Rule: "r"})
			if n > 0 {
				recorded[e.Kind] += n
				records++
			}
		}
		for _, d := range l.Flush(now) {
			recorded[d.Kind] += d.Times
		}
		for k, n := range counted {
			if recorded[k] != n {
				t.Fatalf("%v: %d recorded of %d", k, recorded[k], n)
			}
		}
		if len(l.Flush(now)) != 0 {
			t.Error("a second flush has more")
		}
		// 20000 steps are some 33 minutes: a record each at 0, 10, 30, 70, 150, 310, 630 s and then every 600 s.
		if most := 5 * 10; records > most {
			t.Errorf("%d records, at most %d", records, most)
		}
	}
}

// A server that makes up arguments, and calls, costs bounded memory, and is counted to the
// last call.
func TestKindsAreBounded(t *testing.T) {
	var l Log
	const tries = 10 * MaxKinds
	for i := range tries {
		l.Add(Kind{Call: "socket", Args: fmt.Sprint(i)}, start, nil, Entry{Rule: profiles.RuleArgument})
		l.Add(Kind{Call: fmt.Sprint("call ", 1000+i)}, start, nil, Entry{Rule: profiles.RuleUnnamed})
	}
	all := l.All()
	var count int64
	for _, e := range all {
		count += e.Count
	}
	if len(all) != MaxKinds+2 || count != 2*tries {
		t.Errorf("%d kinds, %d calls", len(all), count)
	}
}

// A server once could make up 256 kinds of harmless calls, and whatever it tried after them
// was one number more among "others": in no record, and in no rule that kills for it.
func TestNothingHidesBehindMadeUpKinds(t *testing.T) {
	var l Log
	for i := range 2 * MaxKinds {
		l.Add(Kind{Call: "prctl", Args: fmt.Sprint(i)}, start, nil, Entry{Rule: profiles.RuleArgument})
		l.Add(Kind{Call: "socket", Args: fmt.Sprint(i)}, start, nil, Entry{Rule: profiles.RuleArgument})
	}
	for _, call := range []string{"ptrace", "socket"} { // the socket is one of AF_ALG
		k := Kind{Call: call, Args: "x", Program: "/server"}
		if l.Known(k) {
			t.Errorf("%s counts as known", call)
		}
		e, n := l.Add(k, start, []mcprun.ToolName{"t"}, Entry{Rule: profiles.RuleNever, Why: "never"})
		if n != 1 || e.Call != call || e.Rule != profiles.RuleNever || e.Why != "never" {
			t.Errorf("%s: %+v, %d to be recorded", call, e, n)
		}
	}
}

func TestFirstDescribesAndToolsAdd(t *testing.T) {
	var l Log
	k := Kind{Call: "sync", Program: "/server"}
	if l.Known(k) {
		t.Error("known before it came")
	}
	e, n := l.Add(k, start, []mcprun.ToolName{"a"}, Entry{Why: "first"})
	if n != 1 || e.Why != "first" || e.Kind != k || e.Count != 1 || !l.Known(k) {
		t.Errorf("%+v, %d", e, n)
	}
	if _, n := l.Add(k, start.Add(time.Second), []mcprun.ToolName{"b", "a"}, Entry{Why: "second"}); n != 0 {
		t.Errorf("a repeat at once is recorded %d times", n)
	}
	e, n = l.Add(k, start.Add(recordAfter), nil, Entry{})
	if n != 2 || e.Why != "first" || len(e.Tools) != 2 || e.Count != 3 {
		t.Errorf("%+v, %d", e, n)
	}
}
