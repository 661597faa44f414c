package limits

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
)

// ReviveLife is how long a yes to a revive counts where it takes more than one: long
// enough to find a colleague and let them look, too short to be about something else.
const ReviveLife = time.Hour

// Yes is what one person said of a switch: that what it stops may run again.
type Yes struct {
	Who mcprun.Principal
	Why string
	At  time.Time
}

// Revivals are the yeses that were said of thrown switches and that were not enough yet.
// A yes is about one kill, and about no later one of the same target. All methods may be
// called concurrently; nothing here is on disk.
//
// Two names may be one person, who has both accounts: that is not seen here.
type Revivals struct {
	mu  sync.Mutex
	all map[Target]revival
}

type revival struct {
	kill time.Time // When of the kill that it would take back
	yes  []Yes
}

// Of returns the yeses that count at this moment towards taking back a kill. One that is
// from the future, since the clock went back, does not.
func (r *Revivals) Of(k Kill, now time.Time) []Yes {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.all[k.Target]
	if !was.kill.Equal(k.When) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(was.yes), func(y Yes) bool { return y.At.After(now) || now.Sub(y.At) >= ReviveLife })
}

// Add notes a yes.
func (r *Revivals) Add(k Kill, y Yes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[Target]revival{}
	}
	was := r.all[k.Target]
	if !was.kill.Equal(k.When) {
		was = revival{kill: k.When}
	}
	was.yes = Joined(was.yes, y)
	r.all[k.Target] = was
}

// Joined are the yeses with one more; the newest of one person stands for theirs before.
func Joined(before []Yes, y Yes) []Yes {
	return append(slices.DeleteFunc(slices.Clone(before), func(o Yes) bool { return o.Who == y.Who }), y)
}

// Forget lets go of all that was said of a target.
func (r *Revivals) Forget(t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, t)
}

// Enough says what one more yes makes of a switch where so many different people have to
// say it: done, or that others are still needed. With needs 0 no number is enough.
func Enough(before []Yes, by mcprun.Principal, needs int) (done bool, err error) {
	said := slices.ContainsFunc(before, func(y Yes) bool { return y.Who == by })
	different := len(before)
	if !said {
		different++
	}
	switch {
	case by == "" || needs <= 0:
		return false, fmt.Errorf("the policy lets nobody do it")
	case different >= needs:
		return true, nil
	case said:
		return false, fmt.Errorf("%s said yes already, and it needs %d different people", by, needs)
	}
	return false, nil
}

// Names lists who said yes.
func Names(yes []Yes) string {
	var out []string
	for _, y := range yes {
		out = append(out, string(y.Who))
	}
	return strings.Join(out, ", ")
}
