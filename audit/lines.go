package audit

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// What ends a line otherwise than by its newline.
var (
	errTorn = errors.New("the last line has no end")
	errLong = errors.New("a line is longer than any that the log writes")
)

// readBuffer is how much is read at once: large enough that system calls do not
// matter, and at least MaxLine.
const readBuffer = 4 * MaxLine

// lineReader reads the lines of one file, which may be growing: what is read
// after an end is read anew from the start of the line, for its writer may have
// taken a piece back.
type lineReader struct {
	f    *os.File
	off  int64 // where the next line begins
	line int   // lines passed
	buf  []byte
	data []byte // what buf holds of the file, from off on
}

func newLineReader(f *os.File) *lineReader {
	return &lineReader{f: f, buf: make([]byte, readBuffer)}
}

// next returns the next line with its newline; it is valid until the call after.
// io.EOF means that the file ends here, errTorn that it ends within a line.
func (l *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.data, '\n'); i >= 0 {
			if i >= MaxLine {
				return nil, errLong
			}
			line := l.data[:i+1]
			l.pass(i + 1)
			l.line++
			return line, nil
		}
		if len(l.data) >= MaxLine {
			return nil, errLong
		}
		if err := l.fill(); err != nil {
			torn := len(l.data) > 0
			l.data = nil
			if err == io.EOF && torn {
				return nil, errTorn
			}
			return nil, err
		}
	}
}

func (l *lineReader) pass(n int) {
	l.data = l.data[n:]
	l.off += int64(n)
}

// fill reads on behind what is there; less than MaxLine is.
func (l *lineReader) fill() error {
	have := copy(l.buf, l.data)
	n, err := l.f.ReadAt(l.buf[have:], l.off+int64(have))
	l.data = l.buf[:have+n]
	if n > 0 {
		return nil
	}
	return err
}

// skip passes the rest of a line that is too long.
func (l *lineReader) skip() error {
	for {
		if i := bytes.IndexByte(l.data, '\n'); i >= 0 {
			l.pass(i + 1)
			l.line++
			return nil
		}
		l.pass(len(l.data))
		if err := l.fill(); err != nil {
			return err
		}
	}
}
