package denials

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
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

// A server that makes up arguments costs bounded memory, and is counted to the last call.
func TestKindsAreBounded(t *testing.T) {
	var l Log
	const tries = 10 * MaxKinds
	for i := range tries {
		k := Kind{Call: "socket", Args: fmt.Sprint(i)}
		if i > MaxKinds && !l.Known(k) {
			t.Fatal("what is beyond the bound would be looked into each time")
		}
		l.Add(k, start, nil, Entry{})
	}
	all := l.All()
	var count int64
	for _, e := range all {
		count += e.Count
	}
	if len(all) != MaxKinds+1 || count != tries {
		t.Errorf("%d kinds, %d calls", len(all), count)
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
