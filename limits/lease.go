package limits

import (
	"time"

	"github.com/mcprun/mcprun"
)

// leaseShare is the part of what is left that one lease takes at most: after a crash all
// of it counts as used, and others want some too.
const leaseShare = 8

// Lease sets aside an amount that a server uses by itself and not for one call: bytes
// through its way out, processor time. It gets between least and want, by what is left,
// or a refusal. It counts for the server and for all, has no rate and takes no place.
// Like a call it is settled when it is used, or given up.
func (l *Limiter) Lease(id mcprun.CallID, server mcprun.ServerName, u Unit, least, want int64, now time.Time) (*Ticket, *Refusal) {
	a := Asked{ID: id, Server: server, Lease: true}
	a.Want[u], a.Least[u] = leaseShare*want, least
	l.mu.Lock()
	defer l.mu.Unlock()
	holds, r := l.judge(&a, now)
	if r != nil {
		return nil, r
	}
	room := a.Want
	for _, h := range holds {
		room = h.room(h.set, room, now)
	}
	a.Want[u] = max(least, room[u]/leaseShare)
	return l.admit(&a, holds, now), nil
}

// Bounded reports whether there is a budget of the unit that the server counts for.
func (l *Limiter) Bounded(server mcprun.ServerName, u Unit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, set := range []Set{l.common.All, l.servers[server].Server} {
		for _, b := range set.Budgets {
			if b.Unit == u {
				return true
			}
		}
	}
	return false
}

// LookLease says why nothing of a unit would be set aside for a server now, nil if
// something would.
func (l *Limiter) LookLease(server mcprun.ServerName, u Unit, least int64, now time.Time) *Refusal {
	a := Asked{Server: server, Lease: true}
	a.Least[u] = least
	return l.Look(a, now)
}

// Add counts what a server used of a unit that has no budget, for one that is set
// later.
func (l *Limiter) Add(server mcprun.ServerName, u Unit, n int64, now time.Time) {
	l.add(server, u, n, func(c *counter, use Use) { c.charge(use, now) })
}

// Deduct takes back some of what Add counted at a time.
func (l *Limiter) Deduct(server mcprun.ServerName, u Unit, n int64, at time.Time) {
	l.add(server, u, -n, func(c *counter, use Use) { c.correct(use, at) })
}

func (l *Limiter) add(server mcprun.ServerName, u Unit, n int64, to func(*counter, Use)) {
	var use Use
	use[u] = n
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, scope := range []Scope{{}, {Server: server}} {
		to(l.counter(scope), use)
	}
}
