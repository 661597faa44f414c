package egress

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

// limited is a way out whose rules, for hosts of their own, have the limits.
func limited(t testing.TB, limits ...netpolicy.Limits) *ruleSet {
	t.Helper()
	var rules []netpolicy.Rule
	for i, l := range limits {
		host, err := netpolicy.ParsePattern(string(rune('a'+i)) + ".example.com")
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, netpolicy.Rule{Host: host, Port: 443, Protocol: netpolicy.TLS, Limits: l})
	}
	p, err := netpolicy.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return (&Way{}).newRules(p, nil)
}

// crowd runs f from 64 goroutines at once.
func crowd(f func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 64 {
		wg.Go(func() { <-start; f() })
	}
	close(start)
	wg.Wait()
}

// However many connect at once, no more are open than the rule says, and what
// ended makes room.
func TestConnectionsAreBounded(t *testing.T) {
	const most = 8
	rules := limited(t, netpolicy.Limits{Connections: most, PerMinute: 1 << 30})
	var open, peak, admitted atomic.Int64
	crowd(func() {
		for range 2000 {
			if _, ok := rules.admit([]int{0}); !ok {
				continue
			}
			admitted.Add(1)
			n := open.Add(1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			open.Add(-1)
			rules.limits[0].open.Add(-1) // as conn.end does
		}
	})
	if peak.Load() > most || admitted.Load() == 0 {
		t.Errorf("%d were open at once, at most %d; %d admitted", peak.Load(), most, admitted.Load())
	}
	for i := range most + 1 {
		if _, ok := rules.admit([]int{0}); ok != (i < most) {
			t.Errorf("connection %d afterwards: %v, want the first %d", i+1, ok, most)
		}
	}
}

// A rate is a budget that fills again with time; what it refuses does not count as
// open.
func TestRateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := limited(t, netpolicy.Limits{PerMinute: 60})
		var admitted atomic.Int64
		crowd(func() {
			for range 10 {
				if _, ok := rules.admit([]int{0}); ok {
					admitted.Add(1)
				}
			}
		})
		if n := admitted.Load(); n != 60 {
			t.Errorf("%d connections at once, want 60", n)
		}
		if n := rules.limits[0].open.Load(); n != 60 {
			t.Errorf("%d count as open, want the 60 that were admitted", n)
		}
		for i := range 3 {
			time.Sleep(time.Second)
			if _, ok := rules.admit([]int{0}); !ok {
				t.Errorf("second %d: no connection more", i+1)
			}
			if _, ok := rules.admit([]int{0}); ok {
				t.Errorf("second %d: two connections more", i+1)
			}
		}
	})
}

// A rule without room leaves a connection to the next that allows it, and one that
// has room pays.
func TestTheNextRulePays(t *testing.T) {
	rules := limited(t, netpolicy.Limits{Connections: 1}, netpolicy.Limits{PerMinute: 1}, netpolicy.Limits{})
	for i, want := range []int{0, 1, 2, 2} {
		if got, ok := rules.admit([]int{0, 1, 2}); got != want || !ok {
			t.Errorf("connection %d: rule %d, %v; want %d", i+1, got, ok, want)
		}
	}
	if got, ok := rules.admit([]int{0, 1}); ok {
		t.Errorf("rule %d pays, and none has room", got)
	}
	if _, ok := rules.admit(nil); ok {
		t.Error("admitted by no rule")
	}
}

// However many carry at once, no byte more is carried than the rule says.
func TestBytesAreBounded(t *testing.T) {
	const budget = 100_003
	for name, take := range map[string]func(*ruleLimits) int64{
		"spend": func(l *ruleLimits) int64 {
			if l.spend(7) {
				return 7
			}
			return 0
		},
		"reserve all and give half back": func(l *ruleLimits) int64 {
			n := l.reserve(100)
			l.giveBack(n / 2)
			return n - n/2
		},
	} {
		l := limited(t, netpolicy.Limits{Bytes: budget}).limits[0]
		var carried atomic.Int64
		crowd(func() {
			for range 2000 {
				carried.Add(take(l))
			}
		})
		if n := carried.Load(); n > budget || n+l.bytes.Load() != budget {
			t.Errorf("%s: %d bytes were carried and %d are left of %d", name, n, l.bytes.Load(), budget)
		}
	}
}

// What is there to be carried is carried whole or not at all.
func TestSpend(t *testing.T) {
	l := limited(t, netpolicy.Limits{Bytes: 10}).limits[0]
	for _, row := range []struct {
		n    int64
		ok   bool
		left int64
	}{{4, true, 6}, {7, false, 6}, {6, true, 0}, {1, false, 0}, {0, true, 0}} {
		if ok := l.spend(row.n); ok != row.ok || l.bytes.Load() != row.left {
			t.Errorf("spending %d: %v, %d left; want %v, %d", row.n, ok, l.bytes.Load(), row.ok, row.left)
		}
	}
	free := limited(t, netpolicy.Limits{}).limits[0]
	if !free.spend(1<<40) || free.reserve(1<<40) != 1<<40 {
		t.Error("a rule without a budget has one")
	}
}
