// Package dns is the name stub of one container: it answers the names that policy
// allows with addresses of its own making, says of every other that it does not
// exist, and asks nobody.
//
// So a question carries nothing out of the container: not to a resolver, and not
// in the labels of a name. Where a name really leads is found later, by the
// daemon, when a connection is made (netpolicy/egress).
//
// It does not hide which names are allowed from the container: a name that is
// not allowed does not exist for it.
package dns

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/mcprun/mcprun/netpolicy"
)

// pool is where addresses for names come from: RFC 2544's range for benchmarks,
// which no real host has. The first ones are for the stub itself.
var pool = netip.MustParsePrefix("198.18.0.0/15")

// Resolver is the address that a container asks for names; any would do.
var Resolver = netip.MustParseAddr("198.18.0.1")

// firstAddress leaves room for addresses with a meaning of their own.
const firstAddress = 16

// MaxNames bounds the names of one server: every address of the pool, once.
const MaxNames = 1<<17 - firstAddress - 1

// ErrExhausted is returned when a server has asked for more names than there are
// addresses: only a wildcard rule allows that many.
var ErrExhausted = errors.New("all addresses for names are used up")

// Names is the table of one server's names and their addresses. It is kept over
// all lives of the server, so that no address is ever another name's: what a
// program remembers of an earlier life leads to the same name or nowhere.
type Names struct {
	mu     sync.Mutex
	file   *os.File // nil: of one life alone
	size   int64    // of the whole lines
	most   int
	byName map[netpolicy.Host]netip.Addr
	byAddr map[netip.Addr]netpolicy.Host
}

// OpenNames reads the table at path, making it if it is not there. A last line
// that was cut off by a crash is removed; anything else that is damaged is an
// error, since a lost line would let its address be given away again.
func OpenNames(path string) (*Names, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the table of names: %w", err)
	}
	n := &Names{file: f, most: MaxNames, byName: make(map[netpolicy.Host]netip.Addr), byAddr: make(map[netip.Addr]netpolicy.Host)}
	if err := n.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading the table of names %s: %w; remove it with its server stopped to begin anew", path, err)
	}
	return n, nil
}

// NewNames returns a table of at most so many names that is not kept, for a life whose
// names mean nothing.
func NewNames(most int) *Names {
	return &Names{most: min(most, MaxNames), byName: make(map[netpolicy.Host]netip.Addr), byAddr: make(map[netip.Addr]netpolicy.Host)}
}

func (n *Names) load() error {
	r := bufio.NewReader(n.file)
	for number := 1; ; number++ {
		line, err := r.ReadString('\n')
		if err != nil {
			if line == "" {
				return nil
			}
			return n.file.Truncate(n.size) // an address that was never handed out
		}
		n.size += int64(len(line))
		if err := n.add(strings.TrimSuffix(line, "\n")); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
}

// add takes one line over: "198.18.0.16 api.example.com", each address the next.
func (n *Names) add(line string) error {
	addr, name, ok := strings.Cut(line, " ")
	if !ok || addr != n.next().String() {
		return fmt.Errorf("%q is not the next address and a name", line)
	}
	h, err := netpolicy.ParseHost(name)
	if err != nil || h.String() != name {
		return fmt.Errorf("%q is not a name in its only spelling", name)
	}
	if _, dup := n.byName[h]; dup {
		return fmt.Errorf("%s has two addresses", name)
	}
	a := n.next()
	n.byName[h], n.byAddr[a] = a, h
	return nil
}

// next is the address of the next new name; invalid when there is none left.
func (n *Names) next() netip.Addr {
	if len(n.byAddr) >= n.most {
		return netip.Addr{}
	}
	b := pool.Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += firstAddress + uint32(len(n.byAddr))
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// Address returns the name's address, giving it one the first time. It is in the
// file before it is handed out.
func (n *Names) Address(h netpolicy.Host) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.byName[h]; ok {
		return a, nil
	}
	a := n.next()
	if !a.IsValid() {
		return netip.Addr{}, ErrExhausted
	}
	if err := n.keep(a, h); err != nil {
		return netip.Addr{}, err
	}
	n.byName[h], n.byAddr[a] = a, h
	return a, nil
}

// keep writes one line.
func (n *Names) keep(a netip.Addr, h netpolicy.Host) error {
	if n.file == nil {
		return nil
	}
	line := fmt.Appendf(nil, "%s %s\n", a, h)
	if _, err := n.file.Write(line); err != nil {
		// A full disk takes half a line; the next would stand behind it.
		return errors.Join(fmt.Errorf("writing the table of names: %w", err), n.file.Truncate(n.size))
	}
	n.size += int64(len(line))
	return nil
}

// Host returns the name that an address stands for.
func (n *Names) Host(a netip.Addr) (netpolicy.Host, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.byAddr[a]
	return h, ok
}

// Close ends the table's use.
func (n *Names) Close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}
