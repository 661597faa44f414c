package main

import (
	"fmt"
	"time"
)

const (
	latencyCalls = 4000 // on each side, of each server
	block        = 50   // calls before the sides change
	warmUp       = 300  // until caches, a JIT and a collector have settled
	callers      = 32
	rounds       = 8
	roundCalls   = 1500
)

// latencies measures one caller.
func latencies(b *bench, r *report) error {
	for _, s := range []subject{b.gosdk(), b.everything()} {
		progress("latency of %s", s.name)
		if err := b.lock(s); err != nil {
			return err
		}
		if err := b.start(s); err != nil {
			return err
		}
		ours, bare, err := alternate(b, s)
		if err != nil {
			return err
		}
		r.difference("added call latency, "+s.name+", p50", "us", quantiles(ours, time.Microsecond), quantiles(bare, time.Microsecond), p50, 60)
		r.difference("added call latency, "+s.name+", p99", "us", quantiles(ours, time.Microsecond), quantiles(bare, time.Microsecond), p99, 300)
	}
	return nil
}

func alternate(b *bench, s subject) (ours, bare []time.Duration, err error) {
	a, c, err := b.both(s)
	if err != nil {
		return nil, nil, err
	}
	defer a.close()
	defer c.close()
	for n := -warmUp; n < latencyCalls; n += block {
		for _, side := range []struct {
			c    *client
			into *[]time.Duration
		}{{a, &ours}, {c, &bare}} {
			for range block {
				took, err := side.c.call(s)
				if err != nil {
					return nil, nil, fmt.Errorf("calling %s: %w", s.name, err)
				}
				if n >= 0 {
					*side.into = append(*side.into, took)
				}
			}
		}
	}
	return ours, bare, nil
}

// throughputs measures many callers on one session, for a bare process has only one.
func throughputs(b *bench, r *report) error {
	for _, s := range []subject{b.gosdk(), b.everything()} {
		progress("throughput of %s", s.name)
		if err := throughput(b, r, s); err != nil {
			return err
		}
	}
	return nil
}

func throughput(b *bench, r *report, s subject) error {
	a, c, err := b.both(s)
	if err != nil {
		return err
	}
	defer a.close()
	defer c.close()
	var ours, bare []float64
	for n := -1; n < rounds; n++ { // the first round warms up
		for _, side := range []struct {
			c    *client
			into *[]float64
		}{{a, &ours}, {c, &bare}} {
			took, err := side.c.calls(s, roundCalls, callers)
			if err != nil {
				return fmt.Errorf("calling %s: %w", s.name, err)
			}
			if n >= 0 {
				*side.into = append(*side.into, roundCalls/took.Seconds())
			}
		}
	}
	r.ratio(fmt.Sprintf("throughput, %s, %d callers", s.name, callers), "calls/s", distribute(ours), distribute(bare), 0.6)
	return b.mcprun("stop", s.name)
}
