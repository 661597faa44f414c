package limits

import (
	"time"

	"golang.org/x/time/rate"
)

// counter is what one scope has used and is using.
type counter struct {
	windows [periods]window
	bucket  *rate.Limiter // nil until a rate is set
	held    Rate          // that bucket is for
	active  int64
	leased  Use // of what is used, what is set aside outside of calls
}

// window is the use within one period.
type window struct {
	from, to time.Time
	used     Use
}

// at moves on to the period of now. A clock that went back changes nothing: what
// was used is not given back.
func (w *window) at(p Period, now time.Time) *window {
	if now.Before(w.to) {
		return w
	}
	*w = window{}
	w.from, w.to = p.bounds(now)
	return w
}

// limiter is the bucket for a rate; when the rate is another one than before, what is
// in it stays.
func (c *counter) limiter(r Rate, now time.Time) *rate.Limiter {
	limit := rate.Limit(r.perSecond())
	switch {
	case c.bucket == nil:
		c.bucket = rate.NewLimiter(limit, int(r.Burst))
	case c.held != r:
		c.bucket.SetLimitAt(now, limit)
		c.bucket.SetBurstAt(now, int(r.Burst))
	}
	c.held = r
	return c.bucket
}

// streak is how often in a row one client made the same call.
type streak struct {
	what string
	n    int64
	last time.Time
}

// streakLife ends a streak: who comes back after that is no loop.
const streakLife = 10 * time.Minute

// repeat returns how often what was asked in a row, this time included.
func (s *streak) repeat(what string, now time.Time) int64 {
	if s.what != what || now.Sub(s.last) > streakLife {
		s.what, s.n = what, 0
	}
	s.last = now
	s.n++
	return s.n
}

// rejection is one set's no. when is when it is worth to try again.
func (c *counter) rejection(scope Scope, set Set, a *Asked, now time.Time) *Refusal {
	if set.Arguments != nil && a.Size > *set.Arguments {
		return &Refusal{Rule: RuleArguments, Scope: scope, Limit: size(*set.Arguments), Used: size(a.Size)}
	}
	if set.Rate != nil {
		if b := c.limiter(*set.Rate, now); b.TokensAt(now) < 1 {
			r := &Refusal{Rule: RuleRate, Scope: scope, Limit: set.Rate.String()}
			if b.Limit() > 0 && b.Burst() > 0 {
				r.Frees = now.Add(time.Duration((1 - b.TokensAt(now)) / float64(b.Limit()) * float64(time.Second)))
			}
			return r
		}
	}
	for _, b := range set.Budgets {
		w := c.windows[b.Period].at(b.Period, now)
		least := a.Least[b.Unit]
		if !a.Lease && (b.Unit == Egress || b.Unit == CPU) {
			least = 1 // not known before; there has to be some of it
		}
		left := b.Max - w.used[b.Unit]
		if !a.Lease {
			left += c.leased[b.Unit] // it is there for the server's calls
		}
		if least > 0 && left < least {
			return &Refusal{Rule: RuleBudget, Scope: scope, Unit: b.Unit, Limit: b.Unit.Text(b.Max) + "/" + b.Period.String(), Used: b.Unit.Text(w.used[b.Unit]), Frees: w.to}
		}
	}
	return nil
}

// room is how much of each unit a set leaves, and at most want.
func (c *counter) room(set Set, want Use, now time.Time) Use {
	if set.Result != nil {
		want[Results] = min(want[Results], *set.Result)
	}
	for _, b := range set.Budgets {
		w := c.windows[b.Period].at(b.Period, now)
		want[b.Unit] = max(0, min(want[b.Unit], b.Max-w.used[b.Unit]))
	}
	return want
}

// charge adds a use to every period.
func (c *counter) charge(u Use, now time.Time) {
	for p := range periods {
		w := c.windows[p].at(p, now)
		for unit, n := range u {
			w.used[unit] += n
		}
	}
}

// correct adds a use to those periods that at is in; what a call was charged for
// belongs to the period in which it began.
func (c *counter) correct(u Use, at time.Time) {
	for p := range periods {
		w := &c.windows[p]
		if at.Before(w.from) || !at.Before(w.to) {
			continue
		}
		for unit, n := range u {
			w.used[unit] += n
		}
	}
}
