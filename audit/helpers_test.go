package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
)

// place is where a test keeps a log and its key.
type place struct{ log, key string }

func newPlace(t testing.TB) place {
	t.Helper()
	base := t.TempDir()
	return place{filepath.Join(base, "log"), filepath.Join(base, "key")}
}

func (p place) open(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := p.tryOpen(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (p place) tryOpen(opts Options) (*Log, error) {
	opts.KeyDir = p.key
	return Open(p.log, opts)
}

func (p place) publicKey(t testing.TB) string {
	t.Helper()
	k, err := PublicKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p place) verify(t testing.TB, since string) Report {
	t.Helper()
	r, err := Verify(p.log, VerifyOptions{PublicKey: p.publicKey(t), Since: since})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mustVerify wants a log without a fault and returns what was found of it.
func (p place) mustVerify(t testing.TB, since string) Report {
	t.Helper()
	r := p.verify(t, since)
	for _, problem := range r.Problems {
		t.Errorf("an honest log does not verify: %v", &problem)
	}
	return r
}

// copy returns the same log and key elsewhere: what a crash at this moment leaves.
func (p place) copy(t testing.TB) place {
	t.Helper()
	q := newPlace(t)
	copyDir(t, p.log, q.log)
	copyDir(t, p.key, q.key)
	return q
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Mkdir(to, dirMode); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == reserveFile {
			continue // a megabyte of nothing
		}
		writeFile(t, filepath.Join(to, e.Name()), readFile(t, filepath.Join(from, e.Name())))
	}
}

func (p place) file(index int) string { return filepath.Join(p.log, fileName(index)) }
func (p place) checkpoints() string   { return filepath.Join(p.log, checkpointFile) }

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, fileMode); err != nil {
		t.Fatal(err)
	}
}

func readLines(t testing.TB, name string) [][]byte {
	t.Helper()
	return bytes.SplitAfter(bytes.TrimSuffix(readFile(t, name), []byte("\n")), []byte("\n"))
}

func writeLines(t testing.TB, name string, lines [][]byte) {
	t.Helper()
	writeFile(t, name, append(bytes.TrimSuffix(bytes.Join(lines, nil), []byte("\n")), '\n'))
}

func appendN(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		r := numbered(i)
		if err := l.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(i int) Record {
	return Record{Type: TypeCall, Call: mcprun.CallID(fmt.Sprintf("c-%d", i)), Server: "files", Tool: "read_file", Verdict: mcprun.Allow, Risk: mcprun.Low}
}

// readAll returns all records of a log.
func (p place) readAll(t testing.TB) []Record {
	t.Helper()
	r, err := NewReader(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []Record
	for e, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Record)
	}
	return out
}

func ofType(records []Record, typ Type) []Record {
	var out []Record
	for _, r := range records {
		if r.Type == typ {
			out = append(out, r)
		}
	}
	return out
}

// clock is a clock that the test sets.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func sha(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
