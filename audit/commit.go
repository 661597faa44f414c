package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/mcprun/mcprun/internal/failpoint"
)

// syncAfter is how long a plain record may stand unsynced: what a power cut may
// take. Short enough to lose little, long enough to share one sync among many.
const syncAfter = 100 * time.Millisecond

// batch is those who wait for one sync.
type batch struct {
	done chan struct{}
	err  error // read after done
}

// schedule sees to it that what was just written is synced and signed in time;
// call it with mu held.
func (l *Log) schedule(u urgency) *batch {
	if l.head.Seq >= l.signAt {
		l.signAt = l.head.Seq + signEvery
		l.wake()
	}
	if u == plain {
		if !l.dirty {
			l.dirty = true
			l.syncTimer.Reset(syncAfter)
		}
		return nil
	}
	if l.waiting == nil {
		l.waiting = &batch{done: make(chan struct{})}
		l.wake()
	}
	return l.waiting
}

// wake asks the committer for one more round.
func (l *Log) wake() {
	select {
	case l.poke <- struct{}{}:
	default: // one is asked for already, and has not begun
	}
}

// run is the committer: the one who syncs and signs.
func (l *Log) run() {
	defer close(l.stopped)
	for {
		select {
		case <-l.poke:
		case <-l.syncTimer.C:
		case <-l.signTimer.C:
		case <-l.quit:
			l.commit(true)
			return
		}
		l.commit(false)
	}
}

// commit brings all that is written to the disk, answers those who wait for it,
// and signs the head if that is due, or in any case if last.
func (l *Log) commit(last bool) {
	l.mu.Lock()
	b, out, old, head, err := l.waiting, l.out.f, l.retired, l.head, l.failed
	stale := head.Seq != l.synced
	l.waiting, l.retired, l.dirty = nil, nil, false
	l.mu.Unlock()

	if err == nil && stale {
		failpoint.Hit("audit.unsynced")
		if err = datasync(out); err != nil {
			err = l.fail(fmt.Errorf("writing records to the disk: %w", err))
		}
	}
	failpoint.Hit("audit.synced")
	if b != nil {
		b.err = err
		close(b.done)
	}
	for _, f := range old {
		f.Close() // synced by rotate
	}
	if err != nil {
		return
	}
	l.mu.Lock()
	l.synced = head.Seq
	l.mu.Unlock()
	l.sign(head, last)
}

// sign writes a checkpoint of head if one is due. On a full disk it waits: the
// records stand, and the next round tries again.
func (l *Log) sign(head Head, last bool) {
	wait := l.signed.due(head)
	if wait > 0 && !last {
		l.signTimer.Reset(wait)
		return
	}
	if wait < 0 && !last {
		return
	}
	switch err := l.signed.sign(head, last); {
	case errors.Is(err, ErrNoSpace):
		l.signTimer.Reset(signAfter)
	case err != nil:
		l.fail(err)
	default:
		l.mu.Lock()
		l.signAt = head.Seq + signEvery
		l.mu.Unlock()
	}
}

// fail stops the log for good. After an fsync that failed the kernel may have
// dropped the very pages, and a second one would say all is well.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop(err)
}

// Close syncs and signs what is written and gives the log free. Appends under
// way end first or get ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	<-l.stopped
	err := l.Err()
	l.release()
	return err
}

// release closes every file; the lock's goes last.
func (l *Log) release() {
	if l.out.f != nil {
		l.out.f.Close()
	}
	if l.signed != nil {
		l.signed.out.f.Close()
	}
	if l.reserve != nil {
		l.reserve.f.Close()
	}
	if l.folder != nil {
		l.folder.Close()
	}
	l.lock.Close()
}
