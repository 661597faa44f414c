package drill

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/accept"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// maxEar bounds the connections to the ear: a round's, and some that are on their way out.
	maxEar = 4 * calls
	// tokenWait bounds the wait for a connection to say that it is the decoy's.
	tokenWait = 5 * time.Second
)

// Ear is where the decoy connects to: a listener on one of this host's own addresses, so
// that a way out is really open when it is cut and leads nowhere. Loopback would not do:
// no rule opens it. The kernel drops whatever comes to it from outside of this host.
type Ear struct {
	Addr  netip.AddrPort
	Token string

	ln     net.Listener
	opened chan struct{}
	closed chan time.Time
}

// Listen opens the ear on the first address of the host that a rule can open.
func Listen() (*Ear, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !possible(p.Addr().Unmap()) {
			continue
		}
		e, err := listenOn(p.Addr().Unmap(), onlyFromHere)
		if err == nil {
			return e, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errors.New("this host has no address but loopback and link-local ones")
	}
	return nil, errors.Join(errs...)
}

// possible reports whether a rule can open an address of the host's own.
func possible(a netip.Addr) bool {
	own := func(netip.Addr) bool { return true }
	_, ok := netpolicy.CheckAddress(a, netpolicy.Grant{Networks: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}}, own)
	return ok
}

func listenOn(a netip.Addr, control func(network, address string, c syscall.RawConn) error) (*Ear, error) {
	config := net.ListenConfig{Control: control}
	ln, err := config.Listen(context.Background(), "tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return nil, fmt.Errorf("listening for the decoy: %w", err)
	}
	e := &Ear{Addr: netip.AddrPortFrom(a, uint16(ln.Addr().(*net.TCPAddr).Port)), Token: rand.Text(), ln: ln,
		opened: make(chan struct{}, maxEar), closed: make(chan time.Time, maxEar)}
	go e.serve()
	return e, nil
}

// onlyFromHere has the kernel drop packets that did not come over the loopback device, as
// those of this host to its own addresses do, before they are a connection.
func onlyFromHere(_, _ string, c syscall.RawConn) error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	const (
		device = 0xfffff000 + 8 // SKF_AD_OFF + SKF_AD_IFINDEX
		all    = 0xffffffff
	)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: device},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(lo.Index)},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	return errors.Join(cerr, err)
}

func (e *Ear) serve() {
	slots := make(chan struct{}, maxEar)
	for {
		c, err := accept.Next(e.ln.Accept)
		if err != nil {
			return // closed
		}
		select {
		case slots <- struct{}{}:
			go func() {
				defer func() { <-slots }()
				defer c.Close()
				e.listen(c)
			}()
		default:
			c.Close()
		}
	}
}

// listen counts one connection of the decoy's until its end, however that comes.
func (e *Ear) listen(c net.Conn) {
	said := make([]byte, len(e.Token))
	c.SetReadDeadline(time.Now().Add(tokenWait))
	if _, err := io.ReadFull(c, said); err != nil || subtle.ConstantTimeCompare(said, []byte(e.Token)) != 1 {
		return
	}
	c.SetReadDeadline(time.Time{})
	select {
	case e.opened <- struct{}{}:
	default:
	}
	io.Copy(io.Discard, c)
	select {
	case e.closed <- time.Now():
	default:
	}
}

// forget passes over what was not waited for.
func (e *Ear) forget() {
	for {
		select {
		case <-e.opened:
		case <-e.closed:
		default:
			return
		}
	}
}

// open waits for n connections that the decoy makes.
func (e *Ear) open(ctx context.Context, n int) error {
	for range n {
		select {
		case <-e.opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// ended waits for the end of n connections and returns when the last one ended; the zero
// time if not all did.
func (e *Ear) ended(ctx context.Context, n int) (last time.Time) {
	for range n {
		select {
		case at := <-e.closed:
			if at.After(last) {
				last = at
			}
		case <-ctx.Done():
			return time.Time{}
		}
	}
	return last
}

// Close closes the listener.
func (e *Ear) Close() error { return e.ln.Close() }
