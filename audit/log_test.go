package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun"
)

func TestAppendAndRead(t *testing.T) {
	p, c := newPlace(t), newClock()
	l := p.open(t, Options{Now: c.now})
	want := []Record{{}}
	for i, add := range []func(*Record) error{l.Append, l.AppendDurable, l.AppendCritical} {
		c.t = c.t.Add(time.Second)
		r := fullRecord()
		r.Instance = fmt.Sprint(i)
		if err := add(&r); err != nil {
			t.Fatal(err)
		}
		if r.Seq != uint64(i+2) || !r.Time.Equal(c.t) {
			t.Errorf("record %d at %v, want %d at %v", r.Seq, r.Time, i+2, c.t)
		}
		want = append(want, r)
	}
	got := p.readAll(t)
	if got[0].Type != TypeGenesis || !validID(got[0].Detail[detailLog]) || got[0].Detail[detailKey] != l.PublicKey() {
		t.Errorf("the first record is %+v", got[0])
	}
	if diff := cmp.Diff(want[1:], got[1:]); diff != "" {
		t.Error(diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := p.mustVerify(t, l.Checkpoint())
	if r.Records != 4 || r.Signed != 4 || r.Head != l.Head() || r.Torn != 0 {
		t.Errorf("report %+v", r)
	}
	if err := l.Append(&Record{Type: TypeNote}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

func TestReopenGoesOn(t *testing.T) {
	p := newPlace(t)
	for range 5 {
		l := p.open(t, Options{})
		appendN(t, l, 3)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.mustVerify(t, ""); r.Records != 16 || r.Signed != 16 {
		t.Errorf("%d records, %d signed; want 16", r.Records, r.Signed)
	}
}

func TestModes(t *testing.T) {
	p := newPlace(t)
	p.open(t, Options{})
	for name, want := range map[string]os.FileMode{
		p.log: dirMode, p.key: dirMode, p.file(1): fileMode, p.checkpoints(): fileMode,
		filepath.Join(p.key, privateFile): fileMode, filepath.Join(p.key, publicFile): fileMode,
	} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, st.Mode().Perm(), want)
		}
	}
}

func TestOneOpener(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{})
	if _, err := p.tryOpen(Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second opener: %v, want %v", err, ErrInUse)
	}
	l.Close()
	p.open(t, Options{})
}

func TestRotate(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{maxFile: 2000})
	appendN(t, l, 100)
	head := l.Head()
	crashed := p.copy(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := logFiles(p.log)
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, i := range files {
		if n := len(readFile(t, p.file(i))); n > 2000 || n == 0 {
			t.Errorf("file %d has %d bytes", i, n)
		}
	}
	if r := p.mustVerify(t, ""); r.Head != head || r.Files != len(files) {
		t.Errorf("verify saw head %v in %d files, want %v in %d", r.Head, r.Files, head, len(files))
	}
	crashed.open(t, Options{maxFile: 2000}).Close()
	if r := crashed.mustVerify(t, ""); r.Head.Seq != head.Seq {
		t.Errorf("after the crash head is %d, want %d", r.Head.Seq, head.Seq)
	}
}

// A crash just after a file was begun leaves it empty, or with a torn first line.
func TestCrashInRotate(t *testing.T) {
	for _, tail := range []string{"", `{"seq":`} {
		p := newPlace(t)
		l := p.open(t, Options{})
		appendN(t, l, 10)
		l.Close()
		writeFile(t, p.file(2), []byte(tail))
		l = p.open(t, Options{})
		appendN(t, l, 1)
		l.Close()
		want := uint64(12)
		if tail != "" {
			want++ // it is recorded
		}
		if r := p.mustVerify(t, ""); r.Head.Seq != want || r.Files != 2 {
			t.Errorf("tail %q: head %d in %d files; want %d in 2", tail, r.Head.Seq, r.Files, want)
		}
	}
}

func TestClockBack(t *testing.T) {
	p, c := newPlace(t), newClock()
	l := p.open(t, Options{Now: c.now})
	t0 := c.t
	add := func(step time.Duration) Record {
		t.Helper()
		c.t = c.t.Add(step)
		r := Record{Type: TypeNote}
		if err := l.Append(&r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i, tt := range []struct {
		step time.Duration
		seq  uint64 // with a clock-back record before it, it jumps by 2
		at   time.Duration
	}{
		{time.Hour, 2, time.Hour},
		{-time.Minute, 4, time.Hour},
		{time.Second, 5, time.Hour},
		{-time.Second, 7, time.Hour},
		{time.Hour, 8, 2*time.Hour - time.Minute},
	} {
		if r := add(tt.step); r.Seq != tt.seq || !r.Time.Equal(t0.Add(tt.at)) {
			t.Errorf("step %d: record %d at +%v, want %d at +%v", i, r.Seq, r.Time.Sub(t0), tt.seq, tt.at)
		}
	}
	l.Close()

	c.t = t0 // the clock went back while the log was closed
	l = p.open(t, Options{Now: c.now})
	if r := add(0); r.Seq != 10 || !r.Time.Equal(t0.Add(2*time.Hour-time.Minute)) {
		t.Errorf("after reopening: record %d at +%v", r.Seq, r.Time.Sub(t0))
	}
	l.Close()
	var got []string
	for _, r := range ofType(p.readAll(t), TypeClockBack) {
		got = append(got, r.Detail["back"])
	}
	if diff := cmp.Diff([]string{"1m0s", "1s", "1h59m0s"}, got); diff != "" {
		t.Error(diff)
	}
	p.mustVerify(t, "")
}

// Times that carry a monotonic reading compare by it, and hide that the wall
// clock was set back.
func TestWallClock(t *testing.T) {
	l := newPlace(t).open(t, Options{})
	r := Record{Type: TypeNote}
	if err := l.Append(&r); err != nil {
		t.Fatal(err)
	}
	if got := r.Time.String(); strings.Contains(got, " m=") || r.Time.Location() != time.UTC {
		t.Errorf("the log's time is %s", got)
	}
}

func TestClockBeyondTheFormat(t *testing.T) {
	p, c := newPlace(t), newClock()
	l := p.open(t, Options{Now: c.now})
	t0 := c.t
	for _, at := range []time.Time{time.Unix(1<<40, 0), time.Unix(-1<<40, 0), {}} {
		c.t = at
		r := Record{Type: TypeNote}
		if err := l.Append(&r); err != nil || !r.Time.Equal(t0) {
			t.Errorf("clock %v: %v, recorded as %v", at, err, r.Time)
		}
	}
	l.Close()
	p.mustVerify(t, "")
}

func TestConcurrent(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{maxFile: 20000})
	const writers, each = 64, 30
	var mu sync.Mutex
	acked := make(map[uint64]mcprun.CallID)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := Record{Type: TypeCall, Call: mcprun.CallID(fmt.Sprintf("c-%d-%d", w, i))}
				add := l.Append
				if i%3 == 0 {
					add = l.AppendDurable
				}
				if err := add(&r); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[r.Seq] = r.Call
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	l.Close()
	if r := p.mustVerify(t, ""); r.Records != writers*each+1 || len(acked) != writers*each {
		t.Errorf("%d records, %d numbers acknowledged; want %d", r.Records, len(acked), writers*each)
	}
	for _, r := range p.readAll(t)[1:] {
		if acked[r.Seq] != r.Call {
			t.Errorf("record %d is %s, acknowledged was %s", r.Seq, r.Call, acked[r.Seq])
		}
	}
}

// A plain record is synced and signed without anybody asking.
func TestBackgroundCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		l := p.open(t, Options{})
		for range 3 {
			before := l.Checkpoint()
			appendN(t, l, 1)
			head := l.Head()
			time.Sleep(syncAfter) // fake time
			synctest.Wait()
			if synced, _ := progress(l); synced != head.Seq {
				t.Errorf("synced to %d, want %d", synced, head.Seq)
			}
			time.Sleep(signAfter)
			synctest.Wait()
			if _, signed := progress(l); signed != head || l.Checkpoint() == before {
				t.Errorf("signed to %d, want %d", signed.Seq, head.Seq)
			}
			p.mustVerify(t, l.Checkpoint())
		}
		size := len(readFile(t, p.checkpoints()))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(readFile(t, p.checkpoints())) != size {
			t.Error("an idle log goes on signing")
		}
		l.Close()
	})
}

// progress returns how far the log is synced and signed.
func progress(l *Log) (synced uint64, signed Head) {
	l.mu.Lock()
	synced = l.synced
	l.mu.Unlock()
	l.signed.mu.Lock()
	defer l.signed.mu.Unlock()
	return synced, l.signed.last
}

func TestSignEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		l := p.open(t, Options{})
		for range 4 {
			appendN(t, l, signEvery)
			synctest.Wait() // no time passes: it is the count that signs
			if _, got := progress(l); got != l.Head() {
				t.Errorf("signed to %d, want %d", got.Seq, l.Head().Seq)
			}
		}
		l.Close()
	})
}

// A failure of the disk ends the log, and nothing later hides it.
func TestFailureIsFinal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, *Log)
		add   func(*Log) func(*Record) error
		cause error
	}{
		{"fdatasync", func(t *testing.T, l *Log) {
			r, w, err := os.Pipe() // takes writes, cannot be synced
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			l.out.f = w
		}, func(l *Log) func(*Record) error { return l.AppendDurable }, unix.EINVAL},
		{"write", func(t *testing.T, l *Log) { l.out.f.Close() },
			func(l *Log) func(*Record) error { return l.Append }, os.ErrClosed},
		{"checkpoint", func(t *testing.T, l *Log) { l.signed.out.f.Close(); l.maxFile = 1 },
			func(l *Log) func(*Record) error { return l.Append }, os.ErrClosed},
		{"reserve", func(t *testing.T, l *Log) { l.reserve.f.Close(); l.reserve.full = false },
			func(l *Log) func(*Record) error { return l.Append }, os.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newPlace(t).open(t, Options{})
			if err := tt.add(l)(&Record{Type: TypeNote}); err != nil {
				t.Fatal("before: ", err)
			}
			l.mu.Lock()
			tt.spoil(t, l)
			l.mu.Unlock()
			err := tt.add(l)(&Record{Type: TypeNote})
			if !errors.Is(err, ErrFailed) || !errors.Is(err, tt.cause) && !strings.Contains(err.Error(), tt.cause.Error()) {
				t.Errorf("got %v, want %v and %v", err, ErrFailed, tt.cause)
			}
			for _, add := range []func(*Record) error{l.Append, l.AppendDurable, l.AppendCritical} {
				if again := add(&Record{Type: TypeNote}); again == nil || again.Error() != err.Error() {
					t.Errorf("later: %v, want %v", again, err)
				}
			}
			if l.Err() == nil {
				t.Error("Err is nil")
			}
			if err := l.Close(); !errors.Is(err, ErrFailed) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// A container once used up the daemon's files; the next new file of the log could
// not be opened, and nothing was recorded any more, kills included.
func TestNoFileToSpare(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{maxFile: 2000})
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		defer f.Close()
	}
	for i := range 40 {
		if err := l.Append(&Record{Type: TypeEgress, Server: "s"}); err != nil {
			t.Fatalf("record %d without a file to spare: %v", i, err)
		}
	}
	if err := l.AppendCritical(&Record{Type: TypeKill, Server: "s"}); err != nil {
		t.Fatalf("a kill without a file to spare: %v", err)
	}
	if l.index != 1 {
		t.Errorf("there are %d files, want the first alone", l.index)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.rotateAt = time.Time{}
	l.mu.Unlock()
	if err := l.Append(&Record{Type: TypeEgress, Server: "s"}); err != nil || l.index != 2 {
		t.Errorf("afterwards: %v, file %d, want the second", err, l.index)
	}
	l.Close()
	p.mustVerify(t, "")
}
