package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTail(t *testing.T) {
	p := newTampered(t).place // 33 records in three files
	for _, tt := range []struct {
		n     int
		first uint64 // 0 is none
		at    string
	}{
		{-1, 0, ""}, {0, 0, ""}, {1, 33, "audit-00000003.jsonl:7"}, {7, 27, "audit-00000003.jsonl:1"}, {8, 26, "audit-00000002.jsonl:13"},
		{20, 14, "audit-00000002.jsonl:1"}, {21, 13, "audit-00000001.jsonl:13"}, {33, 1, "audit-00000001.jsonl:1"}, {1000, 1, "audit-00000001.jsonl:1"},
	} {
		var got []Entry
		if err := Tail(t.Context(), p.log, tt.n, false, func(e Entry) error { got = append(got, e); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != min(33, max(0, tt.n)) {
			t.Errorf("n %d: %d records", tt.n, len(got))
		}
		if len(got) > 0 && (got[0].Record.Seq != tt.first || got[0].At.String() != tt.at) {
			t.Errorf("n %d: begins with record %d at %s, want %d at %s", tt.n, got[0].Record.Seq, got[0].At, tt.first, tt.at)
		}
	}
	stop := errors.New("enough")
	if err := Tail(t.Context(), p.log, 5, true, func(Entry) error { return stop }); err != stop {
		t.Errorf("got %v, want the error of fn", err)
	}
	if err := Tail(t.Context(), t.TempDir(), 5, true, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
}

// Following goes over the ends of files and misses nothing.
func TestTailFollow(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		l := p.open(t, Options{maxFile: 2000})
		appendN(t, l, 5)
		ctx, cancel := context.WithCancel(t.Context())
		var got []uint64
		done := make(chan error)
		go func() {
			done <- Tail(ctx, p.log, 2, true, func(e Entry) error { got = append(got, e.Record.Seq); return nil })
		}()
		for range 10 {
			synctest.Wait()
			appendN(t, l, 7)
			time.Sleep(pollEvery) // fake time
		}
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got[0] != 5 || got[len(got)-1] != 76 || len(got) != 72 {
			t.Errorf("got %v, want 5 to 76", got)
		}
		if l.index < 5 {
			t.Errorf("only %d files", l.index)
		}
		l.Close()
	})
}

// A line is not read before it is whole, and a piece that was taken back is
// forgotten.
func TestReaderOnGrowingFile(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{})
	appendN(t, l, 2)
	l.Close()
	whole := readFile(t, p.file(1))
	lines := readLines(t, p.file(1))
	end := len(whole) - len(lines[2]) - 1
	writeFile(t, p.file(1), whole[:end])
	r, err := NewReader(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := func(want uint64) {
		t.Helper()
		e, err := r.Next()
		if want == 0 && err != io.EOF || want != 0 && (err != nil || e.Record.Seq != want) {
			t.Fatalf("record %d, %v; want %d", e.Record.Seq, err, want)
		}
	}
	next(1)
	next(2)
	next(0)
	writeFile(t, p.file(1), append(whole[:end:end], `{"seq":3,"prev":"another that had no space`...))
	next(0)
	writeFile(t, p.file(1), whole[:end+10])
	next(0)
	writeFile(t, p.file(1), whole)
	next(3)
	next(0)
}

func TestReaderFindsBrokenChain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(tampered)
		want   string
	}{
		{"edit", func(p tampered) { p.lines(2, func(l [][]byte) [][]byte { return edit(l, 1, "c-", "d-") }) }, "audit-00000002.jsonl:2: broken-link"},
		{"torn in the middle", func(p tampered) {
			b := readFile(t, p.file(2))
			writeFile(t, p.file(2), b[:len(b)-1])
		}, "audit-00000002.jsonl:13: malformed: the file ends within a line"},
		{"emptied file", func(p tampered) { writeFile(t, p.file(2), nil) }, "audit-00000003.jsonl:1: missing"},
		{"too long", func(p tampered) { addTo(t, p.file(2), []byte(strings.Repeat("x", MaxLine))) }, "audit-00000002.jsonl:14: malformed: a line is longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTampered(t)
			tt.tamper(p)
			r, err := NewReader(p.log)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var last error
			n := 0
			for _, err := range r.All() {
				last = err
				n++
			}
			if last == nil || !strings.Contains(last.Error(), tt.want) {
				t.Errorf("after %d records: %v, want %q", n, last, tt.want)
			}
		})
	}
}

func TestLongestLine(t *testing.T) {
	name := t.TempDir() + "/lines"
	for _, tt := range []struct {
		size int // with its newline
		want error
	}{{MaxLine - 1, nil}, {MaxLine, nil}, {MaxLine + 1, errLong}, {5 * MaxLine, errLong}} {
		long := strings.Repeat("x", tt.size-1) + "\n"
		writeFile(t, name, []byte("first\n"+long+"last\n"))
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		l := newLineReader(f)
		want := func(line string, wantErr error) {
			t.Helper()
			if got, err := l.next(); string(got) != line || err != wantErr {
				t.Errorf("size %d: %.20q, %v; want %.20q, %v", tt.size, got, err, line, wantErr)
			}
		}
		want("first\n", nil)
		if tt.want == nil {
			want(long, nil)
		} else {
			want("", errLong)
			if err := l.skip(); err != nil {
				t.Error(err)
			}
		}
		want("last\n", nil)
		want("", io.EOF)
		if got := fmt.Sprint(l.line, l.off); got != fmt.Sprint(3, 6+tt.size+5) {
			t.Errorf("size %d: line and offset %s", tt.size, got)
		}
	}
}

// Since begins early enough, and not with the first file of a long log.
func TestSince(t *testing.T) {
	p, c := newPlace(t), newClock()
	l := p.open(t, Options{maxFile: 2000, Now: c.now})
	for range 100 {
		c.t = c.t.Add(time.Second)
		if err := l.Append(&Record{Type: TypeNote, Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	from := c.t.Add(-10 * time.Second)
	n, before := 0, 0
	if err := Since(p.log, from, func(e Entry) error {
		if e.Record.Time.Before(from) {
			before++
		} else {
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != 11 || before > 40 {
		t.Errorf("%d records since then, want 11; %d before", n, before)
	}
	n = 0
	if err := Since(p.log, time.Time{}, func(Entry) error { n++; return nil }); err != nil || n != 101 {
		t.Errorf("from the beginning: %d records, %v; want 101", n, err)
	}
}
