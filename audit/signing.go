package audit

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// signEvery and signAfter say how many records, and for how long one of
	// them, may stand without a checkpoint: what an intruder could change.
	signEvery = 256
	signAfter = time.Second
	// signSync is how many checkpoints may wait for an fdatasync: losing some
	// loses no record, and each costs as much as one.
	signSync = 16
)

// checkpoints writes signed checkpoints.
type checkpoints struct {
	mu       sync.Mutex // taken after Log.mu where both are
	out      appendFile
	signer   note.Signer
	origin   string
	last     Head
	text     []byte    // the last one as written
	at       time.Time // when it was made
	unsynced int
}

// sign appends a checkpoint of h, which must be on the disk: a checkpoint of
// records that a power cut takes away would accuse an honest log.
func (c *checkpoints) sign(h Head, sync bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Seq > c.last.Seq {
		cp := Checkpoint{Origin: c.origin, Head: h}
		msg, err := note.Sign(&note.Note{Text: cp.text()}, c.signer)
		if err != nil {
			return fmt.Errorf("signing a checkpoint: %w", err)
		}
		if err := c.out.write(append(msg, '\n')); err != nil {
			return fmt.Errorf("writing a checkpoint: %w", err)
		}
		c.last, c.text, c.at = h, msg, time.Now()
		c.unsynced++
	}
	if c.unsynced < signSync && !(sync && c.unsynced > 0) {
		return nil
	}
	c.unsynced = 0
	if err := datasync(c.out.f); err != nil {
		return fmt.Errorf("writing checkpoints to the disk: %w", err)
	}
	return nil
}

// due reports how long a checkpoint of h may still wait; 0 is now, negative is
// that there is nothing to sign.
func (c *checkpoints) due(h Head) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := h.Seq - c.last.Seq; {
	case h.Seq <= c.last.Seq:
		return -1
	case n >= signEvery:
		return 0
	}
	return max(0, signAfter-time.Since(c.at))
}
