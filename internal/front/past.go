package front

import (
	"sync"

	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/result"
)

// Past is what one client has read, from all servers that it is connected to: a
// stranger's words from one of them can speak in a call to another. It only grows.
type Past struct {
	mu    sync.Mutex
	taint gate.Taint
}

// Tainted is the past of a client of which nothing can be known any more.
func Tainted() *Past {
	return &Past{taint: gate.Taint{Untrusted: true, Instructions: true, Private: true}}
}

// Taint is what the client has read so far.
func (p *Past) Taint() gate.Taint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taint
}

// read notes what the result of a tool with these traits brought.
func (p *Past) read(t gate.Traits, report result.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taint = p.taint.After(t, len(report.Instructions) > 0)
	p.taint.Untrusted = p.taint.Untrusted || report.Untrusted
}
