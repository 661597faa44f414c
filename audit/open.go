package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mcprun/mcprun"
)

const (
	detailLog = "log" // key of the log's id in the genesis record
	detailKey = "key" // key of the public key there
)

// Options says how a log is opened.
type Options struct {
	// KeyDir holds the signing key, which is made on first use. It must not be
	// within the log's folder.
	KeyDir string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Reserve is the space kept back for AppendCritical; 0 is 1 MiB.
	Reserve int64

	maxFile int64 // for tests; 0 is the constant
}

// Open opens the log in dir for appending, makes it if there is none, and
// repairs what a crash may leave: a torn tail is cut off and recorded. Anything
// else that is wrong with the newest file or the last checkpoint is an error;
// older files are Verify's to read. Only one process can have a log open. The
// caller closes it.
func Open(dir string, opts Options) (*Log, error) {
	l := &Log{
		dir: dir, now: opts.Now, maxFile: opts.maxFile,
		poke: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.bufs.New = func() any { b := make([]byte, headRoom, 2<<10); return &b }
	if l.now == nil {
		l.now = time.Now
	}
	if l.maxFile == 0 {
		l.maxFile = maxFile
	}
	if opts.Reserve <= 0 {
		opts.Reserve = defaultReserve
	}
	if err := l.open(opts); err != nil {
		return nil, openError(err)
	}
	go l.run()
	return l, nil
}

// openError gives people the command that tells more.
func openError(err error) error {
	e := &mcprun.Error{Class: mcprun.Failed, What: "opening the audit log", Err: err}
	var p *Problem
	if errors.As(err, &p) {
		e.Hint = "mcprun audit verify"
	}
	return e
}

// open does all that must be done before the first record.
func (l *Log) open(opts Options) (err error) {
	if err := makePrivateDir(l.dir); err != nil {
		return err
	}
	if l.lock, err = lockDir(l.dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	if l.folder, err = os.Open(l.dir); err != nil {
		return err
	}
	if l.reserve, err = openReserve(l.dir, opts.Reserve); err != nil {
		return err
	}
	rec, err := recoverLog(l.dir, opts.KeyDir)
	if err != nil {
		return err
	}
	l.out, l.index, l.head, l.id, l.signed, l.public = rec.out, rec.index, rec.head, rec.id, rec.signed, rec.public
	l.wall, l.signAt = l.head.Time, l.head.Seq+signEvery
	l.syncTimer, l.signTimer = time.NewTimer(syncAfter), time.NewTimer(signAfter)
	return l.begin(rec.torn)
}

// begin writes the records that recovery calls for and signs the head: Append
// starts from a log that is whole and vouched for.
func (l *Log) begin(torn []tornPiece) error {
	fresh := l.head.Seq == 0
	if fresh {
		l.id = newID()
	}
	l.signed.origin = origin(l.id)
	if fresh {
		if err := l.enterNow(&Record{Type: TypeGenesis, Detail: map[string]string{detailLog: l.id, detailKey: l.public}}); err != nil {
			return err
		}
	}
	for i := range torn {
		if err := l.enterNow(torn[i].record()); err != nil {
			return err
		}
	}
	l.commit(true)
	if l.failed == nil && l.signed.last.Seq == 0 {
		return fmt.Errorf("signing the first record: %w", ErrNoSpace)
	}
	return l.failed
}

// enterNow writes a record before there is a committer.
func (l *Log) enterNow(r *Record) error {
	line, err := appendBody(make([]byte, headRoom), r)
	if err != nil {
		return err
	}
	_, err = l.enter(r, line, critical)
	return err
}

func newID() string {
	var b [logIDSize / 2]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// tornPiece is what was cut off a file.
type tornPiece struct {
	file   string
	offset int64
	size   int64
	sum    Hash
}

func (t *tornPiece) record() *Record {
	return &Record{Type: TypeTornTail, Size: t.size, Detail: map[string]string{
		"file":   t.file,
		"offset": fmt.Sprint(t.offset),
		"sha256": t.sum.String(),
	}}
}

// cutTail cuts f at end, if it goes on there.
func cutTail(a *appendFile, name string, end int64) ([]tornPiece, error) {
	if a.size == end {
		return nil, nil
	}
	sum, err := hashFrom(a.f, end)
	if err != nil {
		return nil, err
	}
	t := tornPiece{file: name, offset: end, size: a.size - end, sum: sum}
	if err := a.f.Truncate(end); err != nil {
		return nil, fmt.Errorf("cutting a torn tail: %w", err)
	}
	a.size = end
	return []tornPiece{t}, nil
}

// openOrMake opens a file to append to; made says that it was not there.
func openOrMake(dir, name string) (a appendFile, made bool, err error) {
	a, err = openAppend(dir, name, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return a, false, err
	}
	a, err = openAppend(dir, name, os.O_CREATE|os.O_EXCL)
	return a, true, err
}
