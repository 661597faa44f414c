package manifesttest

import (
	"math/rand/v2"
	"time"

	"github.com/mcprun/mcprun/limits"
)

// callLimits are limits of a server with any of their keys, and any left out.
func callLimits(r *rand.Rand) limits.Limits {
	l := limits.Limits{Server: limitSet(r, true), Queue: r.IntN(513), Wait: duration(r, 100*time.Millisecond, time.Hour)}
	if coin(r) {
		l.Principal = limitSet(r, false)
	}
	if coin(r) {
		l.Session = limitSet(r, false)
	}
	return l
}

func limitSet(r *rand.Rand, whole bool) limits.Set {
	var s limits.Set
	number := func() *int64 {
		if coin(r) {
			return nil
		}
		n := between(r, 1, 1_000_000_000)
		return &n
	}
	bytes := func() *int64 {
		if coin(r) {
			return nil
		}
		n := size(r, 1<<10, 1<<30)
		return &n
	}
	if coin(r) {
		s.Rate = &limits.Rate{Calls: between(r, 1, 999_999_999), Per: pick(r, time.Second, time.Minute, time.Hour), Burst: between(r, 1, 1_000_000_000)}
	}
	s.Concurrency, s.Repeats, s.Arguments, s.Result = number(), number(), bytes(), bytes()
	for _, u := range []limits.Unit{limits.Calls, limits.High, limits.Results, limits.Egress, limits.CPU, limits.Wall, limits.Cost} {
		for _, p := range []limits.Period{limits.Hour, limits.Day, limits.Month} {
			if coin(r) || !whole && (u == limits.Egress || u == limits.CPU) {
				continue
			}
			s.Budgets = append(s.Budgets, limits.Budget{Unit: u, Period: p, Max: amount(r, u)})
		}
	}
	return s
}

func amount(r *rand.Rand, u limits.Unit) int64 {
	switch u {
	case limits.Results, limits.Egress:
		return size(r, 1<<10, 1<<40)
	case limits.CPU, limits.Wall:
		return duration(r, time.Millisecond, 1000*time.Hour).Microseconds()
	case limits.Cost:
		return between(r, 0, 999_999_999_999_999)
	}
	return between(r, 0, 1_000_000_000)
}
