package detect

import (
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// Recall takes over what an earlier life saw, so that nobody begins at zero by having the
// daemon crash. It throws nothing: what has reached its number is held one below it, and
// the next of its kind does. Hand it what the record has, the oldest first, and then Done.
type Recall struct {
	w      *Watch
	past   Watch // counts by itself meanwhile
	thrown map[limits.Target]bool
	server mcprun.ServerName // "" for all
}

// Recall begins with the common rules, except those that go by a label: which labels a
// server has is known when it starts.
func (w *Watch) Recall() *Recall {
	w.mu.Lock()
	defer w.mu.Unlock()
	common := slices.DeleteFunc(slices.Clone(w.common), func(r Rule) bool { return r.Level == Label })
	return &Recall{w: w, past: Watch{holds: true, common: common}, thrown: map[limits.Target]bool{}}
}

// RecallServer begins with what Recall left out of one server, after SetServer: its own
// rules, and the common ones that go by a label.
func (w *Watch) RecallServer(name mcprun.ServerName) *Recall {
	w.mu.Lock()
	defer w.mu.Unlock()
	common := slices.DeleteFunc(slices.Clone(w.common), func(r Rule) bool { return r.Level != Label })
	return &Recall{w: w, past: Watch{holds: true, common: common, servers: map[mcprun.ServerName]ofOne{name: w.servers[name]}}, thrown: map[limits.Target]bool{}, server: name}
}

// Reach is how long ago something can have been seen and still count; 0 where no rule counts.
func (r *Recall) Reach() (d time.Duration) {
	for _, rule := range slices.Concat(r.past.common, r.past.servers[r.server].rules) {
		d = max(d, rule.Within, rule.CoolDown)
	}
	return d
}

// Saw counts what was seen at a time.
func (r *Recall) Saw(e Event, at time.Time) {
	if r.server == "" || r.server == e.Server {
		r.past.See(e, at, r.stopped, func(Hit) {})
	}
}

func (r *Recall) stopped(q limits.Subject) bool {
	for t := range r.thrown {
		if t.Has(q) {
			return true
		}
	}
	return false
}

// Threw says that a switch was thrown: what it stops begins at zero. why is Hit.Why where
// a rule did it, which then counts nothing until it has cooled down.
func (r *Recall) Threw(t limits.Target, at time.Time, why string) {
	r.thrown[t] = true
	for k, c := range r.past.counters {
		if !t.Has(subject(k.target, r.past.servers[r.server].labels)) {
			continue
		}
		c.seen, c.sum = nil, 0
		if k.target == t && strings.HasPrefix(why, string(k.rule.After)+" was seen") {
			c.until = at.Add(k.rule.CoolDown)
		}
	}
}

// Revived says that a switch was taken back.
func (r *Recall) Revived(t limits.Target) { delete(r.thrown, t) }

// Done adds what was recalled, and still counts now, to what was seen since.
func (r *Recall) Done(now time.Time) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for k, old := range r.past.counters {
		old.forget(now, k.rule.Within)
		if old.sum == 0 && !now.Before(old.until) {
			continue
		}
		c := r.w.counter(k, now)
		c.seen = append(slices.Clone(old.seen), c.seen...)
		slices.SortStableFunc(c.seen, func(a, b moment) int { return a.at.Compare(b.at) })
		c.sum += old.sum
		c.last, c.until = later(c.last, old.last), later(c.until, old.until)
		c.hold(k.rule.Times - 1)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hold forgets the oldest of what is more than most.
func (c *counter) hold(most int) {
	for c.sum > most {
		n := min(c.seen[0].n, c.sum-most)
		c.sum -= n
		if c.seen[0].n -= n; c.seen[0].n == 0 {
			c.seen = c.seen[1:]
		}
	}
}
