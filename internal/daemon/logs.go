package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun/lock"
)

const (
	// maxLogLine bounds one line of a server's stderr; the rest of it is cut.
	maxLogLine = 4 << 10
	// maxLogFile bounds a server's log; two files of it are kept.
	maxLogFile = 4 << 20
	// logRate bounds what one server can make the daemon write, in bytes a second:
	// far above what people read, far below what a disk takes.
	logRate = 256 << 10
	// readRate is how fast a server's stderr is read, in bytes a second, with readBurst at
	// once: one that writes more waits, instead of taking processor time from others.
	readRate  = 1 << 20
	readBurst = 4 << 20
	// logBacklog bounds the lines that wait for one slow reader of "logs -f".
	logBacklog = 256
)

// serverLog keeps what one server wrote to its stderr.
type serverLog struct {
	path string
	rate *rate.Limiter

	mu        sync.Mutex
	file      *os.File
	size      int64
	skipped   int
	followers map[chan string]struct{}
}

func newServerLog(dir, name string) (*serverLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the server's log: %w", err)
	}
	return &serverLog{path: filepath.Join(dir, name+".log"), rate: rate.NewLimiter(logRate, maxLogFile), followers: make(map[chan string]struct{})}, nil
}

// consume reads a server's stderr to its end. A line is never trusted: what
// could move a terminal's cursor is made visible.
func (l *serverLog) consume(r io.Reader) {
	br := bufio.NewReaderSize(r, maxLogLine)
	pace := rate.NewLimiter(readRate, readBurst)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			l.add(asServer(lock.Visible(strings.ToValidUTF8(string(bytes.TrimRight(line, "\r\n")), "\ufffd"))))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			var rest []byte
			rest, err = br.ReadSlice('\n')
			time.Sleep(pace.ReserveN(timeNow(), len(rest)).Delay())
		}
		if err != nil {
			return
		}
		time.Sleep(pace.ReserveN(timeNow(), len(line)).Delay())
	}
}

// ours begins the lines that are not the server's.
const ours = "[mcprun:"

// asServer keeps a server from writing lines that look like ours.
func asServer(line string) string {
	if strings.HasPrefix(strings.TrimLeft(line, " "), ours) {
		return "stderr: " + line
	}
	return line
}

// note appends a line of our own, however much the server writes.
func (l *serverLog) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(ours + " " + text + "]")
}

// add appends one line of the server's.
func (l *serverLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.rate.AllowN(timeNow(), len(line)+1) {
		l.skipped++
		return
	}
	if l.skipped > 0 {
		line = fmt.Sprintf("[mcprun: %d lines left out, over %d bytes a second]\n%s", l.skipped, logRate, line)
		l.skipped = 0
	}
	l.write(line)
}

// write keeps a line and shows it to those who follow; call it with mu held.
func (l *serverLog) write(line string) {
	if err := l.rotate(int64(len(line) + 1)); err == nil {
		n, _ := io.WriteString(l.file, line+"\n")
		l.size += int64(n)
	}
	for ch := range l.followers {
		select {
		case ch <- line:
		default: // a reader that is too slow misses lines, it does not stop the server
		}
	}
}

func (l *serverLog) rotate(n int64) error {
	if l.file != nil && l.size+n <= maxLogFile {
		return nil
	}
	if l.file != nil {
		l.file.Close()
		os.Rename(l.path, l.path+".1")
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		l.file = nil
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		l.file = nil
		return err
	}
	l.file, l.size = f, st.Size()
	return nil
}

// close lets go of the file; a server that is over writes no more.
func (l *serverLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// last returns up to n of the last lines, and with follow a channel of what
// comes next, until cancel is called.
func (l *serverLog) last(n int, follow bool) (lines []string, next chan string, cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range []string{l.path + ".1", l.path} {
		raw, err := os.ReadFile(p)
		if err == nil && len(raw) > 0 {
			lines = append(lines, strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")...)
		}
	}
	lines = lines[max(0, len(lines)-n):]
	if !follow {
		return lines, nil, func() {}
	}
	next = make(chan string, logBacklog)
	l.followers[next] = struct{}{}
	return lines, next, func() {
		l.mu.Lock()
		delete(l.followers, next)
		l.mu.Unlock()
	}
}
