package limits

import "time"

// Bounds of how often a server that ends by itself is brought back. It comes back when it
// is called; the first time at once, since once is no loop.
const (
	// CrashFirst is how long the second crash in a row keeps it down: longer than a model
	// takes to call again.
	CrashFirst = time.Second // and twice as long each further one
	// CrashWindow is how long a crash counts. A server that ran longer starts from anew.
	CrashWindow = 10 * time.Minute
	// MaxCrashes in the window are a loop that no further start will end: it stays down.
	MaxCrashes = 6
)

// Crashes counts how often one server ended by itself. The zero value has seen none. It
// is not safe to be used concurrently.
type Crashes struct{ at []time.Time }

// Note counts one more. It returns when the server may come back; with again false it
// stays down until an operator starts it.
func (c *Crashes) Note(now time.Time) (retry time.Time, again bool) {
	c.at = append(c.forget(now), now)
	switch n := len(c.at); {
	case n >= MaxCrashes:
		return time.Time{}, false
	case n == 1:
		return now, true
	default:
		return now.Add(CrashFirst << (n - 2)), true
	}
}

// Count is how many crashes count now.
func (c *Crashes) Count(now time.Time) int {
	c.at = c.forget(now)
	return len(c.at)
}

// forget drops what is past. Where the clock went back, all still count.
func (c *Crashes) forget(now time.Time) []time.Time {
	for i, at := range c.at {
		if now.Sub(at) < CrashWindow {
			return c.at[i:]
		}
	}
	return nil
}

// Reset forgets all, as an operator's start does.
func (c *Crashes) Reset() { c.at = nil }
