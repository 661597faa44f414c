package limits

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
)

const (
	// maxWaiting bounds the calls that wait for all servers together: each keeps its
	// arguments in memory.
	maxWaiting = 1024
)

// Asked is a call that wants to go ahead.
type Asked struct {
	ID        mcprun.CallID
	Server    mcprun.ServerName
	Tool      mcprun.ToolName
	Principal mcprun.Principal
	Session   string
	What      string // the tool and its arguments, as one text: for loops
	Size      int64  // bytes of its arguments
	Want      Use    // what is set aside for it; it gets less where less is left
	Least     Use    // what it is not worth to begin without
	Lease     bool   // it is no call: see Lease
}

// scopes are all that a call counts for.
func (a *Asked) scopes() []Scope {
	if a.Lease {
		return []Scope{{}, {Server: a.Server}}
	}
	return []Scope{
		{}, {Principal: a.Principal}, {Server: a.Server}, {Server: a.Server, Tool: a.Tool},
		{Server: a.Server, Principal: a.Principal}, {Server: a.Server, Session: a.Session},
	}
}

// hold is what a call is held to in one of its scopes.
type hold struct {
	scope Scope
	set   Set
	*counter
}

// Limiter holds calls to what they may use. It has no clock of its own: the caller
// says what time it is. All methods may be called concurrently.
//
// What a call may use is taken off before it begins and corrected when it ended, so
// that calls at the same time cannot use more together than is left. It counts also
// where no budget is set: one that is set later knows what was used.
type Limiter struct {
	mu       sync.Mutex
	common   Common
	servers  map[mcprun.ServerName]Limits
	counters map[Scope]*counter
	streaks  map[string]*streak // by session
	open     map[mcprun.CallID]*Ticket
	waiting  []*Waiter
	turn     uint64
	turns    map[string]uint64 // when each session that waits was last let in
}

// New returns a limiter that refuses everything: no server has limits yet.
func New() *Limiter {
	return &Limiter{servers: map[mcprun.ServerName]Limits{}, counters: map[Scope]*counter{}, streaks: map[string]*streak{},
		open: map[mcprun.CallID]*Ticket{}, turns: map[string]uint64{}}
}

// Set says what a server is held to from now on.
func (l *Limiter) Set(server mcprun.ServerName, limits Limits, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers[server] = limits
	l.letIn(now)
}

// SetCommon says what all are held to together.
func (l *Limiter) SetCommon(c Common, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.common = c
	l.letIn(now)
}

// Ticket is a call that goes ahead.
type Ticket struct {
	l       *Limiter
	asked   Asked
	at      time.Time
	granted Use
	bounded bool // there is a budget that it counts for
}

// Bounded reports whether there is a budget that it counts for: if there is none, it
// does not matter what it used.
func (t *Ticket) Bounded() bool { return t.bounded }

// Granted is what was set aside for the call: it must not use more.
func (t *Ticket) Granted() Use { return t.granted }

// Asked is the call that it is for.
func (t *Ticket) Asked() Asked { return t.asked }

// Waiter is a call that waits until one of those at work ends.
type Waiter struct {
	l     *Limiter
	asked Asked
	scope Scope
	limit int64
	Wait  time.Duration // how long it is worth to wait, as the server's limits say
	C     chan Outcome  // gets one value
}

// Outcome is what became of a call that waited: one of the two is set.
type Outcome struct {
	Ticket  *Ticket
	Refusal *Refusal
}

// Enter lets a call go ahead, refuses it, or has it wait. Exactly one of the results
// is set. A ticket must be given back with Settle or Cancel.
func (l *Limiter) Enter(a Asked, now time.Time) (*Ticket, *Waiter, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	holds, r := l.judge(&a, now)
	if r != nil {
		return nil, nil, r
	}
	if r := l.loop(&a, holds, now); r != nil {
		return nil, nil, r
	}
	if h := full(holds); h != nil {
		w := &Waiter{l: l, asked: a, scope: h.scope, limit: *h.set.Concurrency, Wait: l.servers[a.Server].Wait, C: make(chan Outcome, 1)}
		if r := l.queue(w); r != nil {
			return nil, nil, r
		}
		return nil, w, nil
	}
	return l.admit(&a, holds, now), nil, nil
}

// Look says why a call would be refused now, if it would: nothing is taken off. A call
// that would wait for its place is not refused.
func (l *Limiter) Look(a Asked, now time.Time) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, r := l.judge(&a, now)
	return r
}

// judge returns what a call is held to, and why it may not go ahead. It is the no
// that lasts longest: who waits for it to end finds all others ended.
func (l *Limiter) judge(a *Asked, now time.Time) (holds []hold, worst *Refusal) {
	if _, ok := l.servers[a.Server]; !ok {
		return nil, &Refusal{Rule: RuleUnset, Scope: Scope{Server: a.Server}}
	}
	for _, scope := range a.scopes() {
		set, _ := l.setOf(scope)
		h := hold{scope, set, l.counter(scope)}
		holds = append(holds, h)
		r := h.rejection(scope, set, a, now)
		if r != nil && (worst == nil || r.Frees.IsZero() || !worst.Frees.IsZero() && r.Frees.After(worst.Frees)) {
			worst = r
		}
	}
	return holds, worst
}

func (l *Limiter) counter(s Scope) *counter {
	c := l.counters[s]
	if c == nil {
		c = new(counter)
		l.counters[s] = c
	}
	return c
}

// loop refuses a call that its client makes again and again. It counts as one more
// time: only another call ends the streak.
func (l *Limiter) loop(a *Asked, holds []hold, now time.Time) *Refusal {
	s := l.streaks[a.Session]
	if s == nil {
		s = new(streak)
		l.streaks[a.Session] = s
	}
	n := s.repeat(a.What, now)
	for _, h := range holds {
		if most := h.set.Repeats; most != nil && n > *most {
			return &Refusal{Rule: RuleRepeats, Scope: h.scope, Limit: strconv.FormatInt(*most, 10), Used: strconv.FormatInt(n-1, 10), Frees: now.Add(streakLife)}
		}
	}
	return nil
}

// full is the first that has no place for one more call, nil if all have one.
func full(holds []hold) *hold {
	for i, h := range holds {
		if most := h.set.Concurrency; most != nil && h.active >= *most {
			return &holds[i]
		}
	}
	return nil
}

// admit takes off what the call may use. Nothing can refuse it any more.
func (l *Limiter) admit(a *Asked, holds []hold, now time.Time) *Ticket {
	grant := a.Want
	for _, h := range holds {
		grant = h.room(h.set, grant, now)
	}
	for _, h := range holds {
		if r := h.set.Rate; r != nil && !a.Lease {
			h.limiter(*r, now).AllowN(now, 1)
		}
	}
	t := l.enter(*a, grant, now)
	for _, h := range holds {
		t.bounded = t.bounded || len(h.set.Budgets) > 0
	}
	return t
}

// enter counts what has begun.
func (l *Limiter) enter(a Asked, granted Use, at time.Time) *Ticket {
	t := &Ticket{l: l, asked: a, at: at, granted: granted}
	for _, scope := range a.scopes() {
		c := l.counter(scope)
		if a.Lease {
			c.leased.add(granted, 1)
		} else {
			c.active++
		}
		c.charge(granted, at)
	}
	l.open[a.ID] = t
	return t
}

// Settle ends a call: what it really used takes the place of what was set aside. That
// it was a call stays.
func (t *Ticket) Settle(used Use, now time.Time) {
	used[Calls], used[High] = t.granted[Calls], t.granted[High]
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.close(used, now)
}

// Cancel gives a ticket back for a call that never began.
func (t *Ticket) Cancel(now time.Time) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.close(Use{}, now)
}

// close is Settle with mu held. The second time it does nothing.
func (t *Ticket) close(used Use, now time.Time) {
	l := t.l
	if l.open[t.asked.ID] != t {
		return
	}
	delete(l.open, t.asked.ID)
	diff := used
	for u := range diff {
		diff[u] -= t.granted[u]
	}
	for _, scope := range t.asked.scopes() {
		c := l.counter(scope)
		if t.asked.Lease {
			c.leased.add(t.granted, -1)
		} else {
			c.active--
		}
		c.correct(diff, t.at)
	}
	l.letIn(now)
}

// Drop forgets a server that there will never be again, and all that it used.
func (l *Limiter) Drop(server mcprun.ServerName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.servers, server)
	for scope := range l.counters {
		if scope.Server == server {
			delete(l.counters, scope)
		}
	}
}

// Forget lets go of a client that is gone, once none of its calls is at work.
func (l *Limiter) Forget(server mcprun.ServerName, session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streaks, session)
	delete(l.turns, session)
	scope := Scope{Server: server, Session: session}
	if c := l.counters[scope]; c != nil && c.active == 0 {
		delete(l.counters, scope)
	}
}

// queue has a call wait. Where the queue is full, the client with most calls in it
// gives way: one that asks for much must not keep others out.
func (l *Limiter) queue(w *Waiter) *Refusal {
	size := l.servers[w.asked.Server].Queue
	mine, longest := map[string]int{}, ""
	n := 0
	for _, o := range l.waiting {
		if o.asked.Server == w.asked.Server {
			n++
			mine[o.asked.Session]++
			if mine[o.asked.Session] > mine[longest] {
				longest = o.asked.Session
			}
		}
	}
	switch {
	case n < size && len(l.waiting) < maxWaiting:
	case n < size || mine[w.asked.Session]+1 >= mine[longest]:
		return w.refused(strconv.Itoa(n) + " more wait")
	default:
		for i, o := range slices.Backward(l.waiting) {
			if o.asked.Server == w.asked.Server && o.asked.Session == longest {
				l.waiting = slices.Delete(l.waiting, i, i+1)
				o.C <- Outcome{Refusal: o.refused(strconv.Itoa(n) + " more wait, and this client's were the most")}
				break
			}
		}
	}
	l.waiting = append(l.waiting, w)
	return nil
}

func (w *Waiter) refused(used string) *Refusal {
	return &Refusal{Rule: RuleConcurrency, Scope: w.scope, Limit: strconv.FormatInt(w.limit, 10), Used: used}
}

// Leave gives up waiting after a time. A ticket that came at the same moment is
// given back.
func (w *Waiter) Leave(now time.Time) *Refusal {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	if i := slices.Index(w.l.waiting, w); i >= 0 {
		w.l.waiting = slices.Delete(w.l.waiting, i, i+1)
		return w.refused("none ended while the call waited")
	}
	o := <-w.C // there is one: who is not in the queue was answered with mu held
	if o.Ticket != nil {
		o.Ticket.close(Use{}, now)
		return w.refused("none ended while the call waited")
	}
	return o.Refusal
}

// letIn lets those in who wait and have a place: of the clients in turn, and of one
// client in the order in which it asked.
func (l *Limiter) letIn(now time.Time) {
	for {
		best := -1
		for i, w := range l.waiting {
			if l.placeless(&w.asked) {
				continue
			}
			if best < 0 || l.turns[w.asked.Session] < l.turns[l.waiting[best].asked.Session] {
				best = i
			}
		}
		if best < 0 {
			if len(l.waiting) == 0 {
				clear(l.turns)
			}
			return
		}
		w := l.waiting[best]
		l.waiting = slices.Delete(l.waiting, best, best+1)
		holds, r := l.judge(&w.asked, now)
		if r != nil {
			w.C <- Outcome{Refusal: r} // its rate or budget was used up while it waited
			continue
		}
		l.turn++
		l.turns[w.asked.Session] = l.turn
		w.C <- Outcome{Ticket: l.admit(&w.asked, holds, now)}
	}
}

// placeless reports whether a call has still to wait for a place. Where nothing holds
// it any more, it has to be told so.
func (l *Limiter) placeless(a *Asked) bool {
	for _, scope := range a.scopes() {
		set, ok := l.setOf(scope)
		if ok && set.Concurrency != nil && l.counter(scope).active >= *set.Concurrency {
			return true
		}
	}
	return false
}
