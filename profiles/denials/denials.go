// Package denials keeps count of the system calls that a profile refused to one server:
// each kind of refusal once, with how often, by whom and during which tool's call, in
// bounded memory, whatever the server does.
//
// It decides what of it goes into the record, and does no I/O. What it does NOT tell: the
// arguments that lie in the server's memory are what they were when somebody looked, and
// what the kernel refuses for other reasons than the profile (a read-only mount, a missing
// capability) it does not see.
package denials

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

const (
	// MaxKinds bounds the kinds kept apart: a program trips over a dozen, and one that makes
	// up arguments must not cost the daemon memory. What is beyond is counted by the call and
	// the rule that refused it alone, of which there are some hundreds: a call that tells of an
	// attack must not be hidden behind made-up ones.
	MaxKinds = 256
	// maxTools bounds the tools named with a kind.
	maxTools = 16
	// recordAfter is how long repeats of a kind are counted before they are recorded the
	// next time; it doubles each time, up to recordAtMost, so that a server that tries
	// without end writes a few lines an hour.
	recordAfter  = 10 * time.Second
	recordAtMost = 10 * time.Minute
)

// Kind is one kind of refusal: a call with the arguments that were judged, by a program.
type Kind struct {
	Call    string
	Args    string // as Denial.Args; "" beyond MaxKinds
	Program string // path in the container; "" if it was gone, or beyond MaxKinds
}

// Entry is what is known of one kind.
type Entry struct {
	Kind
	Rule  string // what refused it, as in the record
	Why   string
	Add   string   // the line of a profile that would allow it; "" where none can
	In    []string // built-in profiles that allow it, the narrowest first
	Note  string   // strings the first such call pointed to
	Count int64
	First time.Time
	Last  time.Time
	Tools []mcprun.ToolName // with a call in flight at some of them
}

type entry struct {
	Entry
	recorded int64
	next     time.Time
	wait     time.Duration
}

// Log is the refusals of one server. Its methods may be called concurrently. The zero
// value is empty.
type Log struct {
	mu      sync.Mutex
	entries map[key]*entry
	apart   int // of these, with arguments and program
}

// key is a kind or, beyond MaxKinds, a call and a rule.
type key struct {
	Kind
	rule string // "" of a kind
}

// unknown stands for all calls that have no name here, of which a program can make up any
// number.
const unknown = "calls that are not known"

// Known reports whether a kind was seen and is kept apart, so that what costs something is
// found out once.
func (l *Log) Known(k Kind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.entries[key{Kind: k}]
	return ok
}

// keyOf is what a refusal is counted as; the caller holds the lock.
func (l *Log) keyOf(k Kind, rule string) key {
	if _, ok := l.entries[key{Kind: k}]; ok || l.apart < MaxKinds {
		return key{Kind: k}
	}
	if !profiles.Known(k.Call) {
		return key{Kind{Call: unknown}, rule}
	}
	return key{Kind{Call: k.Call}, rule}
}

// Add counts one refusal; first describes it where its kind is not known. It returns how
// many of the kind are to be recorded now, with the entry that says which; none is 0.
func (l *Log) Add(k Kind, now time.Time, tools []mcprun.ToolName, first Entry) (Entry, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.keyOf(k, first.Rule)
	e, ok := l.entries[at]
	if !ok {
		if l.entries == nil {
			l.entries = map[key]*entry{}
		}
		e = &entry{Entry: first, wait: recordAfter}
		if at.Kind == k && at.rule == "" {
			l.apart++
		} else {
			e.Note, e.Add, e.In = "", "", nil // of one of many
		}
		e.Kind, e.First, e.Count = at.Kind, now, 0
		l.entries[at] = e
	}
	e.Count++
	e.Last = now
	for _, t := range tools {
		if !slices.Contains(e.Tools, t) && len(e.Tools) < maxTools {
			e.Tools = append(e.Tools, t)
		}
	}
	if e.recorded > 0 && now.Before(e.next) {
		return Entry{}, 0
	}
	return e.take(now)
}

// take marks what is counted as recorded; the caller holds the lock.
func (e *entry) take(now time.Time) (Entry, int64) {
	due := e.Count - e.recorded
	if e.recorded > 0 {
		e.wait = min(2*e.wait, recordAtMost)
	}
	e.recorded, e.next = e.Count, now.Add(e.wait)
	return e.copy(), due
}

func (e *entry) copy() Entry {
	out := e.Entry
	out.Tools = slices.Clone(e.Tools)
	return out
}

// Due is an entry with repeats that are not recorded yet.
type Due struct {
	Entry
	Times int64
}

// Flush returns what is left to record at a server's end.
func (l *Log) Flush(now time.Time) []Due {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Due
	for _, e := range l.entries {
		if e.Count > e.recorded {
			entry, n := e.take(now)
			out = append(out, Due{entry, n})
		}
	}
	slices.SortFunc(out, func(a, b Due) int { return compare(a.Entry, b.Entry) })
	return out
}

// All returns every kind, the latest last.
func (l *Log) All() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Entry
	for e := range maps.Values(l.entries) {
		out = append(out, e.copy())
	}
	slices.SortFunc(out, compare)
	return out
}

func compare(a, b Entry) int {
	return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Call, b.Call), cmp.Compare(a.Args, b.Args), cmp.Compare(a.Program, b.Program))
}
