package main

import (
	"fmt"
	"time"
)

const gvisorRounds = 15

// behindGVisor measures what isolation: gvisor takes over isolation: runc, which is what
// stands under bare here, and the kills.
func behindGVisor(b *bench, r *report) error {
	for _, runc := range []subject{b.gosdk(), b.everything()} {
		progress("start of %s behind gVisor", runc.name)
		runc.name += "-runc"
		walled := walled(runc)
		var ours, theirs []time.Duration
		for _, s := range []subject{runc, walled} {
			if err := b.lock(s); err != nil {
				return err
			}
		}
		for n := -1; n < gvisorRounds; n++ { // the first round warms up
			_, there, err := life(b, runc)
			if err != nil {
				return err
			}
			_, here, err := life(b, walled)
			if err != nil {
				return err
			}
			if n >= 0 {
				ours, theirs = append(ours, here), append(theirs, there)
			}
		}
		r.times(fmt.Sprintf("start to first answer behind gVisor, %s, against runc, p50", runc.image), "ms", quantiles(ours, time.Millisecond), quantiles(theirs, time.Millisecond), 3)
	}
	// The processes of the server are gVisor's: the host sees a sandbox, its file server, and
	// at least one of the processes in which gVisor runs programs.
	const least = 3
	heavy, crowd := b.heavy(), b.crowd(100)
	heavy.resources, crowd.resources = ", memory: 3GiB", ", pids: 512" // of which the sandbox takes some
	for _, one := range []struct {
		s    subject
		what string
		aim  float64
	}{{b.crowd(10), "10 processes", 25}, {crowd, "100 processes", 100}, {heavy, "1 GiB resident", 250}} {
		s := walled(one.s)
		progress("kill of %s behind gVisor", one.what)
		if err := b.lock(s); err != nil {
			return err
		}
		var gone []time.Duration
		for range killRounds {
			g, _, err := kill(b, s, least)
			if err != nil {
				return err
			}
			gone = append(gone, g)
		}
		r.only("kill of "+one.what+" behind gVisor to nothing left, p50", "ms", quantiles(gone, time.Millisecond), p50, 0)
		r.only("kill of "+one.what+" behind gVisor to nothing left, p99", "ms", quantiles(gone, time.Millisecond), p99, one.aim)
	}
	return nil
}

func walled(s subject) subject {
	s.name, s.isolation = s.name+"-gvisor", "gvisor"
	return s
}
