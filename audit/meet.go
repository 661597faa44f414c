package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// meet compares a head with the checkpoints of the same record.
func (v *verifier) meet(at Position, h Head) error {
	if h.Seq == v.since.Seq && h.Hash != v.since.Hash {
		if err := v.found(at, Rewritten, "record %d is not the one of the checkpoint to start from", h.Seq); err != nil {
			return err
		}
	}
	for v.next != nil && v.next.Seq <= h.Seq {
		if err := v.compare(at, h); err != nil {
			return err
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	return nil
}

// compare holds the next checkpoint against a head that has reached it.
func (v *verifier) compare(at Position, h Head) error {
	switch {
	case v.next.Seq < h.Seq && v.report.Records == 1 && v.since.Seq != 0:
		return nil // of a file that may be gone
	case v.next.Seq < h.Seq:
		return v.found(at, Missing, "record %d is not here; %s says that it was written", v.next.Seq, v.nextAt)
	case v.next.Hash != h.Hash || !v.next.Time.Equal(h.Time):
		return v.found(at, Rewritten, "record %d is not the one that was signed (%s)", h.Seq, v.nextAt)
	}
	v.report.Signed = h.Seq
	return nil
}

// advance reads the next checkpoint that is good; bad ones are problems.
func (v *verifier) advance() error {
	last := uint64(0)
	if v.next != nil {
		last = v.next.Seq
	}
	v.next = nil
	for {
		c, at, err := v.notes.next()
		if err == io.EOF {
			return nil
		}
		if v.nextAt = at; err == nil {
			err = v.judgeNote(&c, last)
		}
		var p *Problem
		switch {
		case err == nil:
			v.next = &c
			v.report.Checkpoints++
			return nil
		case !errors.As(err, &p):
			return err
		}
		if err := v.found(p.At, p.Kind, "%s", p.What); err != nil {
			return err
		}
	}
}

// judgeNote says what is wrong with a checkpoint that is properly signed.
func (v *verifier) judgeNote(c *Checkpoint, last uint64) error {
	if v.origin == "" {
		v.origin = c.Origin
	}
	switch {
	case c.Origin != v.origin:
		return &Problem{v.nextAt, Foreign, "the checkpoint is of " + c.Origin + ", the log is " + v.origin}
	case c.Seq <= last:
		return &Problem{v.nextAt, Disorder, "the checkpoint is not newer than the one before it"}
	}
	return nil
}

// finish looks for what should be there beyond the last record.
func (v *verifier) finish() error {
	v.report.Torn += v.notes.torn
	end := Position{File: checkpointFile}
	if n := len(v.files); n > 0 {
		end.File = fileName(v.files[n-1])
	}
	if v.since.Seq > v.head.Seq {
		if err := v.found(end, Cut, "the log ends with record %d; the checkpoint to start from has %d", v.head.Seq, v.since.Seq); err != nil {
			return err
		}
	}
	for v.next != nil {
		if err := v.found(end, Cut, "the log ends with record %d; %s says that there were %d", v.head.Seq, v.nextAt, v.next.Seq); err != nil {
			return err
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	if v.report.Checkpoints == 0 { // Open signs the first record at once
		return v.found(Position{File: checkpointFile}, Unsigned, "there is no checkpoint of this log")
	}
	return nil
}

// noteReader reads the checkpoints that were there when it was opened.
type noteReader struct {
	f    *os.File
	in   *bufio.Reader
	key  note.Verifier
	line int   // lines passed
	off  int64 // bytes passed
	torn int64 // bytes behind the last whole note, once at the end
}

// openNotes opens the checkpoints of dir; a file that is absent reads as empty.
func openNotes(dir string, key note.Verifier) (*noteReader, error) {
	n := &noteReader{key: key, in: bufio.NewReader(bytes.NewReader(nil))}
	f, err := openFile(dir, checkpointFile, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	n.f = f
	n.in = bufio.NewReaderSize(io.NewSectionReader(f, 0, st.Size()), readBuffer)
	return n, nil
}

func (n *noteReader) close() {
	if n.f != nil {
		n.f.Close()
	}
}

// next returns the next checkpoint, io.EOF at the end, or a *Problem and goes on
// behind it.
func (n *noteReader) next() (Checkpoint, Position, error) {
	at := Position{checkpointFile, n.line + 1, n.off}
	msg, err := n.message()
	if err != nil {
		return Checkpoint{}, at, err
	}
	c, kind, err := openNote(msg, n.key)
	if err != nil {
		return c, at, &Problem{at, kind, err.Error()}
	}
	return c, at, nil
}

// message reads up to the empty line behind a signature, which it leaves out: a
// note that was tampered with does not take the next one along. What is longer
// than any note is returned cut, to be found malformed.
func (n *noteReader) message() ([]byte, error) {
	start, signed := n.off, false
	var msg []byte
	for {
		line, err := n.in.ReadSlice('\n')
		n.off += int64(len(line))
		switch {
		case err == io.EOF:
			n.torn = n.off - start
			return nil, io.EOF
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
		if err == nil {
			n.line++
		}
		if signed && len(line) == 1 {
			return msg, nil
		}
		signed = bytes.HasPrefix(line, []byte("— "))
		if len(msg) <= maxNote {
			msg = append(msg, line...)
		}
	}
}
