// Package netns makes the network namespace of one container and opens the
// daemon's listeners inside it.
//
// The namespace has only lo. Every address is routed to lo itself, so whatever a
// program connects to arrives at a listener of the daemon's or nowhere; there is
// no second interface, bridge or rule of the host that could be missing. The
// namespace belongs to the host's user namespace, so that even a root with every
// capability inside the container cannot change its routes or rules.
//
// It holds nothing back by itself: what may pass is decided by who accepts on the
// listeners. It lives as long as the daemon or a process in it does.
package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	goruntime "runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is one network namespace, held open.
type NS struct{ file *os.File }

// New makes a namespace in which lo is up and every address is its own.
func New() (*NS, error) {
	ns := &NS{}
	err := thrownAway(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return everythingIsLocal()
	})
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return ns, nil
}

// thrownAway runs f on a thread of its own that ends with it: a thread that has
// left the host's namespace must serve nothing else.
//
// The process's first thread does not end with its goroutine: it would stay in
// the namespace, and /proc/PID/ns/net would show that one. So f never runs there.
func thrownAway(f func() error) error {
	done := make(chan error)
	go func() {
		goruntime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer goruntime.UnlockOSThread()
			done <- thrownAway(f) // on another thread, as this one is held here
			return
		}
		done <- f() // never unlocked, so the thread ends with the goroutine
	}()
	return <-done
}

// everythingIsLocal takes lo up and routes all of IPv4 and IPv6 to it.
func everythingIsLocal() error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := handle.LinkSetUp(lo); err != nil {
		return fmt.Errorf("taking lo up: %w", err)
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, dst, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		// As "ip route add local default dev lo" does.
		route := netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Table: unix.RT_TABLE_MAIN}
		if err := handle.RouteAdd(&route); err != nil {
			return fmt.Errorf("routing %s to lo: %w", all, err)
		}
	}
	return nil
}

// Path is where another process of the host finds the namespace while this one
// holds it: no mount is needed, and none can be left behind.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Fd is the namespace's file descriptor.
func (n *NS) Fd() int { return int(n.file.Fd()) }

// Close lets go of the namespace; the kernel removes it with its last process.
func (n *NS) Close() error {
	if n == nil || n.file == nil {
		return nil
	}
	return n.file.Close()
}

// Do runs f inside the namespace, on a thread that is thrown away.
func (n *NS) Do(f func() error) error {
	return thrownAway(func() error {
		if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}

// ListenTCP opens a listener inside. A transparent one takes connections to any
// address and port that a rule of netpolicy/nft hands to it; what a connection
// was meant for is then its local address.
func (n *NS) ListenTCP(addr netip.AddrPort, transparent bool) (*net.TCPListener, error) {
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	var ln *net.TCPListener
	err := n.Do(func() error {
		l, err := (&net.ListenConfig{Control: control(addr, transparent)}).Listen(context.Background(), network, addr.String())
		if err == nil {
			ln = l.(*net.TCPListener)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening inside the container's network: %w", err)
	}
	return ln, nil
}

// ListenUDP opens a UDP socket inside.
func (n *NS) ListenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	var conn *net.UDPConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening inside the container's network: %w", err)
	}
	return conn, nil
}

func control(addr netip.AddrPort, transparent bool) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			switch {
			case !transparent:
			case addr.Addr().Is6():
				err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
			default:
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
}
