package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/testenv"
)

// smallDisk mounts a file system of the given size for the log. The key stays
// outside.
func smallDisk(t *testing.T, size string) place {
	t.Helper()
	needRoot(t)
	p := newPlace(t)
	if err := os.Mkdir(p.log, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", p.log, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.log, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return p
}

func needRoot(t *testing.T) {
	t.Helper()
	testenv.Need(t, "root")
}

// fill appends until not even the smallest record fits, and returns how many
// went in.
func fill(t *testing.T, l *Log) int {
	t.Helper()
	return fillWith(t, l, Record{Type: TypeNote, Why: strings.Repeat("x", 999)}) + fillWith(t, l, Record{Type: TypeNote})
}

func fillWith(t *testing.T, l *Log, r Record) int {
	t.Helper()
	for n := 0; ; n++ {
		err := l.Append(&r)
		if errors.Is(err, ErrNoSpace) {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%v does not wrap ENOSPC", err)
			}
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	p := smallDisk(t, "3m")
	ballast := filepath.Join(p.log, "ballast")
	writeFile(t, ballast, make([]byte, 1<<20))
	l := p.open(t, Options{})
	n := fill(t, l)
	if n < 500 {
		t.Fatalf("only %d records fit", n)
	}
	if err := l.AppendDurable(&Record{Type: TypeNote, Why: strings.Repeat("x", 999)}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("durable on a full disk: %v", err)
	}

	// Kills go on, and nothing else eats what is left for them.
	const kills = 500
	for i := range kills {
		r := Record{Type: TypeKill, Server: "files", Who: "uid:0", Why: "it misbehaves"}
		if err := l.AppendCritical(&r); err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if err := l.Append(&Record{Type: TypeNote}); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("plain record after kill %d: %v", i, err)
		}
	}
	if l.Err() != nil {
		t.Fatal("a full disk is not a failure: ", l.Err())
	}
	p.mustVerify(t, "")

	// Space is back: all goes on, and there is a reserve again.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(&Record{Type: TypeNote}); err != nil {
		t.Errorf("after space came back: %v", err)
	}
	fill(t, l)
	if err := l.AppendCritical(&Record{Type: TypeKill}); err != nil {
		t.Errorf("second time: %v", err)
	}
	head := l.Head()
	l.Close()
	if r := p.mustVerify(t, ""); r.Head != head {
		t.Errorf("verified up to %d, want %d", r.Head.Seq, head.Seq)
	}
	if got := len(ofType(p.readAll(t), TypeKill)); got != kills+1 {
		t.Errorf("%d kills in the record, want %d", got, kills+1)
	}
}

// A disk that is full at the very moment a file must be begun.
func TestDiskFullInRotate(t *testing.T) {
	p := smallDisk(t, "2m")
	l := p.open(t, Options{maxFile: 100_000})
	fill(t, l)
	if err := l.AppendCritical(&Record{Type: TypeKill, Detail: map[string]string{"x": strings.Repeat("x", MaxDetailValue)}}); err != nil {
		t.Error(err)
	}
	for range 200 { // over the end of a file
		if err := l.AppendCritical(&Record{Type: TypeKill, Why: strings.Repeat("x", 999)}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	if r := p.mustVerify(t, ""); r.Files < 4 {
		t.Errorf("%d files", r.Files)
	}
}

// A daemon that starts on a full disk comes up, can record a kill if the reserve
// was there, and refuses plain records.
func TestOpenOnFullDisk(t *testing.T) {
	for _, kept := range []bool{true, false} {
		p := smallDisk(t, "2m")
		l := p.open(t, Options{})
		fill(t, l)
		l.Close()
		if !kept {
			// Another program took the reserve's space.
			os.Truncate(filepath.Join(p.log, reserveFile), 0)
			eatDisk(t, filepath.Join(p.log, "ballast"))
		}
		l = p.open(t, Options{})
		if err := l.Append(&Record{Type: TypeNote, Why: strings.Repeat("x", MaxText)}); !errors.Is(err, ErrNoSpace) {
			t.Errorf("reserve %v: plain: %v", kept, err)
		}
		if err := l.AppendCritical(&Record{Type: TypeKill, Why: strings.Repeat("x", MaxText)}); kept != (err == nil) || !kept && !errors.Is(err, ErrNoSpace) {
			t.Errorf("reserve %v: critical: %v", kept, err)
		}
		l.Close()
		p.mustVerify(t, "")
	}
}

func TestNewLogOnFullDisk(t *testing.T) {
	p := smallDisk(t, "64k")
	eatDisk(t, filepath.Join(p.log, "ballast"))
	l, err := p.tryOpen(Options{})
	if err == nil {
		l.Close()
		t.Fatal("it opened")
	}
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want %v", err, ErrNoSpace)
	}
	var e *mcprun.Error
	if !errors.As(err, &e) || e.Class != mcprun.Failed {
		t.Errorf("%#v is not for people", err)
	}
	if err := os.Remove(filepath.Join(p.log, "ballast")); err != nil {
		t.Fatal(err)
	}
	p.open(t, Options{Reserve: 4096}).Close()
	p.mustVerify(t, "")
}

func eatDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
