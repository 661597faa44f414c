package limits

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func most(n int64) *int64 { return &n }

// one is a call that uses a call and nothing else.
func one(id string) Asked {
	return Asked{ID: mcprun.CallID(id), Server: "files", Tool: "read", Principal: "uid:1", Session: "s", What: id, Want: Use{Calls: 1}, Least: Use{Calls: 1}}
}

func TestNothingIsAllowedBeforeThereAreLimits(t *testing.T) {
	l := New()
	if _, _, r := l.Enter(one("a"), noon); r == nil || r.Rule != RuleUnset {
		t.Fatalf("without limits: %v", r)
	}
	l.Set("files", Limits{}, noon)
	if _, _, r := l.Enter(one("a"), noon); r != nil {
		t.Fatalf("with limits that limit nothing: %v", r)
	}
	for name, set := range map[string]Set{
		"rate": {Rate: &Rate{}}, "repeats": {Repeats: new(int64)}, "budget": {Budgets: []Budget{{}}}, "concurrency": {Concurrency: new(int64)},
	} {
		l := New()
		l.Set("files", Limits{Server: set}, noon)
		if _, _, r := l.Enter(one("a"), noon); r == nil {
			t.Errorf("a %s that is there and zero allows a call", name)
		}
	}
}

func TestRate(t *testing.T) {
	l := New()
	l.Set("files", Limits{Server: Set{Rate: &Rate{Calls: 60, Per: time.Minute, Burst: 2}}}, noon)
	enter := func(id string, now time.Time) *Refusal {
		ticket, _, r := l.Enter(one(id), now)
		if ticket != nil {
			ticket.Settle(Use{}, now)
		}
		return r
	}
	for _, id := range []string{"a", "b"} {
		if r := enter(id, noon); r != nil {
			t.Fatalf("within the burst: %v", r)
		}
	}
	r := enter("c", noon)
	if r == nil || r.Rule != RuleRate || r.Frees.Sub(noon) != time.Second {
		t.Fatalf("over the burst: %+v", r)
	}
	if r := enter("d", noon.Add(999*time.Millisecond)); r == nil {
		t.Error("allowed before it was free")
	}
	if r := enter("e", r.Frees); r != nil {
		t.Errorf("refused when it was to be free: %v", r)
	}
	if r := enter("f", noon.Add(-time.Hour)); r == nil {
		t.Error("a clock that goes back gives calls back")
	}
}

func TestBudget(t *testing.T) {
	l := New()
	l.Set("files", Limits{Server: Set{Budgets: []Budget{{Results, Day, 100}, {Calls, Hour, 3}}}}, noon)
	ask := func(id string) Asked {
		a := one(id)
		a.Want[Results], a.Least[Results] = 60, 10
		return a
	}
	a, _, r := l.Enter(ask("a"), noon)
	if r != nil || a.Granted()[Results] != 60 {
		t.Fatalf("the first: %v, %v", a, r)
	}
	b, _, r := l.Enter(ask("b"), noon)
	if r != nil || b.Granted()[Results] != 40 {
		t.Fatalf("the second gets what is left: %v, %v", b, r)
	}
	if _, _, r = l.Enter(ask("c"), noon); r == nil || r.Unit != Results || !r.Frees.Equal(noon.Add(12*time.Hour)) {
		t.Fatalf("all is set aside: %+v", r)
	}
	a.Settle(Use{Results: 20}, noon)
	a.Settle(Use{}, noon) // twice counts once
	b.Cancel(noon)
	c, _, r := l.Enter(ask("c"), noon)
	if r != nil || c.Granted()[Results] != 60 {
		t.Fatalf("what was not used is there again: %+v, %v", c, r)
	}
	d, _, r := l.Enter(ask("d"), noon)
	if r != nil || d.Granted()[Results] != 20 {
		t.Fatalf("20 are left: %+v, %v", d, r)
	}
	// Three calls began within the hour; that results would be free tomorrow does not matter.
	d.Settle(Use{}, noon)
	if _, _, r = l.Enter(ask("e"), noon); r == nil || r.Unit != Calls || !r.Frees.Equal(noon.Add(time.Hour)) {
		t.Fatalf("the calls are used up: %+v", r)
	}
	// c began in the hour that ends; it does not take from the next one.
	c.Settle(Use{Results: 60}, noon.Add(time.Hour))
	if e, _, r := l.Enter(ask("e"), noon.Add(time.Hour)); r != nil || e.Granted()[Results] != 20 {
		t.Fatalf("in the next hour: %+v, %v", e, r)
	}
	l.Reset("files", "")
	if f, _, r := l.Enter(ask("f"), noon.Add(time.Hour)); r != nil || f.Granted()[Results] != 60 {
		t.Fatalf("after a reset: %+v, %v", f, r)
	}
	if g, _, r := l.Enter(ask("g"), noon.Add(time.Hour)); r != nil || g.Granted()[Results] != 20 {
		t.Fatalf("a reset does not forget what is at work: %+v, %v", g, r)
	}
}

func TestRepeats(t *testing.T) {
	l := New()
	l.Set("files", Limits{Session: Set{Repeats: most(2)}}, noon)
	enter := func(what string, now time.Time) *Refusal {
		a := one(fmt.Sprint(what, now.UnixNano(), rand.Int64()))
		a.What = what
		ticket, _, r := l.Enter(a, now)
		if ticket != nil {
			ticket.Settle(Use{}, now)
		}
		return r
	}
	for i, c := range []struct {
		what string
		ok   bool
	}{{"x", true}, {"x", true}, {"x", false}, {"x", false}, {"y", true}, {"x", true}, {"x", true}, {"x", false}} {
		if r := enter(c.what, noon); (r == nil) != c.ok {
			t.Errorf("call %d, %s: %v", i, c.what, r)
		}
	}
	if r := enter("x", noon.Add(streakLife+1)); r != nil {
		t.Errorf("much later: %v", r)
	}
}

func TestQueue(t *testing.T) {
	l := New()
	l.Set("files", Limits{Server: Set{Concurrency: most(1)}, Queue: 3}, noon)
	ask := func(session, id string) Asked {
		a := one(id)
		a.Session = session
		return a
	}
	first, _, _ := l.Enter(ask("a", "a0"), noon)
	var waiting []*Waiter
	for _, id := range []string{"a1", "a2", "a3"} {
		_, w, r := l.Enter(ask("a", id), noon)
		if r != nil {
			t.Fatal(r)
		}
		waiting = append(waiting, w)
	}
	if _, _, r := l.Enter(ask("a", "a4"), noon); r == nil || r.Rule != RuleConcurrency {
		t.Fatalf("a queue that is full of the client's own: %v", r)
	}
	// Another client is not kept out by the one that fills the queue, and is next but one.
	_, b, r := l.Enter(ask("b", "b1"), noon)
	if r != nil {
		t.Fatal(r)
	}
	if o := <-waiting[2].C; o.Refusal == nil {
		t.Fatal("the last of the client with most stays")
	}
	first.Settle(Use{}, noon)
	a1 := (<-waiting[0].C).Ticket
	a1.Settle(Use{}, noon)
	b1 := (<-b.C).Ticket
	if b1 == nil {
		t.Fatal("b was not let in")
	}
	if r := waiting[1].Leave(noon); r == nil {
		t.Fatal("leaving says nothing")
	}
	b1.Settle(Use{}, noon)
	if len(l.waiting) != 0 || len(l.open) != 0 {
		t.Errorf("left: %v, %v", l.waiting, l.open)
	}
}

// What was used is there again in a next life, with calls that were at work charged
// for all that was set aside.
func TestAnotherLife(t *testing.T) {
	limits := Limits{Server: Set{Budgets: []Budget{{Cost, Day, 100}}}}
	l := New()
	l.Set("files", limits, noon)
	ask := func(id string) Asked {
		a := one(id)
		a.Want[Cost], a.Least[Cost] = 10, 10
		return a
	}
	var tickets []*Ticket
	for _, id := range []string{"a", "b", "c"} {
		ticket, _, r := l.Enter(ask(id), noon)
		if r != nil {
			t.Fatal(r)
		}
		tickets = append(tickets, ticket)
	}
	tickets[0].Settle(Use{Cost: 4}, noon)
	raw, err := l.Save(func() (uint64, time.Time) { return 7, noon })
	if err != nil {
		t.Fatal(err)
	}
	next := New()
	next.Set("files", limits, noon)
	if seq, _, err := next.Load(raw); err != nil || seq != 7 {
		t.Fatal(seq, err)
	}
	next.Began(ask("b"), Use{Calls: 1, Cost: 10}, noon) // in the state already
	next.Ended("a", Use{Cost: 4}, noon)                 // over already
	next.Ended("b", Use{Cost: 1}, noon)
	next.Began(ask("d"), Use{Calls: 1, Cost: 10}, noon)
	if n := next.Abandon(noon); n != 2 {
		t.Errorf("%d were at work, want c and d", n)
	}
	for _, r := range next.Rows(noon) {
		if r.Used != 4+1+10+10 {
			t.Errorf("used %d, want 25", r.Used)
		}
	}
}

// Two million calls of 64 clients against every kind of limit at once. The clients
// keep their own books, from what they were told and did; the clock stands still
// within a round, so that the books are exact.
func TestModel(t *testing.T) {
	const clients, rounds, each = 64, 500, 64
	m := newModel(clients)
	l := New()
	limits := Limits{
		Server:    Set{Rate: &Rate{Calls: 4000, Per: time.Second, Burst: 5000}, Concurrency: most(24), Budgets: []Budget{{Calls, Hour, 900_000}, {Results, Day, 9_000_000}}},
		Tools:     map[mcprun.ToolName]Set{"t0": {Concurrency: most(5), Rate: &Rate{Calls: 500, Per: time.Second, Burst: 700}, Budgets: []Budget{{Cost, Hour, 200_000}, {High, Day, 40_000}}}},
		Principal: Set{Concurrency: most(9), Budgets: []Budget{{Wall, Hour, 5_000_000}}},
		Session:   Set{Concurrency: most(2), Repeats: most(3)},
		Queue:     16,
	}
	common := Common{All: Set{Concurrency: most(30), Rate: &Rate{Calls: 9000, Per: time.Second, Burst: 9000}}, Principal: Set{Concurrency: most(14), Budgets: []Budget{{Calls, Month, 1_500_000}}}}
	l.SetCommon(common, noon)
	l.Set("s0", limits, noon)
	l.Set("s1", limits, noon)
	now := noon
	steps := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() { m.client(l, client, round, each, now) })
		}
		all.Wait()
		m.round(t, now, limits, common)
		if round%50 == 49 {
			now = now.Add(time.Duration(steps.IntN(90)) * time.Minute)
		} else {
			now = now.Add(time.Duration(steps.IntN(2000)) * time.Millisecond)
		}
	}
	if m.calls.Load() != clients*rounds*each {
		t.Errorf("%d calls", m.calls.Load())
	}
	if len(l.open) != 0 || len(l.waiting) != 0 {
		t.Errorf("left at work: %d, waiting: %d", len(l.open), len(l.waiting))
	}
	for scope, c := range l.counters {
		if c.active != 0 {
			t.Errorf("%s: %d at work", scope, c.active)
		}
	}
	for _, rule := range []string{RuleRate, RuleConcurrency, RuleRepeats, RuleBudget} {
		if n, ok := m.refused.Load(rule); !ok || n.(*atomic.Int64).Load() == 0 {
			t.Errorf("%s never refused a call: it was not tried", rule)
		}
	}
	if m.waited.Load() == 0 || m.peak.Load() != 30 {
		t.Errorf("%d waited, %d at the same time; want some and 30", m.waited.Load(), m.peak.Load())
	}
	t.Logf("%d calls, %d went ahead, %d waited", m.calls.Load(), m.ahead.Load(), m.waited.Load())
}

// model are the books of the clients.
type model struct {
	calls, ahead, waited, peak atomic.Int64
	refused                    sync.Map // rule → *atomic.Int64

	mu     sync.Mutex
	gauges map[Scope]*gauge
	broken []string
}

type gauge struct {
	active, max int64
	began       int64 // in this round
	used        Use   // in this round
	windows     [periods]window
	level       float64 // the largest excess of the calls over the rate, as a bucket that fills
	last        time.Time
}

func newModel(int) *model { return &model{gauges: map[Scope]*gauge{}} }

func (m *model) client(l *Limiter, client, round, each int, now time.Time) {
	r := rand.New(rand.NewPCG(uint64(client), uint64(round)))
	for n := range each {
		m.calls.Add(1)
		a := Asked{
			ID: mcprun.CallID(fmt.Sprint(client, "-", round, "-", n)), Server: mcprun.ServerName(fmt.Sprint("s", r.IntN(2))), Tool: mcprun.ToolName(fmt.Sprint("t", r.IntN(3))),
			Principal: mcprun.Principal(fmt.Sprint("uid:", client%4)), Session: fmt.Sprint("c", client), What: fmt.Sprint(r.IntN(2)),
			Want: Use{Calls: 1, Cost: 20, Results: 100, Wall: 50}, Least: Use{Calls: 1, Cost: 20, Results: 10, Wall: 50},
		}
		if r.IntN(3) == 0 {
			a.Want[High], a.Least[High] = 1, 1
		}
		ticket, w, refusal := l.Enter(a, now)
		if w != nil {
			m.waited.Add(1)
			ticket, refusal = wait(w, r, now)
		}
		if refusal != nil {
			v, _ := m.refused.LoadOrStore(refusal.Rule, new(atomic.Int64))
			v.(*atomic.Int64).Add(1)
			continue
		}
		m.ahead.Add(1)
		m.enter(&a)
		for range r.IntN(4) {
			runtime.Gosched()
		}
		if r.IntN(20) == 0 {
			m.leave(&a, Use{})
			ticket.Cancel(now)
			continue
		}
		used := Use{Calls: 1, High: a.Want[High], Cost: r.Int64N(ticket.Granted()[Cost] + 1), Results: r.Int64N(ticket.Granted()[Results] + 1), Wall: r.Int64N(51)}
		m.leave(&a, used)
		ticket.Settle(used, now)
	}
}

func wait(w *Waiter, r *rand.Rand, now time.Time) (*Ticket, *Refusal) {
	if r.IntN(8) == 0 {
		return nil, w.Leave(now)
	}
	o := <-w.C
	return o.Ticket, o.Refusal
}

func (m *model) enter(a *Asked) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, scope := range a.scopes() {
		g := m.gauges[scope]
		if g == nil {
			g = new(gauge)
			m.gauges[scope] = g
		}
		g.active++
		g.began++
		g.max = max(g.max, g.active)
		if scope == (Scope{}) && g.max > m.peak.Load() {
			m.peak.Store(g.max)
		}
	}
}

func (m *model) leave(a *Asked, used Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, scope := range a.scopes() {
		g := m.gauges[scope]
		g.active--
		for u, n := range used {
			g.used[u] += n
		}
	}
}

// round holds the books of a round against the limits.
func (m *model) round(t *testing.T, now time.Time, limits Limits, common Common) {
	t.Helper()
	for scope, g := range m.gauges {
		set := common.All
		switch {
		case scope.Tool != "":
			set = limits.Tools[scope.Tool]
		case scope.Session != "":
			set = limits.Session
		case scope.Server != "" && scope.Principal != "":
			set = limits.Principal
		case scope.Server != "":
			set = limits.Server
		case scope.Principal != "":
			set = common.Principal
		}
		if set.Concurrency != nil && g.max > *set.Concurrency {
			t.Fatalf("%s: %d at the same time, of %d", scope, g.max, *set.Concurrency)
		}
		if set.Rate != nil {
			g.level = max(0, g.level-now.Sub(g.last).Seconds()*float64(set.Rate.Calls)/set.Rate.Per.Seconds()) + float64(g.began)
			if g.level > float64(set.Rate.Burst)+1e-6 {
				t.Fatalf("%s: the bucket of its rate holds %f, of %d", scope, g.level, set.Rate.Burst)
			}
		}
		for _, b := range set.Budgets {
			w := g.windows[b.Period].at(b.Period, now)
			w.used[b.Unit] += g.used[b.Unit]
			if w.used[b.Unit] > b.Max {
				t.Fatalf("%s: %d of %s in a %s, of %d", scope, w.used[b.Unit], b.Unit, b.Period, b.Max)
			}
		}
		g.began, g.used, g.last = 0, Use{}, now
	}
}
