package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/front"
)

const (
	// maxPasts bounds the clients that are remembered; those that come when so many
	// are connected count as tainted.
	maxPasts = 4096
	// pastLife is how long a client without a connection is remembered: it may come
	// back to a server that was restarted.
	pastLife = time.Hour
)

// pasts remembers what each client has read. A client is the program that started
// the bridges, as the kernel names it: its connections to several servers have one
// past.
type pasts struct {
	mu  sync.Mutex
	all map[string]*pastOf
}

type pastOf struct {
	past     *front.Past
	sessions int
	left     time.Time // when the last session ended
}

// join returns the past of who connects, and what to call when they leave.
func (p *pasts) join(peer control.Peer) (past *front.Past, leave func()) {
	key := clientOf(peer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]*pastOf{}
	}
	one := p.all[key]
	if one == nil {
		p.sweep()
		if len(p.all) >= maxPasts {
			return front.Tainted(), func() {}
		}
		one = &pastOf{past: new(front.Past)}
		p.all[key] = one
	}
	one.sessions++
	return one.past, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		one.sessions--
		one.left = timeNow()
	}
}

// sweep forgets clients that are gone; call it with mu held.
func (p *pasts) sweep() {
	for key, one := range p.all {
		if one.sessions == 0 && timeNow().Sub(one.left) > pastLife {
			delete(p.all, key)
		}
	}
}

// clientOf names the program whose bridge connects: the parent of the bridge, with
// the time of its start, so that a number used again is another one. Where the
// bridge has no parent any more, all such clients of one user share a name. A
// program that wants to can get another name by starting its bridge from another
// process; this keeps apart clients, not attackers with a shell.
func clientOf(peer control.Peer) string {
	parent, _, err := procStat(int(peer.Pid))
	if err == nil && parent > 1 {
		if _, began, err := procStat(parent); err == nil {
			return fmt.Sprintf("%s pid %d since %d", peer.Principal(), parent, began)
		}
	}
	return string(peer.Principal())
}

// procStat reads the parent of a process and when it began, in clock ticks since
// the machine started: fields 4 and 22 of proc_pid_stat(5).
func procStat(pid int) (parent int, began uint64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is a name in brackets, which can hold anything.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("process %d: its state cannot be read", pid)
	}
	if parent, err = strconv.Atoi(string(fields[1])); err != nil {
		return 0, 0, err
	}
	began, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return parent, began, err
}
