package egress

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// addressLife is how long an answer is used again: a page opens dozens of
	// connections to one name within it. Each address is judged at every dial.
	addressLife = 5 * time.Second
	// maxCached bounds the names kept.
	maxCached = 1024
	// resolveTimeout bounds one look-up.
	resolveTimeout = 5 * time.Second
)

// addressCache holds what names resolved to a moment ago.
type addressCache struct {
	mu    sync.Mutex
	names map[netpolicy.Host]answer
}

type answer struct {
	addrs []netip.Addr
	until time.Time
}

var errNoAddress = errors.New("the name has no address")

// resolve asks the host's resolver for the addresses of a name. It is asked when a
// connection is to be made, never when the container asks for the name: so a name
// that is only asked for tells nobody anything.
func (w *Way) resolve(ctx context.Context, h netpolicy.Host) ([]netip.Addr, error) {
	if w.cfg.Fake {
		return nil, errFake // as in dialOne
	}
	if a, ok := h.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	c := &w.addresses
	c.mu.Lock()
	known, ok := c.names[h]
	c.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	// The dot at the end keeps the host's search list out of it.
	addrs, err := w.cfg.Resolver.LookupNetIP(ctx, "ip", h.String()+".")
	if err == nil && len(addrs) == 0 {
		err = errNoAddress
	}
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		// The resolver writes IPv4 as 4-in-6, which a record of AAAA can hold as well;
		// of the resolver's own form this is how it comes back.
		if addrs[i].Is4In6() {
			addrs[i] = addrs[i].Unmap()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil || len(c.names) >= maxCached {
		c.names = make(map[netpolicy.Host]answer)
	}
	c.names[h] = answer{addrs, time.Now().Add(addressLife)}
	return addrs, nil
}
