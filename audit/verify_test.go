package audit

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// tampered is a log to be tampered with: records 1-13, 14-26 and 27-33 in three
// files, with checkpoints of records 1, 13, 17, 26 and 33, 7 lines each.
type tampered struct {
	place
	t     *testing.T
	since string // a checkpoint of its head
	early string // one of its first record
	old   place  // the same log when it had 17 records
}

func newTampered(t *testing.T) tampered {
	t.Helper()
	p := tampered{place: newPlace(t), t: t}
	synctest.Test(t, func(*testing.T) { // time stands still: no checkpoint by the clock
		l := p.open(t, Options{maxFile: 3000})
		p.early = l.Checkpoint()
		appendN(t, l, 16)
		l.Close()
		p.old = p.copy(t)
		l = p.open(t, Options{maxFile: 3000})
		appendN(t, l, 16)
		l.Close()
		p.since = l.Checkpoint()
	})
	if r := p.mustVerify(t, p.since); !r.OK() || r.Records != 33 || r.Checkpoints != 5 || r.Files != 3 {
		t.Fatalf("not the log that the tests expect: %+v", r)
	}
	return p
}

func (p tampered) lines(file int, change func([][]byte) [][]byte) {
	writeLines(p.t, p.file(file), change(readLines(p.t, p.file(file))))
}

// rechain makes the links of a file's lines fit again from line from on, as one
// would who has no key.
func rechain(t *testing.T, lines [][]byte, from int) [][]byte {
	var p parser
	for i := from; i < len(lines); i++ {
		prev := append(bytes.TrimSuffix(lines[i-1], []byte("\n")), '\n')
		rec, _, err := p.parse(append(bytes.TrimSuffix(lines[i], []byte("\n")), '\n'))
		if err != nil {
			t.Fatal(err)
		}
		lines[i], _ = appendBody(appendHead(nil, rec.Seq, sha256.Sum256(prev), rec.Time), &rec)
	}
	return lines
}

func edit(lines [][]byte, n int, from, to string) [][]byte {
	if !bytes.Contains(lines[n-1], []byte(from)) {
		panic("line " + string(lines[n-1]) + " has no " + from)
	}
	lines[n-1] = bytes.Replace(lines[n-1], []byte(from), []byte(to), 1)
	return lines
}

// editLink changes the first digit of the hash that a line names.
func editLink(lines [][]byte, n int) [][]byte {
	i := bytes.Index(lines[n-1], []byte(`"prev":"`)) + len(`"prev":"`)
	if lines[n-1][i]++; lines[n-1][i] != '1' {
		lines[n-1][i] = '0'
	}
	return lines
}

func TestVerifyFinds(t *testing.T) {
	orig := newTampered(t)
	foreign := newTampered(t)
	for _, tt := range []struct {
		name   string
		tamper func(tampered)
		at     string // of the first problem
		kind   Kind
		what   string
	}{
		{"edit", func(p tampered) { p.lines(1, func(l [][]byte) [][]byte { return edit(l, 3, "c-1", "c-9") }) },
			"audit-00000001.jsonl:4", BrokenLink, "record 4 names another hash than that of record 3"},
		{"edit of the link", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return editLink(l, 3) })
		}, "audit-00000001.jsonl:3", BrokenLink, "record 3 names another hash than that of record 2"},
		{"edit of the last", func(p tampered) {
			p.lines(3, func(l [][]byte) [][]byte { return edit(l, len(l), "c-15", "c-16") })
		}, "audit-00000003.jsonl:7", Rewritten, "record 33 is not the one that was signed (checkpoints:29)"},
		{"edit with all links mended", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return rechain(t, edit(l, 3, "c-1", "c-9"), 3) })
			l2 := append(readLines(t, p.file(1))[12:], readLines(t, p.file(2))...)
			writeLines(t, p.file(2), rechain(t, l2, 1)[1:])
			l3 := append(readLines(t, p.file(2))[12:], readLines(t, p.file(3))...)
			writeLines(t, p.file(3), rechain(t, l3, 1)[1:])
		}, "audit-00000001.jsonl:13", Rewritten, "record 13 is not the one that was signed"},
		{"drop", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return slices.Delete(l, 3, 5) })
		}, "audit-00000001.jsonl:4", Missing, "record 6 stands where 4 belongs: records were dropped or swapped"},
		{"swap", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l })
		}, "audit-00000001.jsonl:4", Missing, "record 5 stands where 4 belongs: records were dropped or swapped"},
		{"repeat", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return slices.Insert(l, 4, l[3]) })
		}, "audit-00000001.jsonl:5", Disorder, "record 4 stands where 5 belongs: records were swapped, repeated or put in"},
		{"cut in the newest file", func(p tampered) {
			p.lines(3, func(l [][]byte) [][]byte { return l[:5] })
		}, "audit-00000003.jsonl:0", Cut, "the log ends with record 31; checkpoints:29 says that there were 33"},
		{"cut within a record", func(p tampered) {
			b := readFile(t, p.file(3))
			writeFile(t, p.file(3), b[:len(b)-5])
		}, "audit-00000003.jsonl:0", Cut, "the log ends with record 32; checkpoints:29 says that there were 33"},
		{"cut in an older file", func(p tampered) {
			b := readFile(t, p.file(2))
			writeFile(t, p.file(2), b[:len(b)-5])
		}, "audit-00000002.jsonl:13", Malformed, "the last line has no end"},
		{"newest file gone", func(p tampered) { os.Remove(p.file(3)) },
			"audit-00000002.jsonl:0", Cut, "the log ends with record 26"},
		{"middle file gone", func(p tampered) { os.Remove(p.file(2)) },
			"audit-00000002.jsonl:0", Missing, "the file is missing; audit-00000003.jsonl is there"},
		{"splice of another log's record", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { l[5] = readLines(t, foreign.file(1))[5]; return l })
		}, "audit-00000001.jsonl:6", BrokenLink, "record 6 names another hash than that of record 5"},
		{"splice of another log's tail", func(p tampered) {
			writeFile(t, p.file(3), readFile(t, foreign.file(3)))
		}, "audit-00000003.jsonl:1", BrokenLink, "record 27 names another hash than that of record 26"},
		{"another log, whole, with our checkpoints", func(p tampered) {
			for i := 1; i <= 3; i++ {
				writeFile(t, p.file(i), readFile(t, foreign.file(i)))
			}
		}, "audit-00000001.jsonl:1", Foreign, ", its checkpoints are of mcprun-audit/"},
		{"replay of an old file", func(p tampered) { writeFile(t, p.file(2), readFile(t, p.old.file(2))) },
			"audit-00000003.jsonl:1", Missing, "record 27 stands where 18 belongs"},
		{"swapped files", func(p tampered) {
			a, b := readFile(t, p.file(2)), readFile(t, p.file(3))
			writeFile(t, p.file(2), b)
			writeFile(t, p.file(3), a)
		}, "audit-00000002.jsonl:1", Missing, "record 27 stands where 14 belongs"},
		{"whole log set back, found by a checkpoint kept elsewhere", func(p tampered) {
			os.RemoveAll(p.log)
			copyDir(t, p.old.log, p.log)
		}, "audit-00000002.jsonl:0", Cut, "the log ends with record 17; the checkpoint to start from has 33"},
		{"a line too long", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte {
				return slices.Insert(l, 4, bytes.Repeat([]byte("x"), 10*MaxLine), []byte("\n"))
			})
		}, "audit-00000001.jsonl:5", Malformed, "a line is longer than any that the log writes"},
		{"an unreadable line", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return slices.Insert(l, 4, []byte("{}\n")) })
		}, "audit-00000001.jsonl:5", Malformed, "record 0: they count from 1"},
		{"no genesis", func(p tampered) {
			p.lines(1, func(l [][]byte) [][]byte { return edit(l, 1, `"log"`, `"lag"`) })
		}, "audit-00000001.jsonl:1", Malformed, "the first record does not begin a log"},
		{"checkpoint edited", func(p tampered) { editFile(t, p.checkpoints(), "\n33\n", "\n34\n") },
			"checkpoints:29", Signature, "the checkpoint is not signed by the key"},
		{"checkpoint's signature edited", func(p tampered) {
			b := readFile(t, p.checkpoints())
			// Another letter of base64, or the note would be malformed rather than unsigned.
			at := bytes.Index(b, []byte("— ")) + 40
			b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
			writeFile(t, p.checkpoints(), b)
		}, "checkpoints:1", Signature, "the checkpoint is not signed by the key"},
		{"checkpoints in another order", func(p tampered) {
			a, rest := splitNote(readFile(t, p.checkpoints()))
			b, rest := splitNote(rest)
			writeFile(t, p.checkpoints(), slices.Concat(b, []byte("\n"), a, []byte("\n"), rest))
		}, "checkpoints:8", Disorder, "the checkpoint is not newer than the one before it"},
		{"checkpoints of another log", func(p tampered) { writeFile(t, p.checkpoints(), readFile(t, foreign.checkpoints())) },
			"checkpoints:1", Signature, "the checkpoint is not signed by the key"},
		{"checkpoints gone", func(p tampered) { os.Remove(p.checkpoints()) },
			"checkpoints:0", Unsigned, "there is no checkpoint of this log"},
		{"checkpoints emptied", func(p tampered) { writeFile(t, p.checkpoints(), nil) },
			"checkpoints:0", Unsigned, "there is no checkpoint of this log"},
		{"all gone", func(p tampered) { os.RemoveAll(p.log); os.Mkdir(p.log, dirMode) },
			"checkpoints:0", Cut, "the log ends with record 0; the checkpoint to start from has 33"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := orig
			p.place = orig.copy(t)
			tt.tamper(p)
			since := ""
			if strings.Contains(tt.what, "to start from") {
				since = p.since
			}
			r := p.verify(t, since)
			if r.OK() {
				t.Fatal("it verifies")
			}
			got := r.Problems[0]
			if got.At.String() != tt.at || got.Kind != tt.kind || !strings.Contains(got.What, tt.what) {
				t.Errorf("got  %v\nwant %s: %s: %s", &got, tt.at, tt.kind, tt.what)
			}
			if r := p.verify(t, p.since); r.OK() {
				t.Error("it verifies with a checkpoint kept elsewhere")
			}
		})
	}
}

func editFile(t *testing.T, name, from, to string) {
	t.Helper()
	b := readFile(t, name)
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s has no %q", name, from)
	}
	writeFile(t, name, bytes.Replace(b, []byte(from), []byte(to), 1))
}

// An old log, set back whole, is the one thing that cannot be seen from within;
// the package comment says so and this holds it to it.
func TestSetBackIsSeenOnlyFromOutside(t *testing.T) {
	p := newTampered(t)
	p.old.mustVerify(t, "")
	p.old.mustVerify(t, p.early)
	if r := p.old.verify(t, p.since); r.OK() {
		t.Error("a log that was set back verifies against a later checkpoint")
	}
}

// Who cuts the checkpoints can rewrite what they covered, but not what one kept
// elsewhere covers.
func TestRewrittenBehindTheCheckpoints(t *testing.T) {
	p := newTampered(t)
	p.place = p.old
	since := string(lastNote(t, p.checkpoints()))
	first, _ := splitNote(readFile(t, p.checkpoints()))
	writeFile(t, p.checkpoints(), append(bytes.Clone(first), '\n'))
	p.lines(1, func(l [][]byte) [][]byte { return rechain(t, edit(l, 3, "c-1", "c-9"), 3) })
	l2 := slices.Concat(readLines(t, p.file(1))[12:], readLines(t, p.file(2)))
	writeLines(t, p.file(2), rechain(t, l2, 1)[1:])
	if r := p.mustVerify(t, ""); r.Signed != 1 {
		t.Errorf("signed up to %d, want 1", r.Signed)
	}
	r := p.verify(t, since)
	if r.OK() || r.Problems[0].Kind != Rewritten || !strings.Contains(r.Problems[0].What, "record 17 is not the one of the checkpoint to start from") {
		t.Errorf("got %+v", r.Problems)
	}
	// Recovery cannot tie the newest file to a checkpoint either.
	if _, err := p.tryOpen(Options{}); err == nil || !strings.Contains(err.Error(), "the chain does not go through record 1 as it was signed") {
		t.Errorf("open: %v", err)
	}
}

func lastNote(t *testing.T, name string) []byte {
	t.Helper()
	var last []byte
	for msg, rest := splitNote(readFile(t, name)); msg != nil; msg, rest = splitNote(rest) {
		last = msg
	}
	return last
}

func TestVerifySinceWithoutOldFiles(t *testing.T) {
	p := newTampered(t)
	for _, tt := range []struct {
		name  string
		files []int // removed
		since string
		want  Kind
	}{
		{"what the checkpoint covers", []int{1, 2}, p.since, ""},
		{"more than the checkpoint covers", []int{1}, p.early, Missing},
		{"without a checkpoint", []int{1}, "", Missing},
		{"from the middle", []int{2}, p.since, Missing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := p.copy(t)
			for _, i := range tt.files {
				os.Remove(q.file(i))
			}
			r := q.verify(t, tt.since)
			switch {
			case tt.want == "" && !r.OK():
				t.Errorf("got %v", &r.Problems[0])
			case tt.want != "" && (r.OK() || r.Problems[0].Kind != tt.want):
				t.Errorf("got %+v, want %s", r.Problems, tt.want)
			}
		})
	}
	// A file is where the checkpoint ends, and it lies about what was before.
	q := p.copy(t)
	cps := string(readFile(t, q.checkpoints()))
	i := strings.Index(cps, "\n26\n")
	start := strings.LastIndex(cps[:i], "\n\n") + 2
	since := cps[start : i+strings.Index(cps[i:], "=\n\n")+2]
	os.Remove(q.file(1))
	os.Remove(q.file(2))
	q.mustVerify(t, since)
	tampered{place: q, t: t}.lines(3, func(l [][]byte) [][]byte { return editLink(l, 1) })
	if r := q.verify(t, since); r.OK() || r.Problems[0].Kind != Rewritten {
		t.Errorf("got %+v, want %s", r.Problems, Rewritten)
	}
}

func TestVerifyRefusesToGuess(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	for _, q := range []place{p, other} {
		q.open(t, Options{}).Close()
	}
	l := p.open(t, Options{})
	since := l.Checkpoint()
	l.Close()
	good := p.publicKey(t)
	for _, tt := range []struct{ name, dir, key, since, want string }{
		{"no key", p.log, "", "", "the public key is missing or is not one"},
		{"not a key", p.log, "x", "", "the public key is missing or is not one"},
		{"not a checkpoint", p.log, good, "x", "not a signed note"},
		{"changed checkpoint", p.log, good, strings.Replace(since, "\n1\n", "\n2\n", 1), "the checkpoint is not signed by the key"},
		{"key of another", p.log, other.publicKey(t), since, "the checkpoint is not signed by the key"},
		{"no folder", filepath.Join(p.log, "x"), good, "", "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Verify(tt.dir, VerifyOptions{PublicKey: tt.key, Since: tt.since})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	p.mustVerify(t, since+"\n\n") // as it stands in the file
	r, err := Verify(p.log, VerifyOptions{PublicKey: other.publicKey(t)})
	if err != nil || r.OK() || r.Problems[0].Kind != Signature {
		t.Errorf("with the key of another log: %+v, %v", r, err)
	}
}

// No byte of what was signed can be another.
func TestEveryByteCounts(t *testing.T) {
	p := newPlace(t)
	l := p.open(t, Options{})
	r := fullRecord()
	if err := l.Append(&r); err != nil {
		t.Fatal(err)
	}
	appendN(t, l, 1)
	l.Close()
	p.mustVerify(t, "")
	for _, name := range []string{p.file(1), p.checkpoints()} {
		whole := readFile(t, name)
		for i := range whole {
			for _, b := range []byte{whole[i] ^ 1, whole[i] ^ 0x20, '\n', 0} {
				if b == whole[i] {
					continue
				}
				putByte(t, name, i, b)
				r := p.verify(t, "")
				// Without its last newlines the last note is torn, and vouches for nothing.
				if torn := name == p.checkpoints() && r.Torn > 0 && r.Signed == 1; r.OK() && !torn {
					t.Fatalf("%s: byte %d can be %q instead of %q", filepath.Base(name), i, b, whole[i])
				}
			}
			putByte(t, name, i, whole[i])
		}
	}
	p.mustVerify(t, "")
}

func putByte(t *testing.T, name string, at int, b byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// replaceFile is writeFile with a new file: many file systems write the old one
// to the disk when it is cut to nothing and written again, which is slow.
func replaceFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	writeFile(t, name, b)
}

func FuzzVerifyChanged(f *testing.F) {
	orig := newPlace(f)
	l := orig.open(f, Options{})
	appendN(f, l, 5)
	l.Close()
	whole := readFile(f, orig.file(1))
	key := orig.publicKey(f)
	f.Add(0, 0, []byte("x"))
	f.Add(10, 200, whole[10:210])
	f.Add(len(whole), 0, []byte(nil))
	f.Fuzz(func(t *testing.T, at, drop int, put []byte) {
		at = min(max(0, at), len(whole))
		drop = min(max(0, drop), len(whole)-at)
		changed := slices.Concat(whole[:at], put, whole[at+drop:])
		replaceFile(t, orig.file(1), changed)
		r, err := Verify(orig.log, VerifyOptions{PublicKey: key})
		if err != nil {
			t.Fatal(err)
		}
		// What is put behind the signed part is not for Verify to find.
		if r.OK() && !bytes.HasPrefix(changed, whole) {
			t.Errorf("%d bytes at %d replaced by %q: it verifies", drop, at, put)
		}
	})
}

// Whatever stands in the files, reading them ends, and without a panic; and what
// Open accepts Verify accepts after it.
func FuzzFiles(f *testing.F) {
	orig := newPlace(f)
	l := orig.open(f, Options{})
	appendN(f, l, 2)
	l.Close()
	key := orig.publicKey(f)
	f.Add(readFile(f, orig.file(1)), readFile(f, orig.checkpoints()))
	f.Add([]byte("{}\n"), []byte("mcprun-audit/\n\n\n\n"))
	f.Add([]byte(nil), []byte("a\n\n— b\n\n"))
	f.Fuzz(func(t *testing.T, lines, notes []byte) {
		p := orig
		replaceFile(t, p.file(1), lines)
		replaceFile(t, p.checkpoints(), notes)
		if r, err := NewReader(p.log); err == nil {
			for range r.All() {
			}
			r.Close()
		}
		before, err := Verify(p.log, VerifyOptions{PublicKey: key})
		if err != nil {
			t.Fatal(err)
		}
		l, err := p.tryOpen(Options{Reserve: 1})
		if err != nil {
			if before.OK() && before.Torn == 0 {
				t.Errorf("it verifies but does not open: %v", err)
			}
			return
		}
		l.Close()
		if r := p.verify(t, ""); !r.OK() && before.OK() {
			t.Errorf("it verified, and after opening does not: %v", &r.Problems[0])
		}
	})
}
