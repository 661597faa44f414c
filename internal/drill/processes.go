package drill

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processes are held by the kernel's own handles, so that a number used again is not taken
// for one of them.
type processes struct{ fds []int }

func holdProcesses(pids []int) (*processes, error) {
	p := &processes{}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue // it has ended by itself
		}
		if err != nil {
			p.close()
			return nil, fmt.Errorf("holding process %d: %w", pid, err)
		}
		p.fds = append(p.fds, fd)
	}
	if len(p.fds) == 0 {
		return nil, fmt.Errorf("the decoy has no process")
	}
	return p, nil
}

// look is how often a wait for a process looks whether it is to give up.
const look = 100 // milliseconds

// await returns when the last one ended; the zero time if ctx ends before. Of none at all
// it is the zero time too.
func (p *processes) await(ctx context.Context) time.Time {
	if p == nil {
		return time.Time{}
	}
	for _, fd := range p.fds {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, look)
			if n > 0 {
				break
			}
			if err != nil && err != unix.EINTR || ctx.Err() != nil {
				return time.Time{}
			}
		}
	}
	return time.Now()
}

func (p *processes) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}
