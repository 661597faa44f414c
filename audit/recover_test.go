package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mcprun/mcprun"
)

// unsigned returns a log as a crash leaves it whose last n records no checkpoint
// covers.
func unsigned(t *testing.T, n int) place {
	t.Helper()
	p := newPlace(t)
	l := p.open(t, Options{})
	l.signTimer.Stop()
	l.signed.mu.Lock() // no checkpoint while we look
	defer l.signed.mu.Unlock()
	appendN(t, l, n)
	return p.copy(t)
}

// However much of the last record a crash leaves, all before it stays, and the
// piece is recorded.
func TestTornTail(t *testing.T) {
	orig := unsigned(t, 3)
	whole := readFile(t, orig.file(1))
	lines := readLines(t, orig.file(1))
	last := lines[len(lines)-1]
	last = append(last, '\n')
	start := len(whole) - len(last)
	for keep := range len(last) {
		p := orig.copy(t)
		writeFile(t, p.file(1), whole[:start+keep])
		if r := p.verify(t, ""); !r.OK() || r.Torn != int64(keep) || r.Records != 3 {
			t.Errorf("keep %d: before opening: %+v", keep, r)
		}
		p.open(t, Options{}).Close()
		p.mustVerify(t, "")
		got := p.readAll(t)[3:]
		var want []Record
		if keep > 0 {
			piece := whole[start : start+keep]
			want = []Record{{Seq: 4, Type: TypeTornTail, Size: int64(keep), Detail: map[string]string{
				"file": fileName(1), "offset": fmt.Sprint(start), "sha256": strings.TrimPrefix(sha(piece), "sha256:"),
			}}}
			got[0].Time = want[0].Time
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("keep %d: %s", keep, diff)
		}
	}
}

func TestRecover(t *testing.T) {
	for _, tt := range []struct {
		name  string
		crash func(*testing.T, place)
		torn  int   // torn-tail records
		size  int64 // of the first
	}{
		{"nothing", func(*testing.T, place) {}, 0, 0},
		{"zeros", func(t *testing.T, p place) { addTo(t, p.file(1), make([]byte, 4096)) }, 1, 4096},
		{"zeros over a bound", func(t *testing.T, p place) { addTo(t, p.file(1), make([]byte, 3*MaxLine)) }, 1, 3 * MaxLine},
		{"zeros, then what was written after", func(t *testing.T, p place) {
			addTo(t, p.file(1), append(make([]byte, 100), "tail of a record}\n{\"seq\":9"...))
		}, 1, 126},
		{"torn checkpoint", func(t *testing.T, p place) { addTo(t, p.checkpoints(), []byte("mcprun-audit/0123")) }, 1, 17},
		{"torn checkpoint after its signature", func(t *testing.T, p place) {
			b := readFile(t, p.checkpoints())
			writeFile(t, p.checkpoints(), append(b, b[:len(b)-1]...))
		}, 1, 0},
		{"zeros in the checkpoints", func(t *testing.T, p place) { addTo(t, p.checkpoints(), make([]byte, 4096)) }, 1, 4096},
		{"both", func(t *testing.T, p place) { addTo(t, p.file(1), []byte("{")); addTo(t, p.checkpoints(), []byte("m")) }, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := unsigned(t, 3)
			tt.crash(t, p)
			p.open(t, Options{}).Close()
			p.mustVerify(t, "")
			all := p.readAll(t)
			torn := ofType(all, TypeTornTail)
			if len(all) != 4+tt.torn || len(torn) != tt.torn {
				t.Fatalf("%d records, %d of them torn-tail; want %d and %d", len(all), len(torn), 4+tt.torn, tt.torn)
			}
			if tt.size > 0 && torn[0].Size != tt.size {
				t.Errorf("torn %d bytes, want %d", torn[0].Size, tt.size)
			}
		})
	}
}

// A first start that was cut short is begun anew.
func TestCrashAtBirth(t *testing.T) {
	whole := newPlace(t)
	whole.open(t, Options{}).Close()
	genesis := readFile(t, whole.file(1))
	for _, tt := range []struct {
		name string
		keep int
		want uint64
	}{{"empty", 0, 1}, {"torn", 20, 2}, {"no checkpoint", len(genesis), 1}} {
		t.Run(tt.name, func(t *testing.T) {
			p := whole.copy(t)
			writeFile(t, p.file(1), genesis[:tt.keep])
			writeFile(t, p.checkpoints(), nil)
			p.open(t, Options{}).Close()
			if r := p.mustVerify(t, ""); r.Records != tt.want {
				t.Errorf("%d records, want %d", r.Records, tt.want)
			}
		})
	}
}

// What no crash explains keeps the log shut and says where.
func TestOpenRefuses(t *testing.T) {
	orig := newPlace(t)
	l := orig.open(t, Options{})
	appendN(t, l, 5)
	l.Close()
	other := newPlace(t)
	other.open(t, Options{}).Close()
	editLine := func(p place, n int, from, to string) {
		lines := readLines(t, p.file(1))
		lines[n-1] = bytes.Replace(lines[n-1], []byte(from), []byte(to), 1)
		writeLines(t, p.file(1), lines)
	}
	for _, tt := range []struct {
		name   string
		tamper func(place)
		want   string // "" is a Problem's absence
		kind   Kind
	}{
		{"edit", func(p place) { editLine(p, 3, "c-1", "c-9") }, "audit-00000001.jsonl:4: broken-link", BrokenLink},
		{"edit of the last", func(p place) { editLine(p, 6, "c-4", "c-9") }, "audit-00000001.jsonl:6: rewritten", Rewritten},
		{"garbage", func(p place) { editLine(p, 3, "{", "[") }, "audit-00000001.jsonl:3: malformed", Malformed},
		{"a NUL in what was signed", func(p place) { editLine(p, 3, "c-1", "c-\x00") }, "cut: the log ends with record 2; record 6 was signed", Cut},
		{"drop", func(p place) {
			lines := readLines(t, p.file(1))
			writeLines(t, p.file(1), append(lines[:2], lines[3:]...))
		}, "audit-00000001.jsonl:3: missing: record 4 stands where 3", Missing},
		{"cut", func(p place) { writeLines(t, p.file(1), readLines(t, p.file(1))[:4]) }, "cut: the log ends with record 4; record 6 was signed", Cut},
		{"emptied", func(p place) { writeFile(t, p.file(1), nil) }, "cut: the log ends with record 0", Cut},
		{"gone", func(p place) { os.Remove(p.file(1)) }, "cut: the log ends with record 0", Cut},
		{"file before is gone", func(p place) { os.Remove(p.file(1)); writeFile(t, p.file(2), nil) }, "reading the file before", ""},
		{"newest is not the next", func(p place) {
			os.Rename(p.file(1), p.file(2))
		}, "", ""}, // pruned of nothing: file 2 holds the whole chain, Verify complains
		{"checkpoints gone", func(p place) { os.Remove(p.checkpoints()) }, "checkpoints:0: unsigned", Unsigned},
		{"checkpoints of another log", func(p place) { writeFile(t, p.checkpoints(), readFile(t, other.checkpoints())) }, "checkpoints:0: signature", Signature},
		{"key lost", func(p place) { os.Remove(filepath.Join(p.key, privateFile)) }, "opening the audit key", ""},
		{"another key", func(p place) {
			writeFile(t, filepath.Join(p.key, privateFile), readFile(t, filepath.Join(other.key, privateFile)))
		}, "checkpoints:0: signature", Signature},
		{"key for all to read", func(p place) { os.Chmod(filepath.Join(p.key, privateFile), 0o644) }, "may be read by others", ""},
		{"key is not one", func(p place) { writeFile(t, filepath.Join(p.key, privateFile), []byte("secret")) }, "the audit key is not one", ""},
		{"folder for all to enter", func(p place) { os.Chmod(p.log, 0o755) }, "may be entered by others", ""},
		{"a link", func(p place) {
			os.Rename(p.file(1), p.file(1)+".old")
			os.Symlink(p.file(1)+".old", p.file(1))
		}, "too many levels of symbolic links", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := orig.copy(t)
			tt.tamper(p)
			before := snapshot(t, p.log)
			l, err := p.tryOpen(Options{})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
				if r := p.verify(t, ""); r.OK() {
					t.Error("it verifies")
				}
				return
			}
			if err == nil {
				l.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the key: %q", err)
			}
			var problem *Problem
			if got := errors.As(err, &problem); got != (tt.kind != "") || got && problem.Kind != tt.kind {
				t.Errorf("problem %+v, want kind %q", problem, tt.kind)
			}
			var hint *mcprun.Error
			if errors.As(err, &hint); tt.kind != "" && hint.Hint != "mcprun audit verify" {
				t.Errorf("hint %q", hint.Hint)
			}
			if diff := cmp.Diff(before, snapshot(t, p.log)); diff != "" {
				t.Errorf("a refused log was changed: %s", diff)
			}
		})
	}
}

// snapshot returns what stands in the log's files; empty ones do not count.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	files, err := filepath.Glob(filepath.Join(dir, "[ac]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b := readFile(t, f); len(b) > 0 {
			m[filepath.Base(f)] = string(b)
		}
	}
	return m
}

func TestKeyFolderOutsideTheLog(t *testing.T) {
	base := t.TempDir()
	logDir := filepath.Join(base, "log")
	os.Mkdir(filepath.Join(base, "real"), 0o700)
	os.Mkdir(logDir, 0o700)
	os.Symlink(logDir, filepath.Join(base, "link"))
	for _, tt := range []struct{ key, want string }{
		{logDir, "is within the log's"},
		{filepath.Join(logDir, "key"), "is within the log's"},
		{filepath.Join(base, "link", "key"), "is within the log's"},
		{"", "no folder for the key was given"},
		{filepath.Join(base, "real"), ""},
		{filepath.Join(base, "log-key"), ""},
	} {
		l, err := Open(logDir, Options{KeyDir: tt.key})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.key, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.key, err, tt.want)
		}
		if err == nil {
			l.Close()
			for _, f := range []string{"audit-00000001.jsonl", checkpointFile} {
				os.Remove(filepath.Join(logDir, f))
			}
		}
	}
}

func addTo(t *testing.T, name string, b []byte) {
	t.Helper()
	writeFile(t, name, append(readFile(t, name), b...))
}
