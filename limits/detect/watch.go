package detect

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// MaxCounters bounds what is counted at once, far above the servers and users of one
// machine: 1024 of them, each with MaxTimes moments, are 24 MiB. Where there are more, the
// one that saw something last the longest ago is forgotten.
const MaxCounters = 1024

// Watch counts what is seen against rules. The zero value has none. All methods may be
// called concurrently.
type Watch struct {
	mu       sync.Mutex
	closed   bool
	holds    bool      // it counts what is past, and no number is reached
	last     time.Time // the clock never goes back here
	common   []Rule
	servers  map[mcprun.ServerName]ofOne
	counters map[counterKey]*counter
}

// ofOne is what is known of one server.
type ofOne struct {
	rules  []Rule
	labels []mcprun.Label
}

// counterKey is what is counted together: by one rule, of whatever it would stop.
type counterKey struct {
	rule   Rule
	own    mcprun.ServerName // whose server.yaml has the rule; "" is policy.yaml
	target limits.Target
}

// counter is how often something was seen in the last while.
type counter struct {
	seen  []moment // the oldest first; their sum is below the rule's Times
	sum   int
	last  time.Time
	until time.Time // nothing counts before
}

type moment struct {
	at time.Time
	n  int
}

// SetCommon replaces the rules that hold for all servers. What was counted for those that
// stay goes on.
func (w *Watch) SetCommon(rules []Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.common = rules
	w.drop()
}

// SetServer replaces the rules of one server's own, which hold beside the common ones, and
// its labels.
func (w *Watch) SetServer(name mcprun.ServerName, rules []Rule, labels []mcprun.Label) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.servers == nil {
		w.servers = make(map[mcprun.ServerName]ofOne)
	}
	w.servers[name] = ofOne{rules, labels}
	w.drop()
}

// Close ends it: no See that comes after finds anything.
func (w *Watch) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// See counts what was seen now. hit is called for each rule whose number is reached, and
// must throw the switch before it returns. stopped says what a switch stops already: that
// is not counted, and begins at zero when it is revived. Both are called while nothing
// else is counted, so that no burst makes two kills, and must not call back.
func (w *Watch) See(e Event, now time.Time, stopped func(limits.Subject) bool, hit func(Hit)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || e.Times <= 0 {
		return
	}
	if now.Before(w.last) {
		now = w.last
	}
	w.last = now
	one := w.servers[e.Server]
	for _, r := range w.common {
		w.count(counterKey{rule: r}, e, one.labels, now, stopped, hit)
	}
	for _, r := range one.rules {
		if r.Level == Tool || r.Level == Server { // more is not its file's to say
			w.count(counterKey{rule: r, own: e.Server}, e, one.labels, now, stopped, hit)
		}
	}
}

func (w *Watch) count(k counterKey, e Event, labels []mcprun.Label, now time.Time, stopped func(limits.Subject) bool, hit func(Hit)) {
	if k.rule.After != e.Name || k.rule.Times <= 0 {
		return
	}
	var ok bool
	if k.target, ok = k.rule.target(e, labels); !ok {
		return
	}
	if stopped(subject(k.target, labels)) {
		if c := w.counters[k]; c != nil {
			c.seen, c.sum = nil, 0
		}
		return
	}
	c := w.counter(k, now)
	if now.Before(c.until) {
		return
	}
	seen := c.add(now, e.Times, k.rule.Within)
	if seen < k.rule.Times {
		return
	}
	if w.holds {
		c.hold(k.rule.Times - 1)
		return
	}
	*c = counter{last: now, until: now.Add(k.rule.CoolDown)}
	hit(Hit{Rule: k.rule, Own: k.own != "", Target: k.target, Seen: seen})
}

// target is what the rule stops for an event; false where the event does not say.
func (r Rule) target(e Event, labels []mcprun.Label) (t limits.Target, ok bool) {
	switch r.Level {
	case Tool:
		t.Server, t.Tool = e.Server, e.Tool
		ok = e.Server != "" && e.Tool != ""
	case Server:
		t.Server, ok = e.Server, e.Server != ""
	case Label:
		t.Server, ok = e.Server, e.Server != ""
		if i := slices.IndexFunc(labels, func(l mcprun.Label) bool { return strings.HasPrefix(string(l), r.Label+"=") }); i >= 0 {
			t = limits.Target{Label: labels[i]} // a server without it is stopped alone
		}
	case Principal:
		t.Principal, ok = e.Principal, e.Principal != ""
	case All:
		ok = true
	}
	return t, ok && t.Valid() == nil
}

// subject is what a switch would have to stop for the target to be stopped already.
func subject(t limits.Target, labels []mcprun.Label) limits.Subject {
	s := limits.Subject{Server: t.Server, Tool: t.Tool, Principal: t.Principal}
	switch {
	case t.Label != "":
		s.Labels = []mcprun.Label{t.Label}
	case t.Server != "":
		s.Labels = labels
	}
	return s
}

// add counts n more and returns how many there are within the last while.
func (c *counter) add(now time.Time, n int, within time.Duration) int {
	c.last = now
	c.forget(now, within)
	if len(c.seen) == 0 || c.seen[len(c.seen)-1].at != now {
		c.seen = append(c.seen, moment{at: now})
	}
	c.seen[len(c.seen)-1].n += n
	c.sum += n
	return c.sum
}

// forget drops what is as long ago as the rule says, or longer.
func (c *counter) forget(now time.Time, within time.Duration) {
	i := 0
	for i < len(c.seen) && now.Sub(c.seen[i].at) >= within {
		c.sum -= c.seen[i].n
		i++
	}
	c.seen = c.seen[i:]
}

// counter returns the one of k, making room for it where it is new.
func (w *Watch) counter(k counterKey, now time.Time) *counter {
	if c := w.counters[k]; c != nil {
		return c
	}
	if w.counters == nil {
		w.counters = make(map[counterKey]*counter)
	}
	if len(w.counters) >= MaxCounters {
		w.makeRoom(now)
	}
	c := &counter{}
	w.counters[k] = c
	return c
}

// makeRoom forgets all counters that count nothing any more, or else the stalest one.
func (w *Watch) makeRoom(now time.Time) {
	var stalest counterKey
	var at time.Time
	for k, c := range w.counters {
		c.forget(now, k.rule.Within)
		if c.sum == 0 && !now.Before(c.until) {
			delete(w.counters, k)
		} else if at.IsZero() || c.last.Before(at) {
			stalest, at = k, c.last
		}
	}
	if len(w.counters) >= MaxCounters {
		delete(w.counters, stalest)
	}
}

// drop forgets the counters whose rules are gone.
func (w *Watch) drop() {
	for k := range w.counters {
		rules := w.common
		if k.own != "" {
			rules = w.servers[k.own].rules
		}
		if !slices.Contains(rules, k.rule) {
			delete(w.counters, k)
		}
	}
}
