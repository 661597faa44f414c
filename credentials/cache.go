package credentials

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// fetchBound is for one fetch with all that is nested in it: one slow peer and
	// a second one that is quick. The call that waits has its own timeout, of a
	// minute by default.
	fetchBound = 15 * time.Second

	// waitBound is for a source that ignores its context. It is above fetchBound,
	// so that a source that heeds it says itself what was slow.
	waitBound = fetchBound + time.Second

	// errorLife keeps a broken source from being asked for every request, and
	// lets one that is mended work at once.
	errorLife = time.Second

	// A secret is fetched anew this long before it expires, so that it is valid
	// when it arrives and for clocks that differ: 30 seconds, for short lives a
	// fifth of what is left.
	longestMargin = 30 * time.Second
	marginPart    = 5

	// Values are remembered for a day, and the last ones longer, so that an answer
	// that echoes a rotated one is redacted. Each is searched for in each answer,
	// so there is a bound in any case: five hours of tokens that live five minutes.
	knownLife = 24 * time.Hour
	knownLast = 8
	maxKnown  = 64
)

var (
	// ErrForgotten is returned by every Get after Forget.
	ErrForgotten = errors.New("the secret was forgotten: what it is for was killed")

	errEmpty   = errors.New("the source gave no secret and no error")
	errExpired = errors.New("the secret that the source gave is expired")
	errHangs   = fmt.Errorf("the source did not answer within %v", fetchBound)
)

// Cache holds the secret of one source for a short time. It may be used
// concurrently; make it with New.
type Cache struct {
	source   Fetcher
	now      func() time.Time
	lifetime time.Duration
	life     context.Context // ends with Forget
	end      context.CancelFunc
	flight   singleflight.Group

	mu    sync.Mutex
	held  held
	known []known // oldest use first
}

// held is the outcome of a fetch, good from from until until.
type held struct {
	secret      Secret
	err         error
	from, until time.Time
}

type known struct {
	value string
	used  time.Time
}

// New returns an empty cache. A secret is kept for lifetime, and less if it
// expires earlier; with a lifetime of 0 it is fetched for every Get.
func New(f Fetcher, now func() time.Time, lifetime time.Duration) *Cache {
	life, end := context.WithCancel(context.Background())
	return &Cache{
		source: f, lifetime: lifetime, life: life, end: end,
		// The wall clock only: the monotonic one stands still while the machine
		// sleeps, and the secret expires meanwhile.
		now: func() time.Time { return now().Round(0) },
	}
}

// Get returns the secret, fetching it if there is none that is fresh. All that
// wait share one fetch, which goes on when one of them gives up. If the fetch
// fails, so does Get, even if an older secret is still valid. An expired secret
// is never returned.
func (c *Cache) Get(ctx context.Context) (Secret, error) {
	if h, ok := c.fresh(); ok {
		return c.handOut(h)
	}
	done := c.flight.DoChan("", c.fetch)
	// A source that ignores its context (a file on a dead file server) hangs the
	// fetch; those that wait leave it, and no second one is begun beside it.
	bound := time.NewTimer(waitBound)
	defer bound.Stop()
	select {
	case r := <-done:
		return c.handOut(r.Val.(held))
	case <-ctx.Done():
		return Secret{}, fmt.Errorf("waiting for a secret: %w", context.Cause(ctx))
	case <-c.life.Done():
		return Secret{}, ErrForgotten
	case <-bound.C:
		return Secret{}, errHangs
	}
}

// fresh returns what is held, if it is to be used now. A clock that went back
// makes it stale: nobody knows how old it is.
func (c *Cache) fresh() (held, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return c.held, !now.Before(c.held.from) && now.Before(c.held.until)
}

// fetch is what the one flight does. It never fails: errors are held as well.
func (c *Cache) fetch() (any, error) {
	if h, ok := c.fresh(); ok {
		return h, nil // another flight landed since the caller looked
	}
	if c.life.Err() != nil {
		return held{err: ErrForgotten}, nil // a kill ends the asking, too
	}
	ctx, cancel := context.WithTimeoutCause(c.life, fetchBound, errHangs)
	defer cancel()
	asked := c.now()
	h := held{}
	h.secret, h.err = c.source.Fetch(ctx)
	h.from = c.now()
	h.err = h.judge(h.from)
	h.until = c.keepUntil(h, asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() == nil {
		c.held = h
	}
	return h, nil
}

// keepUntil says how long the outcome of a fetch is good. The lifetime counts
// from the question: the source may have changed since.
func (c *Cache) keepUntil(h held, asked time.Time) time.Time {
	if h.err != nil {
		return h.from.Add(errorLife)
	}
	until := asked.Add(c.lifetime)
	if e := h.secret.Expires; !e.IsZero() {
		margin := min(longestMargin, e.Sub(h.from)/marginPart)
		if early := e.Add(-margin); early.Before(until) {
			until = early
		}
	}
	return until
}

// judge says what keeps the outcome of a fetch from being handed out.
func (h held) judge(now time.Time) error {
	switch e := h.secret.Expires; {
	case h.err != nil:
		return h.err
	case h.secret.Reveal() == "":
		return errEmpty // a Fetcher's bug
	case !e.IsZero() && !now.Before(e):
		return errExpired
	}
	return nil
}

// handOut is the last check: under the lock that Forget takes, so that nothing is
// handed out once Forget has returned.
func (c *Cache) handOut(h held) (Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return Secret{}, ErrForgotten
	}
	now := c.now()
	if err := h.judge(now); err != nil {
		return Secret{}, err
	}
	c.remember(h.secret.Reveal(), now)
	return h.secret, nil
}

// remember moves a value to the end of known; the caller holds mu.
func (c *Cache) remember(value string, now time.Time) {
	if n := len(c.known); n == 0 || c.known[n-1].value != value {
		c.known = slices.DeleteFunc(c.known, func(k known) bool { return k.value == value })
		c.known = append(c.known, known{value: value})
	}
	c.known[len(c.known)-1].used = now
	c.trim(now)
}

// trim drops values that were last used long ago; the caller holds mu.
func (c *Cache) trim(now time.Time) {
	drop := max(0, len(c.known)-maxKnown)
	for drop < len(c.known)-knownLast && now.Sub(c.known[drop].used) > knownLife {
		drop++
	}
	c.known = slices.Delete(c.known, 0, drop)
}

// Known returns every value that was handed out within the last 24 hours, and the
// last 8 however old they are; at most 64. Answers of an upstream are redacted by
// it: they may echo a value that was replaced since.
func (c *Cache) Known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trim(c.now())
	var out []string
	for _, k := range c.known {
		out = append(out, k.value)
	}
	return out
}

// Forget drops everything, Known included, for ever: it is part of a kill. It ends
// a fetch in flight. Every Get fails from then on, those that wait included.
func (c *Cache) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	c.held, c.known = held{}, nil
}
