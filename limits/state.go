package limits

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/mcprun/mcprun"
)

// state is what survives the end of the daemon: use by scope and period, and the
// calls that were at work. Clients do not survive it, and neither do rates.
type state struct {
	Seq    uint64    `json:"seq"`  // of the last record that is in it
	Time   time.Time `json:"time"` // of that record
	Scopes []scopeState
	Open   []openState
}

type scopeState struct {
	Scope   Scope
	Windows []windowState
}

type windowState struct {
	From, To time.Time
	Used     Use
}

type openState struct {
	Call    mcprun.CallID
	Asked   Asked
	At      time.Time
	Granted Use
}

// Save writes what was used as JSON. last is asked for the number and the time of the
// last record while nothing can enter or end: of the records up to it, everything is
// counted.
func (l *Limiter) Save(last func() (uint64, time.Time)) ([]byte, error) {
	l.mu.Lock()
	var s state
	s.Seq, s.Time = last()
	for scope, c := range l.counters {
		if scope.Session != "" {
			continue
		}
		one := scopeState{Scope: scope}
		for _, w := range c.windows {
			one.Windows = append(one.Windows, windowState{w.from, w.to, w.used})
		}
		s.Scopes = append(s.Scopes, one)
	}
	for id, t := range l.open {
		s.Open = append(s.Open, openState{id, t.asked, t.at, t.granted})
	}
	l.mu.Unlock()
	return json.Marshal(s)
}

// Load takes over what Save wrote, in a limiter that is new. It returns the number and
// the time of the last record in it: the later ones have to be replayed.
func (l *Limiter) Load(raw []byte) (seq uint64, at time.Time, err error) {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, at, fmt.Errorf("reading what was used: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range s.Scopes {
		if len(one.Windows) != int(periods) {
			return 0, at, fmt.Errorf("reading what was used: %s has %d periods, not %d", one.Scope, len(one.Windows), periods)
		}
		c := l.counter(one.Scope)
		for p, w := range one.Windows {
			c.windows[p] = window{w.From, w.To, w.Used}
		}
	}
	for _, o := range s.Open {
		t := &Ticket{l: l, asked: o.Asked, at: o.At, granted: o.Granted}
		l.open[o.Call] = t
		for _, scope := range t.asked.scopes() {
			if c := l.counter(scope); t.asked.Lease {
				c.leased.add(t.granted, 1)
			} else {
				c.active++
			}
		}
	}
	return s.Seq, s.Time, nil
}

// Began replays that a call went ahead with what was set aside for it. One that is
// known already is counted already.
func (l *Limiter) Began(a Asked, granted Use, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a.ID] != nil {
		return
	}
	l.enter(a, granted, at)
}

// Ended replays that a call ended with what it used.
func (l *Limiter) Ended(id mcprun.CallID, used Use, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.open[id]; t != nil {
		used[Calls], used[High] = t.granted[Calls], t.granted[High]
		t.close(used, now)
	}
}

// Abandon ends all that an earlier life left open: nobody knows what it used, so it
// used what was set aside. It returns how many there were.
func (l *Limiter) Abandon(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.open)
	for _, t := range l.open {
		t.close(t.granted, now)
	}
	for scope := range l.counters {
		if scope.Session != "" {
			delete(l.counters, scope)
		}
	}
	return n
}

// Row is one limit and its use, for people.
type Row struct {
	Scope  Scope
	Kind   string // rate, concurrency, or the unit of a budget
	Limit  int64
	Used   int64
	Period string
	Frees  time.Time // when the period ends; zero for others
	Unit   Unit
}

// LimitText is the limit as people write it.
func (r Row) LimitText() string {
	switch r.Kind {
	case "rate":
		return fmt.Sprintf("%d at once, %s", r.Limit, r.Period)
	case "concurrency":
		return fmt.Sprintf("%d at the same time", r.Limit)
	}
	if r.Period == Hour.String() {
		return r.Unit.Text(r.Limit) + " an hour"
	}
	return r.Unit.Text(r.Limit) + " a " + r.Period
}

// UsedText is what was used, in the same unit.
func (r Row) UsedText() string {
	if r.Kind == "rate" || r.Kind == "concurrency" {
		return fmt.Sprint(r.Used)
	}
	return r.Unit.Text(r.Used)
}

// Share is how much of the limit is used, 1 for all of it.
func (r Row) Share() float64 {
	if r.Limit <= 0 {
		return 1
	}
	return float64(r.Used) / float64(r.Limit)
}

// Rows lists the use of every limit that is set: those of all servers first, then by
// server, each before its tools and those who call it.
func (l *Limiter) Rows(now time.Time) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	for server, limits := range l.servers { // those that nobody has called yet
		l.counter(Scope{Server: server})
		for tool := range limits.Tools {
			l.counter(Scope{Server: server, Tool: tool})
		}
	}
	var out []Row
	for scope, c := range l.counters {
		if set, ok := l.setOf(scope); ok {
			out = append(out, c.rows(scope, set, now)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Scope.Server, b.Scope.Server), cmp.Compare(a.Scope.Session, b.Scope.Session), cmp.Compare(a.Scope.Principal, b.Scope.Principal), cmp.Compare(a.Scope.Tool, b.Scope.Tool))
	})
	return out
}

func (c *counter) rows(scope Scope, set Set, now time.Time) (out []Row) {
	if set.Rate != nil {
		left := int64(c.limiter(*set.Rate, now).TokensAt(now))
		out = append(out, Row{Scope: scope, Kind: "rate", Limit: set.Rate.Burst, Used: max(0, set.Rate.Burst-left), Period: set.Rate.String()})
	}
	if set.Concurrency != nil {
		out = append(out, Row{Scope: scope, Kind: "concurrency", Limit: *set.Concurrency, Used: c.active})
	}
	for _, b := range set.Budgets {
		w := c.windows[b.Period].at(b.Period, now)
		out = append(out, Row{Scope: scope, Kind: b.Unit.String(), Limit: b.Max, Used: w.used[b.Unit], Period: b.Period.String(), Frees: w.to, Unit: b.Unit})
	}
	return out
}

// setOf is what a scope is held to.
func (l *Limiter) setOf(s Scope) (Set, bool) {
	if s.Server == "" {
		if s.Principal == "" {
			return l.common.All, true
		}
		return l.common.Principal, true
	}
	limits, ok := l.servers[s.Server]
	switch {
	case s.Tool != "":
		return limits.Tools[s.Tool], ok
	case s.Principal != "":
		return limits.Principal, ok
	case s.Session != "":
		return limits.Session, ok
	}
	return limits.Server, ok
}

// Reset takes back what a server, or one tool of it, has used in its periods; what is
// at work counts again.
func (l *Limiter) Reset(server mcprun.ServerName, tool mcprun.ToolName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for scope, c := range l.counters {
		if scope.Server == server && (tool == "" || scope.Tool == tool) {
			for p := range c.windows {
				c.windows[p].used = Use{}
			}
			c.bucket = nil
		}
	}
	for _, t := range l.open {
		for _, scope := range t.asked.scopes() {
			if scope.Server == server && (tool == "" || scope.Tool == tool) {
				l.counter(scope).correct(t.granted, t.at)
			}
		}
	}
}
