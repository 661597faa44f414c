package credentials

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a source that a test tells what to do; it counts how often it was
// asked.
type scripted struct {
	mu    sync.Mutex
	asked int
	fetch func(ctx context.Context, n int) (Secret, error) // n counts from 1
}

func (s *scripted) Fetch(ctx context.Context) (Secret, error) {
	s.mu.Lock()
	s.asked++
	n := s.asked
	s.mu.Unlock()
	return s.fetch(ctx, n)
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// numbered gives value-1, value-2 and so on, each valid for life (0: for ever).
func numbered(life time.Duration) *scripted {
	return &scripted{fetch: func(_ context.Context, n int) (Secret, error) {
		var expires time.Time
		if life != 0 {
			expires = time.Now().Add(life)
		}
		return NewSecret(fmt.Sprint("value-", n), expires)
	}}
}

// checkGet wants this value, or an error that is want.
func checkGet(t *testing.T, c *Cache, value string, want error) {
	t.Helper()
	s, err := c.Get(t.Context())
	if s.Reveal() != value || !errors.Is(err, want) {
		t.Errorf("Get = %q, %v; want %q, %v", s.Reveal(), err, value, want)
	}
}

func TestCacheKeepsForItsLifetime(t *testing.T) {
	for _, r := range []struct {
		name           string
		lifetime, life time.Duration
		kept           time.Duration
	}{
		{"a secret that does not expire", 5 * time.Minute, 0, 5 * time.Minute},
		{"one that expires later", 5 * time.Minute, time.Hour, 5 * time.Minute},
		{"one that expires earlier", time.Hour, 10 * time.Minute, 10*time.Minute - 30*time.Second},
		{"one that expires soon", time.Hour, 10 * time.Second, 8 * time.Second},
		{"with no lifetime", 0, time.Hour, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := numbered(r.life)
				c := New(f, time.Now, r.lifetime)
				checkGet(t, c, "value-1", nil)
				if r.kept > 0 {
					time.Sleep(r.kept - time.Nanosecond)
					checkGet(t, c, "value-1", nil)
					time.Sleep(time.Nanosecond)
				}
				checkGet(t, c, "value-2", nil)
				if f.count() != 2 {
					t.Errorf("asked %d times, want 2", f.count())
				}
			})
		})
	}
}

// The old secret is still valid when the refresh fails, and is not handed out.
func TestCacheDeniesWhenTheRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the source is broken")
		f := &scripted{fetch: func(_ context.Context, n int) (Secret, error) {
			if n == 1 || n == 4 {
				return NewSecret(fmt.Sprint("value-", n), time.Time{})
			}
			return Secret{}, broken
		}}
		c := New(f, time.Now, time.Minute)
		checkGet(t, c, "value-1", nil)
		time.Sleep(time.Minute)
		for range 100 { // a broken source is not asked for each
			checkGet(t, c, "", broken)
		}
		if f.count() != 2 {
			t.Errorf("asked %d times, want 2", f.count())
		}
		time.Sleep(errorLife - time.Nanosecond)
		checkGet(t, c, "", broken)
		time.Sleep(time.Nanosecond)
		checkGet(t, c, "", broken) // the third
		time.Sleep(errorLife)
		checkGet(t, c, "value-4", nil)
		if f.count() != 4 {
			t.Errorf("asked %d times, want 4", f.count())
		}
	})
}

func TestCacheHandsOutNothingExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(-time.Second)
		c := New(f, time.Now, time.Minute)
		for range 10 {
			checkGet(t, c, "", errExpired)
		}
		if f.count() != 1 {
			t.Errorf("asked %d times, want 1", f.count())
		}
		// Valid when it was fetched, expired before the caller had it: the caller's
		// clock runs on.
		c = New(numbered(time.Second), time.Now, time.Minute)
		h := held{secret: mustSecret(t, "value-1")}
		h.secret.Expires = time.Now()
		if s, err := c.handOut(h); s.Reveal() != "" || err != errExpired {
			t.Errorf("handOut = %q, %v", s.Reveal(), err)
		}
		checkGet(t, c, "value-1", nil)
	})
}

// A Fetcher that returns neither is a bug, and no empty secret goes out.
func TestCacheRefusesAnEmptySecret(t *testing.T) {
	c := New(&scripted{fetch: func(context.Context, int) (Secret, error) { return Secret{}, nil }}, time.Now, time.Minute)
	checkGet(t, c, "", errEmpty)
}

// A clock that goes back makes what is held stale: how old it is, nobody knows.
func TestCacheWhenTheClockGoesBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := numbered(0)
	c := New(f, func() time.Time { return now }, time.Minute)
	checkGet(t, c, "value-1", nil)
	checkGet(t, c, "value-1", nil)
	now = now.Add(-time.Hour)
	checkGet(t, c, "value-2", nil)
	now = now.Add(time.Second)
	checkGet(t, c, "value-2", nil)
}

func TestCacheFetchesOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(0)
		quick := f.fetch
		f.fetch = func(ctx context.Context, n int) (Secret, error) {
			time.Sleep(time.Second)
			return quick(ctx, n)
		}
		c := New(f, time.Now, time.Minute)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { checkGet(t, c, "value-1", nil) })
		}
		wg.Wait()
		if f.count() != 1 {
			t.Errorf("asked %d times, want 1", f.count())
		}
	})
}

// One that gives up fails alone, even the one that began the fetch.
func TestCacheOutlivesACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(0)
		quick := f.fetch
		f.fetch = func(ctx context.Context, n int) (Secret, error) {
			select {
			case <-time.After(2 * time.Second):
				return quick(ctx, n)
			case <-ctx.Done():
				return Secret{}, ctx.Err()
			}
		}
		c := New(f, time.Now, time.Minute)
		cause := errors.New("the client hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if s, err := c.Get(ctx); s.Reveal() != "" || !errors.Is(err, cause) {
				t.Errorf("the one that gave up: %q, %v", s.Reveal(), err)
			}
		})
		synctest.Wait() // it has begun the fetch
		wg.Go(func() { checkGet(t, c, "value-1", nil) })
		time.Sleep(time.Second)
		cancel(cause)
		wg.Wait()
		if f.count() != 1 {
			t.Errorf("asked %d times, want 1", f.count())
		}
	})
}

func TestCacheBoundsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &scripted{fetch: func(ctx context.Context, _ int) (Secret, error) {
			<-ctx.Done()
			return Secret{}, context.Cause(ctx)
		}}
		c := New(f, time.Now, time.Minute)
		start := time.Now()
		checkGet(t, c, "", errHangs)
		if d := time.Since(start); d != fetchBound {
			t.Errorf("took %v, want %v", d, fetchBound)
		}
	})
}

// A source that ignores its context, such as a file on a dead file server, hangs;
// those that wait do not, and they pile up no fetches.
func TestCacheWithASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		f := &scripted{fetch: func(_ context.Context, n int) (Secret, error) {
			if n == 1 {
				<-released
			}
			return NewSecret(fmt.Sprint("value-", n), time.Time{})
		}}
		c := New(f, time.Now, time.Minute)
		for range 3 {
			start := time.Now()
			checkGet(t, c, "", errHangs)
			if d := time.Since(start); d != waitBound {
				t.Errorf("took %v, want %v", d, waitBound)
			}
		}
		if f.count() != 1 {
			t.Errorf("asked %d times, want 1", f.count())
		}
		close(released)
		synctest.Wait()
		// It was asked for 48 seconds ago, and counts from then.
		checkGet(t, c, "value-1", nil)
		time.Sleep(12 * time.Second)
		checkGet(t, c, "value-2", nil)
	})
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(0)
		c, other := New(f, time.Now, time.Minute), New(numbered(0), time.Now, time.Minute)
		checkGet(t, c, "value-1", nil)
		checkGet(t, other, "value-1", nil)
		c.Forget()
		c.Forget() // a second kill
		checkGet(t, c, "", ErrForgotten)
		time.Sleep(time.Hour)
		checkGet(t, c, "", ErrForgotten)
		if got := c.Known(); len(got) != 0 {
			t.Errorf("Known = %v", got)
		}
		if f.count() != 1 {
			t.Errorf("asked %d times, want 1: a kill must end the asking", f.count())
		}
		if c.held.secret.Reveal() != "" {
			t.Error("the secret is still held")
		}
		checkGet(t, other, "value-2", nil) // the control: another cache goes on
	})
}

// Between finding a secret and handing it out a kill may come: the last look is
// under the lock.
func TestForgetBeforeTheHandOut(t *testing.T) {
	c := New(numbered(0), time.Now, time.Minute)
	h := held{secret: mustSecret(t, "value-1")}
	if s, err := c.handOut(h); s.Reveal() != "value-1" || err != nil {
		t.Errorf("handOut = %q, %v", s.Reveal(), err)
	}
	c.Forget()
	if s, err := c.handOut(h); s.Reveal() != "" || err != ErrForgotten {
		t.Errorf("after a kill: handOut = %q, %v", s.Reveal(), err)
	}
	if got := c.Known(); len(got) != 0 {
		t.Errorf("Known = %v", got)
	}
}

// A fetch in flight ends, and what it brings is not handed out, whether it heeds
// its context or not.
func TestForgetDuringAFetch(t *testing.T) {
	for heeds, want := range map[bool]time.Duration{true: time.Second, false: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start, ended := time.Now(), make(chan time.Duration, 1)
			f := &scripted{fetch: func(ctx context.Context, n int) (Secret, error) {
				if !heeds {
					ctx = context.Background()
				}
				select {
				case <-time.After(3 * time.Second):
				case <-ctx.Done():
				}
				ended <- time.Since(start)
				return NewSecret(fmt.Sprint("value-", n), time.Time{})
			}}
			c := New(f, time.Now, time.Minute)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() { checkGet(t, c, "", ErrForgotten) })
			}
			time.Sleep(time.Second)
			c.Forget()
			wg.Wait()
			if d := time.Since(start); d != time.Second {
				t.Errorf("those that wait were told after %v, want at once", d)
			}
			if got := <-ended; got != want {
				t.Errorf("heeds %v: the fetch ended after %v, want %v", heeds, got, want)
			}
			synctest.Wait()
			checkGet(t, c, "", ErrForgotten)
			if c.held.secret.Reveal() != "" || len(c.Known()) != 0 {
				t.Error("what came after the kill is held")
			}
		})
	}
}

// Real goroutines, for the race detector: whoever got a secret got it before
// Forget returned.
func TestForgetRace(t *testing.T) {
	for range 200 {
		c := New(numbered(0), time.Now, 0)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if s, err := c.Get(t.Context()); (s.Reveal() == "") == (err == nil) || err != nil && err != ErrForgotten {
					t.Errorf("Get = %q, %v", s.Reveal(), err)
				}
			})
		}
		c.Forget()
		checkGet(t, c, "", ErrForgotten)
		wg.Wait()
	}
}

func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(numbered(0), time.Now, time.Minute)
		get := func(n int) {
			for range n {
				if _, err := c.Get(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
		}
		check := func(name string, n, newest int) {
			t.Helper()
			got := c.Known()
			if len(got) != n || n > 0 && (got[n-1] != fmt.Sprint("value-", newest) || got[0] != fmt.Sprint("value-", newest-n+1)) {
				t.Errorf("%s: %v, want the %d up to value-%d", name, got, n, newest)
			}
		}
		check("nothing yet", 0, 0)
		get(20)
		check("all of the last hour", 20, 20)
		time.Sleep(knownLife)
		check("a day later", knownLast, 20)
		get(100)
		check("a bound in any case", maxKnown, 120)
	})
}

// A value that is in use for days was used just now.
func TestKnownCountsFromTheLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &scripted{fetch: func(_ context.Context, n int) (Secret, error) {
			if n <= 50 { // two days of one value
				return NewSecret("value-0", time.Time{})
			}
			return NewSecret(fmt.Sprint("value-", n), time.Time{})
		}}
		c := New(f, time.Now, time.Hour)
		for range 60 {
			if _, err := c.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if got := c.Known(); len(got) != 11 || got[0] != "value-0" {
			t.Errorf("Known = %v, want value-0 and ten more", got)
		}
	})
}

// A value that comes back is listed once.
func TestKnownListsEachOnce(t *testing.T) {
	f := &scripted{fetch: func(_ context.Context, n int) (Secret, error) {
		return NewSecret(fmt.Sprint("value-", n%2), time.Time{})
	}}
	c := New(f, time.Now, 0)
	for range 10 {
		if _, err := c.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Known(); !slices.Equal(got, []string{"value-1", "value-0"}) {
		t.Errorf("Known = %v", got)
	}
}

// The cache over a real source: a file that is rotated.
func TestCacheOfAFile(t *testing.T) {
	path := put(t, "token", "value-1\n", 0o600)
	f, err := Source{File: path}.Fetcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := New(f, func() time.Time { return now }, time.Minute)
	checkGet(t, c, "value-1", nil)
	rewrite(t, path, "value-2\n")
	checkGet(t, c, "value-1", nil)
	now = now.Add(time.Minute)
	checkGet(t, c, "value-2", nil)
	rewrite(t, path, "value\n3")
	now = now.Add(time.Minute)
	if s, err := c.Get(t.Context()); err == nil || s.Reveal() != "" {
		t.Errorf("Get = %q, %v; want a refusal", s.Reveal(), err)
	}
	if got := c.Known(); !slices.Equal(got, []string{"value-1", "value-2"}) {
		t.Errorf("Known = %v", got)
	}
}
