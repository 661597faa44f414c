package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
)

const (
	startRounds = 20
	killRounds  = 30
	fleet       = 50 // servers killed at once
	fleetRounds = 3
)

// starts measures from the command to the first answer of a tool.
func starts(b *bench, r *report) error {
	for _, s := range []subject{b.gosdk(), b.everything()} {
		progress("start of %s", s.name)
		if err := b.lock(s); err != nil {
			return err
		}
		var ours, bare, command []time.Duration
		for n := -1; n < startRounds; n++ { // the first round warms up
			up, all, err := life(b, s)
			if err != nil {
				return err
			}
			plain, err := firstAnswer(func() (*client, error) { return b.plain(s) }, s)
			if err != nil {
				return err
			}
			if n >= 0 {
				ours, bare, command = append(ours, all), append(bare, plain), append(command, up)
			}
		}
		r.difference("start to first answer, "+s.name+", p50", "ms", quantiles(ours, time.Millisecond), quantiles(bare, time.Millisecond), p50, 150)
		r.only("  of which mcprun start", "ms", quantiles(command, time.Millisecond), p50, 0)
	}
	return nil
}

// life is one start, answer and stop: up is the time of mcprun start, all the time to the answer.
func life(b *bench, s subject) (up, all time.Duration, err error) {
	begin := time.Now()
	if err := b.start(s); err != nil {
		return 0, 0, err
	}
	up = time.Since(begin)
	rest, err := firstAnswer(func() (*client, error) { return b.ours(s) }, s)
	if err != nil {
		return 0, 0, err
	}
	return up, up + rest, b.mcprun("stop", s.name)
}

func firstAnswer(open func() (*client, error), s subject) (time.Duration, error) {
	begin := time.Now()
	c, err := open()
	if err != nil {
		return 0, err
	}
	defer c.close()
	if _, err := c.call(s); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// kills measures from the request on the control socket to the last process's end.
func kills(b *bench, r *report) error {
	for _, one := range []struct {
		s     subject
		what  string
		least int // processes in the container
		aim   float64
	}{
		{b.crowd(10), "10 processes", 12, 25}, {b.crowd(100), "100 processes", 102, 100}, {b.heavy(), "1 GiB resident", 3, 250},
	} {
		progress("kill of %s", one.what)
		if err := b.lock(one.s); err != nil {
			return err
		}
		var gone, answered []time.Duration
		for range killRounds {
			g, a, err := kill(b, one.s, one.least)
			if err != nil {
				return err
			}
			gone, answered = append(gone, g), append(answered, a)
		}
		r.only("kill of "+one.what+" to nothing left, p50", "ms", quantiles(gone, time.Millisecond), p50, 0)
		r.only("kill of "+one.what+" to nothing left, p99", "ms", quantiles(gone, time.Millisecond), p99, one.aim)
		r.only("  until the daemon has answered, p99", "ms", quantiles(answered, time.Millisecond), p99, 0)
	}
	return killsOfAll(b, r)
}

// killsOfAll measures the same for many servers at once.
func killsOfAll(b *bench, r *report) error {
	progress("kill of %d servers at once", fleet)
	var all []subject
	for i := range fleet {
		s := b.gosdk()
		s.name = fmt.Sprintf("one-of-many-%d", i)
		if err := b.lock(s); err != nil {
			return err
		}
		all = append(all, s)
	}
	var gone []time.Duration
	for range fleetRounds {
		for _, s := range all {
			if err := b.start(s); err != nil {
				return err
			}
		}
		g, _, err := b.timeKill(control.Request{Op: control.OpKill, All: true, Why: "bench"}, fleet)
		if err != nil {
			return err
		}
		gone = append(gone, g)
		if err := b.mcprun("revive", "--all", "--why", "bench"); err != nil {
			return err
		}
	}
	r.only(fmt.Sprintf("kill of %d servers to nothing left, slowest of %d", fleet, fleetRounds), "ms", quantiles(gone, time.Millisecond), p99, 500)
	return nil
}

func kill(b *bench, s subject, least int) (gone, answered time.Duration, err error) {
	if err := b.start(s); err != nil {
		return 0, 0, err
	}
	if _, err := firstAnswer(func() (*client, error) { return b.ours(s) }, s); err != nil {
		return 0, 0, err
	}
	if gone, answered, err = b.timeKill(control.Request{Op: control.OpKill, Server: mcprun.ServerName(s.name), Why: "bench"}, least); err != nil {
		return 0, 0, err
	}
	return gone, answered, b.mcprun("revive", s.name, "--why", "bench")
}

// timeKill asks for a kill that has to end at least so many processes.
func (b *bench) timeKill(req control.Request, least int) (gone, answered time.Duration, err error) {
	fds, err := b.hold()
	if err != nil {
		return 0, 0, err
	}
	if len(fds) < least {
		return 0, 0, fmt.Errorf("only %d processes run in containers", len(fds))
	}
	c, err := control.Dial(b.dirs.Socket())
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	begin := time.Now()
	last := make(chan time.Duration, 1)
	go func() {
		awaitEnd(fds)
		last <- time.Since(begin)
	}()
	_, err = c.Do(req, control.Events{})
	answered = time.Since(begin)
	if err != nil {
		return 0, 0, err
	}
	return <-last, answered, nil
}

// hold opens a pidfd of every process in the daemon's containers.
func (b *bench) hold() ([]int, error) {
	var fds []int
	for _, pid := range b.contained() {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue // it ended by itself since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("holding process %d: %w", pid, err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// awaitEnd returns when every process has ended, and closes the pidfds.
func awaitEnd(fds []int) {
	for _, fd := range fds {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || err != nil && err != unix.EINTR {
				break
			}
		}
		unix.Close(fd)
	}
}
