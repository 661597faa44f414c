package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxProblems ends a verification: who has seen a hundred needs no more.
const maxProblems = 100

// VerifyOptions says what to hold the log against.
type VerifyOptions struct {
	// PublicKey is the key that checkpoints must be signed with, as PublicKey
	// and Log.PublicKey give it. Without it nothing verifies.
	PublicKey string
	// Since is a checkpoint that was kept elsewhere, optional: the log must be a
	// continuation of it. Files before it may be gone.
	Since string
}

// Report is what Verify found.
type Report struct {
	Files       int
	Records     uint64
	Checkpoints int
	Head        Head
	// Signed is the newest record that a checkpoint covers. Nothing can be said
	// of those after it, but that they are chained.
	Signed uint64
	// Torn counts the bytes behind the last whole line and the last whole
	// checkpoint: what a crash leaves, or a log that is being written.
	Torn     int64
	Problems []Problem
}

// OK reports whether all is as it was written.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Verify reads the whole log in dir and reports all that is wrong with it. The
// error is for what kept it from reading. It may run while the log is written.
func Verify(dir string, opts VerifyOptions) (Report, error) {
	v := &verifier{dir: dir}
	if err := v.prepare(opts); err != nil {
		return v.report, fmt.Errorf("verifying the audit log: %w", err)
	}
	defer v.notes.close()
	err := v.run()
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("verifying the audit log: %w", err)
	}
	return v.report, err
}

var errEnough = errors.New("enough problems")

type verifier struct {
	dir    string
	files  []int
	report Report
	parser parser
	notes  *noteReader
	since  Checkpoint // zero without one

	origin string // of the log, once known
	head   Head
	based  bool        // head is known
	next   *Checkpoint // the next one to meet, nil at the end
	nextAt Position
}

func (v *verifier) prepare(opts VerifyOptions) error {
	key, err := note.NewVerifier(strings.TrimSpace(opts.PublicKey))
	if err != nil {
		return errors.New("the public key is missing or is not one")
	}
	if opts.Since != "" {
		if v.since, _, err = openNote([]byte(strings.TrimRight(opts.Since, "\n")+"\n"), key); err != nil {
			return fmt.Errorf("the checkpoint to start from: %w", err)
		}
		v.origin = v.since.Origin
	}
	// The checkpoints as of now come first: their records are written already.
	if v.notes, err = openNotes(v.dir, key); err != nil {
		return err
	}
	v.files, err = logFiles(v.dir)
	return err
}

func (v *verifier) run() error {
	if err := v.advance(); err != nil {
		return err
	}
	if err := v.checkFiles(); err != nil {
		return err
	}
	for i, index := range v.files {
		if err := v.file(index, i == len(v.files)-1); err != nil {
			return err
		}
	}
	v.report.Head = v.head
	return v.finish()
}

// found adds a problem; the error says that it was the last one wanted.
func (v *verifier) found(at Position, k Kind, format string, args ...any) error {
	v.report.Problems = append(v.report.Problems, Problem{at, k, fmt.Sprintf(format, args...)})
	if len(v.report.Problems) >= maxProblems {
		return errEnough
	}
	return nil
}

// checkFiles looks for gaps between the files.
func (v *verifier) checkFiles() error {
	v.report.Files = len(v.files)
	want := 1
	if v.since.Seq != 0 && len(v.files) > 0 {
		want = v.files[0] // whether that is early enough, the records say
	}
	for _, index := range v.files {
		if index != want {
			if err := v.found(Position{File: fileName(want)}, Missing, "the file is missing; %s is there", fileName(index)); err != nil {
				return err
			}
		}
		want = index + 1
	}
	return nil
}

// file checks the lines of one file.
func (v *verifier) file(index int, newest bool) error {
	f, err := openFile(v.dir, fileName(index), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := newLineReader(f)
	for {
		e := Entry{At: Position{fileName(index), lines.line + 1, lines.off}}
		line, err := lines.next()
		switch err {
		case nil:
			err = v.line(&e, line)
		case errLong:
			if err = v.malformed(e.At, err); err == nil {
				err = lines.skip()
			}
		case errTorn:
			return v.torn(f, e.At, newest)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// torn is the end of a file within a line: no fault in the newest one.
func (v *verifier) torn(f *os.File, at Position, newest bool) error {
	if !newest {
		return v.malformed(at, errTorn)
	}
	st, err := f.Stat()
	if err == nil {
		v.report.Torn += max(0, st.Size()-at.Offset)
	}
	return err
}

// malformed is a line that cannot be read; the record after it starts anew, for
// the fault was named once.
func (v *verifier) malformed(at Position, err error) error {
	v.based = false
	return v.found(at, Malformed, "%v", err)
}

func (v *verifier) line(e *Entry, line []byte) (err error) {
	if e.Record, e.Prev, err = v.parser.parse(line); err != nil {
		return v.malformed(e.At, err)
	}
	e.Hash = sha256.Sum256(line)
	if err := v.link(e); err != nil {
		return err
	}
	if e.Record.Seq == 1 {
		if err := v.genesis(e); err != nil {
			return err
		}
	}
	v.head, v.based = e.Head(), true
	v.report.Records++
	return v.meet(e.At, v.head)
}

// link checks that e follows the record before it.
func (v *verifier) link(e *Entry) error {
	if v.based {
		if p := e.follows(v.head); p != nil {
			return v.found(p.At, p.Kind, "%s", p.What)
		}
		return nil
	}
	if v.report.Records > 0 || !v.report.OK() {
		return nil // behind a fault that was named
	}
	switch first := e.before(); {
	case v.since.Seq == 0:
		if p := e.follows(Head{}); p != nil {
			return v.found(p.At, p.Kind, "%s", p.What)
		}
	case first.Seq > v.since.Seq:
		return v.found(e.At, Missing, "the log begins with record %d; the checkpoint to start from has %d", e.Record.Seq, v.since.Seq)
	case first.Seq == v.since.Seq && first.Hash != v.since.Hash:
		return v.found(e.At, Rewritten, "record %d does not follow the checkpoint to start from", e.Record.Seq)
	}
	return nil
}

// genesis checks the first record and that it is of the same log as the rest.
func (v *verifier) genesis(e *Entry) error {
	id, err := logID(&e.Record)
	if err != nil {
		return v.found(e.At, Malformed, "%v", err)
	}
	if v.origin != "" && v.origin != origin(id) {
		return v.found(e.At, Foreign, "the log is %s, its checkpoints are of %s", origin(id), v.origin)
	}
	v.origin = origin(id)
	return nil
}
