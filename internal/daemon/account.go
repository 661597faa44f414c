package daemon

import (
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/limits"
)

const (
	// leastBytes and mostLease bound what is set aside at once for bytes through the way
	// out: each time costs two records, and after a crash all of it counts as used.
	leastBytes = 64 << 10
	mostLease  = 16 << 20
	// leaseLife is how long something stays set aside that is not used.
	leaseLife = time.Minute
	// quickLease is one that was used up so soon that the next is twice as large.
	quickLease = time.Second
)

// account is what one life of a server uses of a unit outside of single calls. It takes
// what it needs from the server's budgets in advance, in pieces, each in the record
// before any of it is used. Where there is no budget it counts in pieces too, for one
// that is set later. It may be used concurrently.
type account struct {
	d        *Daemon
	server   mcprun.ServerName
	instance string
	unit     limits.Unit

	mu     sync.Mutex
	piece  int64 // what is taken next
	least  int64
	left   int64 // of what was taken
	taken  time.Time
	ticket *limits.Ticket // nil where there is no budget
	closed bool
}

func (d *Daemon) account(server mcprun.ServerName, instance string, u limits.Unit, least int64) *account {
	return &account{d: d, server: server, instance: instance, unit: u, piece: least, least: least}
}

// spend takes n, all of it or nothing; with 0 it says whether anything is left.
func (a *account) spend(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	want := max(n, 1)
	if a.left >= want && timeNow().Sub(a.taken) < leaseLife {
		a.left -= n
		return true
	}
	if !a.take(want) {
		return false
	}
	a.left -= n
	return true
}

// ahead sees to it that n are there to be used before anybody knows of it.
func (a *account) ahead(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.closed && (a.left >= n && timeNow().Sub(a.taken) < leaseLife || a.take(n))
}

// take settles what was taken and takes the next piece, of at least n. If there is not
// so much, the account has nothing.
func (a *account) take(n int64) bool {
	now := timeNow()
	a.piece = max(a.least, min(mostLease, a.piece))
	switch age := now.Sub(a.taken); {
	case age < quickLease && a.left < n:
		a.piece = min(mostLease, 2*a.piece)
	case age >= leaseLife:
		a.piece = a.least
	}
	a.settle(now)
	want := max(n, a.piece)
	if !a.d.limits.Bounded(a.server, a.unit) {
		a.d.limits.Add(a.server, a.unit, want, now)
		a.left, a.taken = want, now
		return true
	}
	id := mcprun.NewCallID()
	t, no := a.d.limits.Lease(id, a.server, a.unit, n, want, now)
	if no != nil {
		return false
	}
	granted := t.Granted()[a.unit]
	rec := a.record(id, front.DetailReserved, t.Granted())
	if a.d.record.Append(rec) != nil { // what cannot be recorded is not to be used
		t.Cancel(now)
		return false
	}
	a.ticket, a.left, a.taken = t, granted, now
	return true
}

// settle gives back what is left of what was taken; call it with mu held.
func (a *account) settle(now time.Time) {
	left := a.left
	a.left = 0
	if a.ticket == nil {
		if left > 0 {
			a.d.limits.Deduct(a.server, a.unit, left, a.taken)
		}
		return
	}
	used := a.ticket.Granted()
	used[a.unit] -= left
	a.ticket.Settle(used, now)
	rec := a.record(a.ticket.Asked().ID, front.DetailUsed, used)
	rec.Outcome = "settled"
	if err := a.d.record.Append(rec); err != nil {
		a.d.opts.Log.Error("recording what was used; after a crash it counts as more", "server", a.server, "err", err)
	}
	a.ticket = nil
}

func (a *account) record(id mcprun.CallID, key string, u limits.Use) *audit.Record {
	return &audit.Record{Type: audit.TypeBudget, Call: id, Server: a.server, Instance: a.instance, Detail: map[string]string{key: u.String()}}
}

// close gives back what is left; nothing can be spent any more.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		a.settle(timeNow())
	}
}

// recountLease takes over what a record says of such a piece.
func recountLease(l *limits.Limiter, rec *audit.Record) {
	if rec.Outcome == "settled" {
		l.Ended(rec.Call, front.Used(rec), rec.Time)
		return
	}
	if granted, err := limits.ParseUse(rec.Detail[front.DetailReserved]); err == nil {
		l.Began(limits.Asked{ID: rec.Call, Server: rec.Server, Lease: true}, granted, rec.Time)
	}
}
