package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Reader reads a log from its first file on, as it is being written if need be,
// and checks the chain on the way. It checks no checkpoint: a log that was
// rewritten whole reads well; Verify finds that.
type Reader struct {
	dir    string
	index  int // the file being read; 0 before the first
	lines  *lineReader
	name   string
	head   Head
	based  bool // head is known: the next record must follow it
	parser parser
}

// NewReader begins at the oldest file in dir. The caller closes it.
func NewReader(dir string) (*Reader, error) {
	files, err := logFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("reading the audit log: %w", os.ErrNotExist)
	}
	r := &Reader{dir: dir}
	if err := r.openAt(files[0]); err != nil {
		return nil, err
	}
	return r, nil
}

// openAt goes to the start of a file. The first file begins the chain; what
// comes before any other is taken from its first record.
func (r *Reader) openAt(index int) error {
	name := fileName(index)
	f, err := openFile(r.dir, name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	if r.lines != nil {
		r.lines.f.Close()
		r.lines = nil
	}
	if r.index == 0 {
		r.based = index == 1
	}
	r.index, r.name, r.lines = index, name, newLineReader(f)
	return nil
}

// Next returns the next record. io.EOF means that there is none yet; a line that
// is still being written, or torn, is none. A *Problem is what is wrong with the
// log; the reader is of no use after it.
func (r *Reader) Next() (Entry, error) {
	e, err := r.read()
	if err != nil {
		return Entry{}, err
	}
	if !r.based {
		r.head, r.based = e.before(), true
	}
	if p := e.follows(r.head); p != nil {
		return Entry{}, p
	}
	r.head = e.Head()
	return e, nil
}

// read returns the next line as an entry, from the next file if this one ended.
func (r *Reader) read() (Entry, error) {
	e, err := r.line()
	if err != io.EOF {
		return e, err
	}
	next, err := openFile(r.dir, fileName(r.index+1), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return Entry{}, io.EOF
	}
	if err != nil {
		return Entry{}, fmt.Errorf("reading the audit log: %w", err)
	}
	next.Close()
	// The next file exists, so this one is complete; it may have grown between
	// the two looks.
	if e, err = r.line(); err != io.EOF {
		return e, err
	}
	if torn, err := r.leftover(); err != nil || torn {
		return Entry{}, errors.Join(err, &Problem{r.at(), Malformed, "the file ends within a line, and another follows it"})
	}
	if err := r.openAt(r.index + 1); err != nil {
		return Entry{}, err
	}
	return r.read()
}

func (r *Reader) at() Position { return Position{r.name, r.lines.line + 1, r.lines.off} }

// leftover reports whether the file goes on behind its last whole line.
func (r *Reader) leftover() (bool, error) {
	st, err := r.lines.f.Stat()
	return err == nil && st.Size() > r.lines.off, err
}

// line reads one line of this file.
func (r *Reader) line() (Entry, error) {
	e := Entry{At: r.at()}
	line, err := r.lines.next()
	switch {
	case err == errTorn:
		return e, io.EOF
	case err == errLong:
		return e, &Problem{e.At, Malformed, err.Error()}
	case err == io.EOF:
		return e, io.EOF
	case err != nil:
		return e, fmt.Errorf("reading the audit log: %w", err)
	}
	if e.Record, e.Prev, err = r.parser.parse(line); err != nil {
		return e, &Problem{e.At, Malformed, err.Error()}
	}
	e.Hash = sha256.Sum256(line)
	return e, nil
}

// All yields the records that there are now. After an error it ends.
func (r *Reader) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			e, err := r.Next()
			if err == io.EOF || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Close frees the open file.
func (r *Reader) Close() error { return r.lines.f.Close() }
