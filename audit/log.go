package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Log is an open log. All methods may be called concurrently.
type Log struct {
	dir     string
	id      string
	public  string
	now     func() time.Time
	maxFile int64
	lock    *os.File
	folder  *os.File  // dir, held open so that a new file in it needs one descriptor only
	bufs    sync.Pool // of *[]byte, for lines

	mu       sync.Mutex // the order of records; nothing slow happens under it but a new file
	head     Head
	wall     time.Time  // what the clock last said
	out      appendFile // the newest file
	index    int        // its number
	rotateAt time.Time  // no new file before this
	retired  []*os.File // older ones that the committer may still be syncing
	reserve  *reserve
	failed   error
	closed   bool
	dirty    bool   // a sync is on its way
	signAt   uint64 // the record that asks for the next checkpoint
	waiting  *batch // those who wait for the next sync
	synced   uint64 // the newest record known to be on the disk
	headLine []byte

	signed    *checkpoints
	poke      chan struct{}
	syncTimer *time.Timer
	signTimer *time.Timer
	quit      chan struct{}
	stopped   chan struct{}
}

// urgency says what Append owes its caller.
type urgency uint8

const (
	plain    urgency = iota // written
	durable                 // on the disk
	critical                // on the disk, out of the reserve if need be
)

// Append writes r and sets its Seq and Time. After it returned nil the record
// survives the death of the process, and 100 ms later (syncAfter) a power cut.
func (l *Log) Append(r *Record) error { return l.append(r, plain) }

// AppendDurable is Append, but returns only when r survives a power cut.
func (l *Log) AppendDurable(r *Record) error { return l.append(r, durable) }

// AppendCritical is AppendDurable for what must be recorded even if the disk is
// full (kills): it may use the reserve. From then on all other records fail with
// ErrNoSpace until there is space for the reserve again.
func (l *Log) AppendCritical(r *Record) error { return l.append(r, critical) }

func (l *Log) append(r *Record, u urgency) error {
	buf := l.bufs.Get().(*[]byte)
	defer l.bufs.Put(buf)
	line, err := appendBody((*buf)[:headRoom], r)
	*buf = line
	if err != nil {
		return err
	}
	b, err := l.enter(r, line, u)
	if err != nil || b == nil {
		return err
	}
	<-b.done
	return b.err
}

// enter gives r its place in the chain. The batch it returns, if u wants one, is
// done when r is on the disk.
func (l *Log) enter(r *Record, line []byte, u urgency) (*batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(u); err != nil {
		return nil, err
	}
	err := l.put(r, line)
	if u == critical && errors.Is(err, ErrNoSpace) {
		if err = l.reserve.free(); err == nil {
			err = l.put(r, line)
		}
	}
	if err != nil {
		return nil, l.judge(fmt.Errorf("writing a record: %w", err))
	}
	return l.schedule(u), nil
}

// usable reports what keeps a record of this urgency out. While the reserve is
// spent plain records are too: what space there is belongs to the next kill.
func (l *Log) usable(u urgency) error {
	switch {
	case l.failed != nil:
		return l.failed
	case l.closed:
		return ErrClosed
	case u != critical:
		return l.judge(l.reserve.fill())
	}
	return nil
}

// judge makes every error final that does not end by itself; call it with mu held.
func (l *Log) judge(err error) error {
	if err == nil || errors.Is(err, ErrNoSpace) || errors.Is(err, ErrInvalid) {
		return err
	}
	return l.stop(err)
}

// stop ends the log for good; call it with mu held.
func (l *Log) stop(err error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.failed
}

// put writes r, and before it a record of the clock if that went backwards.
func (l *Log) put(r *Record, line []byte) error {
	now := l.now().Round(0).UTC() // Round: the wall clock, not the monotonic one, which hides a step
	if now.Unix() > maxTime {
		now = l.head.Time
	}
	if now.Before(l.wall) {
		if err := l.putClockBack(now); err != nil {
			return err
		}
	}
	l.wall = now
	return l.place(r, line)
}

func (l *Log) putClockBack(now time.Time) error {
	r := &Record{Type: TypeClockBack, Detail: map[string]string{
		"from": l.wall.Format(timeFormat),
		"to":   now.Format(timeFormat),
		"back": l.wall.Sub(now).String(),
	}}
	line, err := appendBody(make([]byte, headRoom), r)
	if err != nil {
		return err
	}
	return l.place(r, line)
}

// place ties the line, whose first headRoom bytes are free, to the chain and
// writes it.
func (l *Log) place(r *Record, line []byte) error {
	next := Head{Seq: l.head.Seq + 1, Time: l.head.Time}
	if l.wall.After(next.Time) {
		next.Time = l.wall
	}
	l.headLine = appendHead(l.headLine[:0], next.Seq, l.head.Hash, next.Time)
	line = line[headRoom-len(l.headLine):]
	copy(line, l.headLine)
	if len(line) > MaxLine {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, len(line))
	}
	if l.out.size > 0 && l.out.size+int64(len(line)) > l.maxFile && !l.now().Before(l.rotateAt) {
		switch err := l.rotate(); {
		case passes(err):
			// The old file takes more, so that a process without a file to spare does not
			// lose its record with it.
			l.rotateAt = l.now().Add(rotatePause)
		case err != nil:
			return fmt.Errorf("beginning a new file: %w", err)
		}
	}
	if err := l.out.write(line); err != nil {
		return err
	}
	next.Hash = sha256.Sum256(line)
	l.head = next
	r.Seq, r.Time = next.Seq, next.Time
	return nil
}

// rotatePause is between two tries to begin a new file.
const rotatePause = time.Second

// passes reports whether an error is for want of something that comes back.
func passes(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// rotate begins a new file. The old one and a checkpoint of its last record are
// on the disk before: no gap can open between two files, and recovery needs to
// read the newest only.
func (l *Log) rotate() error {
	if err := datasync(l.out.f); err != nil {
		return err
	}
	if err := l.signed.sign(l.head, true); err != nil {
		return err
	}
	out, err := openAppend(l.dir, fileName(l.index+1), os.O_CREATE|os.O_EXCL)
	if err != nil {
		return noSpace(err)
	}
	if err := l.folder.Sync(); err != nil {
		return fmt.Errorf("syncing the folder: %v", err) // not noSpace: the file is there
	}
	l.retired = append(l.retired, l.out.f)
	l.out = out
	l.index++
	return nil
}

// Head returns the newest record's place in the chain.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err returns why the log failed, nil while it works.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Checkpoint returns the last signed checkpoint, to be kept elsewhere and given
// to Verify as Since.
func (l *Log) Checkpoint() string {
	l.signed.mu.Lock()
	defer l.signed.mu.Unlock()
	return string(l.signed.text)
}

// PublicKey returns the key that Verify needs.
func (l *Log) PublicKey() string { return l.public }
