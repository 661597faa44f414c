package egress

import (
	"io"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// begin puts a request on the list of those that Recheck looks at. Since it was
// judged the call that it was allowed for may have ended; from now on the end of
// the last one ends it.
func (w *Way) begin(q *request) (refused netpolicy.Reason) {
	w.mu.Lock()
	full := len(w.requests) >= maxRequests
	if !full {
		w.requests[q] = struct{}{}
	}
	w.mu.Unlock()
	switch {
	case full:
		return netpolicy.ReasonLimit
	case !q.allowedFor(w.cfg.InFlight()):
		w.finish(q)
		return netpolicy.ReasonTool
	}
	return ""
}

func (w *Way) finish(q *request) {
	w.mu.Lock()
	delete(w.requests, q)
	w.mu.Unlock()
}

// allowedFor reports whether the request, with the secrets that it carries, is
// allowed while these calls are in flight.
func (q *request) allowedFor(flights []Flight) bool {
	dest, calls := q.dest, tools(flights)
	dest.InFlight = calls
	if !q.conn.rules.policy.Request(dest, q.method, q.path, q.upgrade).Allowed() {
		return false
	}
	return q.credentialsFor(calls)
}

func (q *request) credentialsFor(calls []mcprun.ToolName) bool {
	for _, c := range q.used {
		if c.forbids(q, calls) != "" {
			return false
		}
	}
	return true
}

// charged is a body whose bytes the request's rule pays for.
type charged struct {
	io.ReadCloser
	q *request
}

func (q *request) charge(body io.ReadCloser) io.ReadCloser {
	if q.limits.bytes == nil || body == nil {
		return body
	}
	return &charged{body, q}
}

func (c *charged) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if !c.q.pay(n) {
		return 0, errOverBytes
	}
	return n, err
}

// pay takes n bytes from the rule; where they are not there the request ends.
func (q *request) pay(n int) bool {
	if q.limits.spend(int64(n)) {
		return true
	}
	q.conn.way.over(q, netpolicy.ReasonLimit.Sentence())
	q.cancel()
	return false
}
