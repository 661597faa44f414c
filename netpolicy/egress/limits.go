package egress

import (
	"cmp"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun/netpolicy"
)

// ruleLimits is what one rule has left, for the life of the instance.
type ruleLimits struct {
	open  atomic.Int64 // connections
	most  int64        // 0: no bound of its own
	rate  *rate.Limiter
	bytes *atomic.Int64 // nil: no bound
	web   *clients      // who asks the rule's hosts; nil where no request is read
	gone  bool          // no rule of the policy's any more; guarded by the way's mu
}

// defaultPerMinute is the rate of a rule that names none: each connection and
// request is recorded, and a program that makes them without end must not fill a
// disk. It is a hundred a second, with a minute's worth at once for a start.
const defaultPerMinute = 6000

func (w *Way) newLimits(r netpolicy.Rule) *ruleLimits {
	perMinute := cmp.Or(r.Limits.PerMinute, defaultPerMinute)
	l := &ruleLimits{most: int64(r.Limits.Connections), rate: rate.NewLimiter(rate.Every(time.Minute/time.Duration(perMinute)), perMinute)}
	if r.ReadsRequests() {
		l.web = w.newClients(cmp.Or(r.Limits.Connections, maxUpstream))
	}
	if r.Limits.Bytes > 0 {
		l.bytes = new(atomic.Int64)
		l.bytes.Store(r.Limits.Bytes)
	}
	return l
}

// admit finds, among the rules that allow a connection, the first that has room
// for it. That rule pays for all that the connection does.
func (s *ruleSet) admit(rules []int) (rule int, ok bool) {
	for _, i := range rules {
		l := s.limits[i]
		if n := l.open.Add(1); l.most > 0 && n > l.most || !l.once() {
			l.open.Add(-1)
			continue
		}
		return i, true
	}
	return 0, false
}

// once takes one connection or request from the rate.
func (l *ruleLimits) once() bool { return l.rate.Allow() }

// reserve takes up to n bytes from the rule's budget before they are carried;
// what was not carried is given back. 0 means that nothing is left.
func (l *ruleLimits) reserve(n int64) int64 {
	if l.bytes == nil {
		return n
	}
	for {
		left := l.bytes.Load()
		if left <= 0 {
			return 0
		}
		take := min(left, n)
		if l.bytes.CompareAndSwap(left, left-take) {
			return take
		}
	}
}

func (l *ruleLimits) giveBack(n int64) {
	if l.bytes != nil {
		l.bytes.Add(n)
	}
}

// spend takes exactly n bytes, which are there to be carried, or none.
func (l *ruleLimits) spend(n int64) bool {
	got := l.reserve(n)
	if got < n {
		l.giveBack(got)
	}
	return got == n
}

// spend takes bytes from what the server has left over all rules, all or none.
func (w *Way) spend(n int) bool { return w.cfg.Spend == nil || w.cfg.Spend(int64(n)) }
