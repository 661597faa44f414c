package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// pollEvery is how often Tail looks for new records: at once to a human, nothing
// to the machine. Polling, unlike inotify, cannot miss anything.
const pollEvery = 200 * time.Millisecond

// Tail calls fn for the last n records in dir and, if follow, for each one after
// until ctx ends, which is no error. It stops at the first error, fn's included.
func Tail(ctx context.Context, dir string, n int, follow bool, fn func(Entry) error) error {
	r, err := readerAtLast(dir, n)
	if err != nil {
		return err
	}
	defer r.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		for e, err := range r.All() {
			if err != nil {
				return err
			}
			if err := fn(e); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Since calls fn for every record that is not older than t, and for some before
// them: it begins with the newest file whose first record is older.
func Since(dir string, t time.Time, fn func(Entry) error) error {
	files, err := logFiles(dir)
	if err != nil {
		return err
	}
	for i := len(files) - 1; i >= 0; i-- {
		r := &Reader{dir: dir}
		if err := r.openAt(files[i]); err != nil {
			return err
		}
		first, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			r.Close()
			return err
		}
		if i > 0 && files[i-1] == files[i]-1 && (err != nil || first.Record.Time.After(t)) {
			r.Close()
			continue
		}
		return r.rest(first, err, fn)
	}
	return nil
}

// rest hands on what was read already, and all that follows.
func (r *Reader) rest(first Entry, err error, fn func(Entry) error) error {
	defer r.Close()
	if err != nil {
		return nil // io.EOF: an empty log
	}
	if err := fn(first); err != nil {
		return err
	}
	for e, err := range r.All() {
		if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// readerAtLast returns a reader that has n records before it, or all there are.
func readerAtLast(dir string, n int) (*Reader, error) {
	files, err := logFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("reading the audit log: %w", os.ErrNotExist)
	}
	i, skip := len(files)-1, 0
	for need := max(0, n); ; i-- {
		count, err := countLines(dir, fileName(files[i]))
		if err != nil {
			return nil, err
		}
		if count >= need || i == 0 || files[i-1] != files[i]-1 {
			skip = max(0, count-need)
			break
		}
		need -= count
	}
	r := &Reader{dir: dir}
	if err := r.openAt(files[i]); err != nil {
		return nil, err
	}
	return r, r.pass(skip)
}

// pass goes over lines without reading them as records.
func (r *Reader) pass(lines int) error {
	if lines > 0 {
		r.based = false
	}
	for range lines {
		_, err := r.lines.next()
		if errors.Is(err, errLong) {
			err = r.lines.skip()
		}
		if err != nil {
			r.Close()
			return fmt.Errorf("reading %s: %w", r.at(), err)
		}
	}
	return nil
}

func countLines(dir, name string) (int, error) {
	f, err := openFile(dir, name, os.O_RDONLY)
	if err != nil {
		return 0, fmt.Errorf("reading the audit log: %w", err)
	}
	defer f.Close()
	buf := make([]byte, readBuffer)
	for count := 0; ; {
		n, err := f.Read(buf)
		count += bytes.Count(buf[:n], []byte("\n"))
		if err == io.EOF {
			return count, nil
		}
		if err != nil {
			return 0, fmt.Errorf("reading the audit log: %w", err)
		}
	}
}
