package runtime

import (
	"fmt"
	"sync"
)

// idRanges hands out ranges of host ids, one a container, none twice at a time
// and none again soon, so that what a dead container left (there should be
// nothing) belongs to nobody.
type idRanges struct {
	mu   sync.Mutex
	next uint32
	used map[uint32]bool
}

// idSlots is how many ranges fit between lowestID and 2^31, below which every
// tool that handles ids works.
const idSlots = (1<<31 - lowestID) / IDRange

func (r *idRanges) take() (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used == nil {
		r.used = make(map[uint32]bool)
	}
	for range idSlots {
		slot := r.next
		r.next = (r.next + 1) % idSlots
		if !r.used[slot] {
			r.used[slot] = true
			return lowestID + slot*IDRange, nil
		}
	}
	return 0, fmt.Errorf("all %d id ranges are in use", idSlots)
}

func (r *idRanges) give(base uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.used, (base-lowestID)/IDRange)
}
