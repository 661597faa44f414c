package lab

import "sync"

// maxKept bounds what a service remembers of each kind, and maxBody what it
// remembers of one body or connection: more than any test looks at, and little
// enough for a test that runs wild.
const (
	maxKept = 1 << 14
	maxBody = 64 << 10
)

// record is what a service saw: the first of it, and how much there was.
type record[T any] struct {
	mu    sync.Mutex
	kept  []T
	total int
}

// add remembers v and returns where, -1 if there is no room.
func (r *record[T]) add(v T) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if len(r.kept) == maxKept {
		return -1
	}
	r.kept = append(r.kept, v)
	return len(r.kept) - 1
}

// change edits what was remembered at i.
func (r *record[T]) change(i int, f func(*T)) {
	if i < 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.kept[i])
}

// all copies what was remembered, each with clone.
func (r *record[T]) all(clone func(T) T) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]T, len(r.kept))
	for i, v := range r.kept {
		out[i] = clone(v)
	}
	return out
}

func (r *record[T]) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// same is the clone of what holds no pointers.
func same[T any](v T) T { return v }

// grow appends as much of more as is remembered of a body.
func grow(body, more []byte) []byte {
	return append(body, more[:min(len(more), maxBody-len(body))]...)
}
