package killfolder

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often the folder is looked at whatever the kernel tells: a file
// system that tells nothing, or a folder that was made anew.
const lookEvery = time.Second

const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DONT_FOLLOW | unix.IN_ONLYDIR

// Watch calls look when a file appears, and each second besides, until ctx ends. It
// works without the kernel's word too, a second later.
func Watch(ctx context.Context, dir string, look func()) {
	seen := make(chan struct{}, 1)
	w := newWatcher()
	defer w.close()
	go w.read(seen)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		w.add(dir) // once more each time: the folder may be another one
		look()
		select {
		case <-ctx.Done():
			return
		case <-seen:
		case <-tick.C:
		}
	}
}

// watcher is an inotify descriptor, or none where the host has no more of them.
type watcher struct{ file *os.File }

func newWatcher() watcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return watcher{}
	}
	return watcher{os.NewFile(uintptr(fd), "inotify")}
}

func (w watcher) add(dir string) {
	if w.file == nil {
		return
	}
	raw, err := w.file.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { unix.InotifyAddWatch(int(fd), dir, events) })
	}
}

func (w watcher) read(seen chan<- struct{}) {
	if w.file == nil {
		return
	}
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		if _, err := w.file.Read(buf); err != nil {
			return
		}
		select {
		case seen <- struct{}{}:
		default:
		}
	}
}

func (w watcher) close() {
	if w.file != nil {
		w.file.Close()
	}
}
