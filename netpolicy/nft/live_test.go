package nft_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/netpolicy/netns"
	"github.com/mcprun/mcprun/netpolicy/nft"
)

// atOnce tells an answer from a time limit or a report that was gathered, also under
// an emulator that takes ten times as long.
const atOnce = 500 * time.Millisecond

const proxyPort = 1

// inside makes a namespace with the rules and a transparent listener of each family.
func inside(t *testing.T) (*netns.NS, chan netip.AddrPort) {
	t.Helper()
	testenv.Need(t, "root", "netfilter")
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	accepted := make(chan netip.AddrPort, 16)
	for _, a := range []string{"0.0.0.0", "::"} {
		ln, err := ns.ListenTCP(netip.AddrPortFrom(netip.MustParseAddr(a), proxyPort), true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				accepted <- c.LocalAddr().(*net.TCPAddr).AddrPort()
				c.Close()
			}
		}()
	}
	if err := nft.Apply(ns.Fd(), nft.Rules(proxyPort)); err != nil {
		t.Fatal(err)
	}
	return ns, accepted
}

// dial connects inside and says how long it took.
func dial(t *testing.T, ns *netns.NS, network, addr string) (took time.Duration, err error) {
	t.Helper()
	derr := ns.Do(func() error {
		begun := time.Now()
		var c net.Conn
		if c, err = net.DialTimeout(network, addr, 2*time.Second); err == nil {
			defer c.Close()
			if network[:3] == "udp" {
				c.SetDeadline(time.Now().Add(2 * time.Second))
				c.Write([]byte("x"))
				_, err = c.Read(make([]byte, 1))
			}
		}
		took = time.Since(begun)
		return nil
	})
	if derr != nil {
		t.Fatal(derr)
	}
	return took, err
}

// Whatever address and port a program connects to, the one listener gets the
// connection and knows what it was meant for.
func TestEveryConnectionArrives(t *testing.T) {
	ns, accepted := inside(t)
	for _, addr := range []string{"198.18.0.16:443", "8.8.8.8:8443", "169.254.169.254:80", "10.0.0.1:22", "[2606:4700::1111]:443", "[fd00::1]:5432"} {
		if _, err := dial(t, ns, "tcp", addr); err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if got := <-accepted; got.String() != addr {
			t.Errorf("a connection to %s arrives as one to %s", addr, got)
		}
	}
}

// A server's own loopback is its own: nobody listens, so nobody answers, and what
// listens is reached without us.
func TestOwnLoopback(t *testing.T) {
	ns, accepted := inside(t)
	for _, addr := range []string{"127.0.0.1:9999", "127.1.2.3:80", "[::1]:9999"} {
		if took, err := dial(t, ns, "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) || took > atOnce {
			t.Errorf("%s: %v after %v, want a refusal", addr, err, took)
		}
	}
	ln, err := ns.ListenTCP(netip.MustParseAddrPort("127.0.0.1:9999"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := dial(t, ns, "tcp", "127.0.0.1:9999"); err != nil {
		t.Errorf("the server's own listener: %v", err)
	}
	select {
	case got := <-accepted:
		t.Errorf("the proxy got a connection to %s", got)
	default:
	}
}

// What is neither TCP nor a question for a name is refused at once, and seen.
func TestTheRestIsRefusedAndSeen(t *testing.T) {
	ns, _ := inside(t)
	w, err := nft.Watch(ns.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	seen := make(chan nft.Refused, 16)
	go func() {
		for {
			all, err := w.Next()
			if err != nil {
				return
			}
			for _, r := range all {
				seen <- r
			}
		}
	}()
	for _, addr := range []string{"8.8.8.8:123", "198.18.0.16:443", "[2606:4700::1111]:443"} {
		took, err := dial(t, ns, "udp", addr)
		if !errors.Is(err, syscall.ECONNREFUSED) || took > atOnce {
			t.Errorf("%s: %v after %v, want a refusal at once", addr, err, took)
		}
		select {
		case r := <-seen:
			if r.Protocol != "udp" || r.To.String() != addr {
				t.Errorf("%s is seen as %v", addr, r)
			}
		case <-time.After(atOnce): // the kernel gathers for a second unless it is told not to
			t.Errorf("%s is not seen", addr)
		}
	}
	// The control: a listener on port 53 gets what is asked there, whatever the address.
	conn, err := ns.ListenUDP(netip.MustParseAddrPort("0.0.0.0:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		b := make([]byte, 16)
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err == nil {
			conn.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	if _, err := dial(t, ns, "udp", "127.0.0.1:53"); err != nil {
		t.Errorf("port 53: %v", err)
	}
}

// Without the rules nothing passes either: the namespace has no way out.
func TestNoRulesNoWay(t *testing.T) {
	testenv.Need(t, "root")
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	for _, addr := range []string{"8.8.8.8:443", "10.0.0.1:80", "[2606:4700::1111]:443"} {
		if took, err := dial(t, ns, "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) || took > atOnce {
			t.Errorf("%s: %v after %v", addr, err, took)
		}
	}
}
