package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// recovery is what Open finds in the folder.
type recovery struct {
	dir    string
	out    appendFile // the newest file
	index  int
	head   Head
	id     string
	public string
	signed *checkpoints
	torn   []tornPiece

	last   Checkpoint // the last one signed; zero if there is none
	passed bool       // the chain was seen to pass through it
}

func recoverLog(dir, keyDir string) (*recovery, error) {
	r := &recovery{dir: dir, index: 1, signed: new(checkpoints)}
	files, err := logFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		r.index = files[len(files)-1]
	}
	if err := r.openFiles(); err != nil {
		return nil, err
	}
	if err := r.read(keyDir); err != nil {
		r.out.f.Close()
		r.signed.out.f.Close()
		return nil, err
	}
	return r, nil
}

func (r *recovery) openFiles() error {
	out, made, err := openOrMake(r.dir, fileName(r.index))
	if err != nil {
		return err
	}
	cps, madeToo, err := openOrMake(r.dir, checkpointFile)
	if err != nil {
		out.f.Close()
		return err
	}
	r.out, r.signed.out = out, cps
	if made || madeToo {
		if err := syncDir(r.dir); err != nil {
			out.f.Close()
			cps.f.Close()
			return err
		}
	}
	return nil
}

// read goes through the checkpoints' end and the newest file, and cuts off what
// is torn once all the rest was found whole.
func (r *recovery) read(keyDir string) error {
	k, err := openKey(keyDir, r.dir, r.signed.out.size == 0)
	if err != nil {
		return fmt.Errorf("opening the audit key: %w", err)
	}
	r.public, r.signed.signer = k.public, k.signer
	v, err := note.NewVerifier(k.public)
	if err != nil {
		return err
	}
	var end int64
	if r.last, r.signed.text, end, err = lastCheckpoint(r.signed.out.f, r.signed.out.size, v); err != nil {
		return &Problem{Position{File: checkpointFile}, Signature, err.Error()}
	}
	whole, err := r.walk()
	if err != nil {
		return err
	}
	if err := r.anchor(); err != nil {
		return err
	}
	r.signed.last = r.last.Head
	logTail, err := cutTail(&r.out, fileName(r.index), whole)
	if err != nil {
		return err
	}
	noteTail, err := cutTail(&r.signed.out, checkpointFile, end)
	r.torn = append(logTail, noteTail...)
	return err
}

// walk checks the newest file line by line and returns where its whole lines end.
func (r *recovery) walk() (int64, error) {
	lines := newLineReader(r.out.f)
	var p parser
	for {
		at := Position{fileName(r.index), lines.line + 1, lines.off}
		line, err := lines.next()
		switch {
		case err == io.EOF, err == errTorn:
			return at.Offset, nil
		case err != nil && err != errLong:
			return 0, err
		}
		e := Entry{At: at}
		if err == nil {
			e.Record, e.Prev, err = p.parse(line)
			e.Hash = sha256.Sum256(line)
		}
		if err != nil {
			if zeroed(r.out.f, at.Offset) {
				return at.Offset, nil
			}
			return 0, &Problem{at, Malformed, err.Error()}
		}
		if err := r.step(&e); err != nil {
			return 0, err
		}
	}
}

// step takes e as the next record, or says why it is not.
func (r *recovery) step(e *Entry) error {
	if r.head.Seq == 0 && r.index > 1 {
		// The file before is not read; the checkpoint vouches for the link,
		// since rotate signs the head before it begins a file.
		r.head = e.before()
		r.meet(r.head)
	}
	if p := e.follows(r.head); p != nil {
		return p
	}
	if r.index == 1 && e.Record.Seq == 1 {
		id, err := logID(&e.Record)
		if err != nil {
			return &Problem{e.At, Malformed, err.Error()}
		}
		r.id = id
	}
	r.head = e.Head()
	if !r.meet(r.head) {
		return &Problem{e.At, Rewritten, fmt.Sprintf("record %d is not the one that was signed", e.Record.Seq)}
	}
	return nil
}

// meet compares a head with the last checkpoint; false is that they contradict.
func (r *recovery) meet(h Head) bool {
	if h.Seq != r.last.Seq || r.last.Seq == 0 {
		return true
	}
	r.passed = h.Hash == r.last.Hash
	return r.passed
}

// anchor refuses a chain that does not go through the last checkpoint.
func (r *recovery) anchor() error {
	at := Position{File: fileName(r.index)}
	switch {
	case r.last.Seq == 0 && r.index == 1 && r.head.Seq <= 1:
		return nil // it crashed while it began
	case r.last.Seq == 0:
		return &Problem{Position{File: checkpointFile}, Unsigned, "the checkpoints are gone"}
	case r.head.Seq == 0 && r.index > 1:
		// A file that was begun and has no record yet.
		head, err := lastHead(r.dir, fileName(r.index-1))
		if err != nil {
			return fmt.Errorf("reading the file before %s: %w", at.File, err)
		}
		r.head = head
		r.meet(head)
	}
	if r.head.Seq < r.last.Seq {
		return &Problem{at, Cut, fmt.Sprintf("the log ends with record %d; record %d was signed", r.head.Seq, r.last.Seq)}
	}
	if !r.passed {
		return &Problem{at, Rewritten, fmt.Sprintf("the chain does not go through record %d as it was signed", r.last.Seq)}
	}
	if r.id != "" && origin(r.id) != r.last.Origin {
		return &Problem{Position{File: checkpointFile}, Foreign, "the checkpoints are of another log"}
	}
	r.id = r.last.Origin[len(origin("")):]
	return nil
}

// zeroed reports whether f holds a NUL from off on: no line does, but a power
// cut can leave blocks that were never written. Whether that is all right is for
// anchor to say: what was signed was on the disk before.
func zeroed(f *os.File, off int64) bool {
	b := make([]byte, MaxLine)
	n, err := f.ReadAt(b, off)
	return (err == nil || err == io.EOF) && bytes.IndexByte(b[:n], 0) >= 0
}

// lastHead reads the last line of a file that is complete.
func lastHead(dir, name string) (Head, error) {
	f, err := openFile(dir, name, os.O_RDONLY)
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Head{}, err
	}
	b := make([]byte, min(st.Size(), MaxLine+1))
	if _, err := f.ReadAt(b, st.Size()-int64(len(b))); err != nil {
		return Head{}, err
	}
	line := b[bytes.LastIndexByte(bytes.TrimSuffix(b, []byte("\n")), '\n')+1:]
	var p parser
	rec, prev, err := p.parse(line)
	e := Entry{Record: rec, Prev: prev, Hash: sha256.Sum256(line)}
	return e.Head(), err
}

func hashFrom(f *os.File, off int64) (Hash, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, off, 1<<62)); err != nil {
		return Hash{}, err
	}
	return Hash(h.Sum(nil)), nil
}
