package daemon

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime"
)

// strainEvery bounds the records of one limit that a server runs into again and again,
// as a fork bomb does; what came between is counted in the next one, or in that of the
// server's end.
const strainEvery = 10 * time.Second

// strain is what one life has run into of the limits of its container.
type strain struct {
	mu     sync.Mutex
	limits [2]strained // memory, pids
}

// strained is one limit.
type strained struct {
	count    int64 // as the kernel counts
	recorded int64 // of these
	told     int64 // of these, to who kills after so many
	seen     time.Time
	last     time.Time // when it was recorded
}

const (
	// rulePrefix stands before the limit in the rule of its record, detailTimes is where it
	// says how often it was run into.
	rulePrefix  = "container."
	detailTimes = "times"
)

const (
	ofMemory = iota
	ofPids
)

// sees takes what the kernel counts now and returns the limits that are to be recorded,
// each with how often it was run into since its last record.
func (s *strain) sees(u runtime.Use, now time.Time, last bool) (due [2]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, count := range [...]int64{ofMemory: u.OOMKills, ofPids: u.PidsHits} {
		l := &s.limits[i]
		if count > l.count {
			l.count, l.seen = count, now
		}
		if l.count > l.recorded && (last || l.last.IsZero() || now.Sub(l.last) >= strainEvery) {
			due[i], l.recorded, l.last = l.count-l.recorded, l.count, now
		}
	}
	return due
}

// since says which limits were run into since then.
func (s *strain) since(t time.Time) (limits [2]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.limits {
		limits[i] = l.count > 0 && !l.seen.Before(t)
	}
	return limits
}

// fresh returns how often each limit was run into since it was last asked.
func (s *strain) fresh() (n [2]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.limits {
		l := &s.limits[i]
		n[i], l.told = l.count-l.told, l.count
	}
	return n
}

// watchStrain notes limits as they are run into, until the life ends.
func (s *server) watchStrain(run *running, again <-chan struct{}) {
	for {
		select {
		case <-again:
			s.noteStrain(run, front.Flight{}, false)
		case <-run.done:
			return
		}
	}
}

// noteStrain records and logs the limits that a server ran into, during a call if that
// is known. The last time is at its end, and keeps nothing back.
func (s *server) noteStrain(run *running, during front.Flight, last bool) {
	u := run.inst.Use()
	if flights := run.life.Flights(); during.Call == "" && len(flights) == 1 {
		during = flights[0]
	}
	due := run.strain.sees(u, timeNow(), last)
	defer s.tellStrain(run) // once it is recorded
	for i, n := range due {
		if n == 0 {
			continue
		}
		limit, most, peak, what := strainOf(i, u, run.resources())
		if n > 1 {
			what += fmt.Sprintf(", %d times", n)
		}
		rec := &audit.Record{Type: audit.TypeStrain, Server: s.name, Instance: run.inst.ID, Call: during.Call, Tool: during.Tool, Rule: rulePrefix + limit, Reason: what + "; " + advice(i, run.resources()),
			Detail: map[string]string{"limit": limit, "max": most, "peak": peak, detailTimes: fmt.Sprint(n)}}
		if err := s.d.record.Append(rec); err != nil {
			s.d.opts.Log.Error("recording a limit that was run into", "server", s.name, "limit", limit, "err", err)
		}
		key, value := doubled(i, run.resources())
		s.log.note(fmt.Sprintf("%s, or until it ends: mcprun limits set %s --%s %s", rec.Reason, s.name, key, value))
	}
}

// tellStrain has each time counted that a limit was run into, also those for which the
// record is kept waiting: a rule that kills after three in a second means three.
func (s *server) tellStrain(run *running) {
	for i, n := range run.strain.fresh() {
		e := detect.Event{Name: detect.ContainerMemory, Server: s.name, Times: int(min(n, detect.MaxTimes))}
		if i == ofPids {
			e.Name = detect.ContainerPids
		}
		s.d.detected(e, 0)
	}
}

// strainOf names a limit, what it is, what was used at most, and what the kernel did.
func strainOf(i int, u runtime.Use, r manifest.Resources) (limit, most, peak, what string) {
	if i == ofMemory {
		most = manifest.Size(r.Memory)
		return "memory", most, manifest.Size(u.MemoryPeak), "its memory of " + most + " was used up, and the kernel ended a process of it"
	}
	most = fmt.Sprint(r.Pids)
	return "pids", most, fmt.Sprint(u.PidsPeak), "it had as many processes and threads as it may, " + most + ", and was refused one more"
}

// advice is the line of server.yaml that gives twice as much.
func advice(i int, r manifest.Resources) string {
	key, value := doubled(i, r)
	return fmt.Sprintf("if it needs more, write in server.yaml: resources: {%s: %s}", key, value)
}

// doubled is twice of what a limit is, as far as a file may say.
func doubled(i int, r manifest.Resources) (key, value string) {
	if i == ofMemory {
		return "memory", manifest.Size(min(2*r.Memory, manifest.MaxMemory))
	}
	return "pids", fmt.Sprint(min(2*r.Pids, manifest.MaxPids))
}

// strainedSince is what a call that failed is told.
func (s *server) strainedSince(run *running, f front.Flight, t time.Time) string {
	s.noteStrain(run, f, false)
	u := run.inst.Use()
	var said []string
	for i, hit := range run.strain.since(t) {
		if hit {
			_, _, _, what := strainOf(i, u, run.resources())
			said = append(said, what+"; "+advice(i, run.resources()))
		}
	}
	return strings.Join(said, "; ")
}

// gone says why a server ended by itself, as far as that is known.
func (s *server) gone(run *running) error {
	if why := s.strainedSince(run, front.Flight{}, timeNow().Add(-goneAfter)); why != "" {
		return fmt.Errorf("%w: %s", upstream.ErrGone, why)
	}
	return upstream.ErrGone
}

// goneAfter is how long after it was refused memory or a process a server's end is put
// down to that: programs that cannot go on end at once.
const goneAfter = 2 * time.Second

// uses is what a running server uses of its container's limits, for inspect.
func uses(run *running) []control.ContainerUse {
	u, r := run.inst.Use(), run.resources()
	return []control.ContainerUse{
		{Limit: "memory", Now: manifest.Size(u.Memory >> 20 << 20), Peak: manifest.Size(u.MemoryPeak >> 20 << 20), Max: manifest.Size(r.Memory), Hits: u.OOMKills, High: u.MemoryPeak},
		{Limit: "pids", Now: fmt.Sprint(u.Pids), Peak: fmt.Sprint(u.PidsPeak), Max: fmt.Sprint(r.Pids), Hits: u.PidsHits, High: u.PidsPeak},
	}
}
