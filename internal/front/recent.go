package front

import (
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/result"
)

// recent counts the calls of one client that went ahead, for conditions of rules.
// A server has a bounded number of tools, so this is bounded.
type recent struct {
	mu                      sync.Mutex
	untrusted, instructions int64 // results that the client read: of strangers, and with text that addresses a model

	all   hour
	tools map[mcprun.ToolName]*hour
}

// hour counts by minutes. What is older is forgotten when its place is needed.
type hour struct {
	minute [60]int64 // which minute, since 1970, the count of this place is for
	count  [60]int64
}

func (h *hour) add(now int64) {
	at := now % 60
	if h.minute[at] != now {
		h.minute[at], h.count[at] = now, 0
	}
	h.count[at]++
}

// within sums up the last minutes, the one under way included.
func (h *hour) within(now int64, minutes int64) (n int64) {
	if h == nil {
		return 0
	}
	for i, m := range h.minute {
		if now-m < minutes {
			n += h.count[i]
		}
	}
	return n
}

// add notes a call that goes ahead.
func (r *recent) add(tool mcprun.ToolName, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tools == nil {
		r.tools = make(map[mcprun.ToolName]*hour)
	}
	h := r.tools[tool]
	if h == nil {
		h = new(hour)
		r.tools[tool] = h
	}
	h.add(now.Unix() / 60)
	r.all.add(now.Unix() / 60)
}

// read notes what a result brought to this session.
func (r *recent) read(report result.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if report.Untrusted {
		r.untrusted++
	}
	if len(report.Instructions) > 0 {
		r.instructions++
	}
}

// burst counts the calls within this minute and the one before.
func (r *recent) burst(now time.Time) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.within(now.Unix()/60, 2)
}

// counts is what a condition finds under recent: calls of this session, and of this
// tool in it, within this minute and the one before, and within the last hour.
func (r *recent) counts(tool mcprun.ToolName, now time.Time) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, h := now.Unix()/60, r.tools[tool]
	return map[string]int64{
		"calls_minute": r.all.within(m, 2), "calls_hour": r.all.within(m, 60),
		"untrusted": r.untrusted, "instructions": r.instructions,
		"tool_minute": h.within(m, 2), "tool_hour": h.within(m, 60),
	}
}
