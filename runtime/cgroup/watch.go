package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Watch notices when processes run into a limit. It has no thread of its own: whoever
// polls anyway polls its files too. The kernel says that something happened, not what,
// and on v1 a moment before it has counted it: see Use.
type Watch struct {
	notices []unix.PollFd
	files   []watched
	pause   time.Duration
}

type watched struct {
	fd   int
	last []byte // of a file of counters: how it was
}

// lookEvery is how often v1's counter of refused processes is read, since the kernel
// tells nobody of it there: one read of an open file, and soon enough for a person.
const lookEvery = time.Second

// Watch opens what tells of limits of path.
func (c Hierarchies) Watch(path string) (*Watch, error) {
	w := &Watch{pause: lookEvery}
	memory, pids := c.find(path, "memory.oom_control", "memory.events"), c.find(path, "pids.events")
	if memory == "" || pids == "" {
		return nil, errors.New("watching limits: the host has no memory or pids controller")
	}
	err := w.open(filepath.Join(pids, "pids.events"))
	if err == nil && c.controllers {
		w.pause = math.MaxInt64
		err = w.open(c.events(memory))
	}
	if err == nil && !c.controllers {
		err = w.register(memory)
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("watching limits: %w", err)
	}
	w.Told()
	return w, nil
}

// open watches a file of counters, which v2 marks at each change.
func (w *Watch) open(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.files = append(w.files, watched{fd: fd})
	w.notices = append(w.notices, unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI})
	return nil
}

// register asks a v1 memory cgroup to tell of memory that is used up:
// https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control
func (w *Watch) register(memory string) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	w.files = append(w.files, watched{fd: fd})
	w.notices = append(w.notices, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	control, err := os.Open(filepath.Join(memory, "memory.oom_control"))
	if err != nil {
		return err
	}
	defer control.Close()
	line := fmt.Sprintf("%d %d", fd, control.Fd())
	return os.WriteFile(filepath.Join(memory, "cgroup.event_control"), []byte(line), 0)
}

// Poll are the files to poll; none for a nil Watch.
func (w *Watch) Poll() []unix.PollFd {
	if w == nil {
		return nil
	}
	return w.notices
}

// Pause is how long to poll at most before Told is asked.
func (w *Watch) Pause() time.Duration {
	if w == nil {
		return math.MaxInt64
	}
	return w.pause
}

// Told reports whether anything happened since the last time, and lets Poll wait for
// the next.
func (w *Watch) Told() (told bool) {
	if w == nil {
		return false
	}
	for i := range w.files {
		f := &w.files[i]
		var b [512]byte
		n, err := unix.Pread(f.fd, b[:], 0)
		if err == unix.ESPIPE {
			n, _ = unix.Read(f.fd, b[:8])
			told = told || n > 0
			continue
		}
		now := bytes.Clone(b[:max(0, n)])
		told = told || !bytes.Equal(now, f.last)
		f.last = now
	}
	return told
}

// Close is for after the last Poll; it may be called with nil.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	for _, f := range w.files {
		unix.Close(f.fd)
	}
}
