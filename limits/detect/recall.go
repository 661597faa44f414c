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
	took   map[limits.Target][]taken // by switches of which only the intent is known
	server mcprun.ServerName         // "" for all
}

// taken is a counter as it was when a switch had it begin at zero.
type taken struct {
	key  counterKey
	then counter
}

// Recall begins with the common rules, except those that go by a label: which labels a
// server has is known when it starts.
func (w *Watch) Recall() *Recall {
	w.mu.Lock()
	defer w.mu.Unlock()
	common := slices.DeleteFunc(slices.Clone(w.common), func(r Rule) bool { return r.Level == Label })
	return &Recall{w: w, past: Watch{holds: true, common: common}, thrown: map[limits.Target]bool{}, took: map[limits.Target][]taken{}}
}

// RecallServer begins with what Recall left out of one server, after SetServer: its own
// rules, and the common ones that go by a label.
func (w *Watch) RecallServer(name mcprun.ServerName) *Recall {
	w.mu.Lock()
	defer w.mu.Unlock()
	common := slices.DeleteFunc(slices.Clone(w.common), func(r Rule) bool { return r.Level != Label })
	return &Recall{w: w, past: Watch{holds: true, common: common, servers: map[mcprun.ServerName]ofOne{name: w.servers[name]}}, thrown: map[limits.Target]bool{}, took: map[limits.Target][]taken{}, server: name}
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

// Threw says that a switch was about to be thrown: what it stops begins at zero, if Holds or
// Revived show that it was. A kill is recorded before it is carried out, and a crash right
// after its record must not leave a server that neither is dead nor has anything against it.
// why is Hit.Why where a rule did it, which then counts nothing until it has cooled down.
func (r *Recall) Threw(t limits.Target, at time.Time, why string) {
	r.thrown[t] = true
	for k, c := range r.past.counters {
		if !t.Has(subject(k.target, r.past.servers[r.server].labels)) {
			continue
		}
		r.took[t] = append(r.took[t], taken{k, *c})
		c.seen, c.sum = nil, 0
		if k.target == t && strings.HasPrefix(why, string(k.rule.After)+" was seen") {
			c.until = at.Add(k.rule.CoolDown)
		}
	}
}

// Holds says that a switch is thrown now.
func (r *Recall) Holds(t limits.Target, at time.Time, why string) {
	r.Threw(t, at, why)
	delete(r.took, t)
}

// Revived says that a switch was taken back.
func (r *Recall) Revived(t limits.Target) {
	delete(r.thrown, t)
	delete(r.took, t)
}

// giveBack puts in place again what switches took that never came to hold.
func (r *Recall) giveBack(now time.Time) {
	for _, all := range r.took {
		for _, old := range all {
			c := r.past.counter(old.key, now)
			c.seen, c.sum, c.until = append(slices.Clone(old.then.seen), c.seen...), c.sum+old.then.sum, old.then.until
			inOrder(c.seen)
		}
	}
}

// Done adds what was recalled, and still counts now, to what was seen since.
func (r *Recall) Done(now time.Time) {
	r.giveBack(now)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for k, old := range r.past.counters {
		old.forget(now, k.rule.Within)
		if old.sum == 0 && !now.Before(old.until) {
			continue
		}
		c := r.w.counter(k, now)
		c.seen = append(slices.Clone(old.seen), c.seen...)
		inOrder(c.seen)
		c.sum += old.sum
		c.last, c.until = later(c.last, old.last), later(c.until, old.until)
		c.hold(k.rule.Times - 1)
	}
}

func inOrder(seen []moment) {
	slices.SortStableFunc(seen, func(a, b moment) int { return a.at.Compare(b.at) })
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
