package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/mcprun/mcprun/netpolicy/netns"
	"github.com/mcprun/mcprun/netpolicy/nft"
)

// detectTimeout bounds each step of the live test; each takes less than a millisecond.
const detectTimeout = 2 * time.Second

// Detect finds out, by a live test in a namespace of its own, how connections can
// be brought to the daemon on this host. The error says why it is not
// Transparent, or, with neither mode, what is missing.
func Detect() (Mode, error) {
	ns, err := netns.New()
	if err != nil {
		return Ports, err
	}
	defer ns.Close()
	err = tryTransparent(ns)
	if err == nil {
		return Transparent, nil
	}
	return Ports, err
}

// anywhere is an address and port that no rule and no host is about.
var anywhere = netip.MustParseAddrPort("203.0.113.9:4321")

// tryTransparent connects to an address that nobody has and expects it at the
// listener; then sends a packet that must be refused at once.
func tryTransparent(ns *netns.NS) error {
	ln, err := ns.ListenTCP(netip.AddrPortFrom(netip.IPv4Unspecified(), transparentPort), true)
	if err != nil {
		return err
	}
	defer ln.Close()
	if err := nft.Apply(ns.Fd(), nft.Rules(transparentPort)); err != nil {
		return fmt.Errorf("%w; the kernel needs nf_tables, nft_tproxy, nft_reject and nft_log", err)
	}
	w, err := nft.Watch(ns.Fd())
	if err != nil {
		return fmt.Errorf("%w; the kernel needs nfnetlink_log", err)
	}
	w.Close()
	return ns.Do(func() error {
		c, err := net.DialTimeout("tcp4", anywhere.String(), detectTimeout)
		if err != nil {
			return fmt.Errorf("a connection does not reach the listener: %w", err)
		}
		defer c.Close()
		ln.SetDeadline(time.Now().Add(detectTimeout))
		got, err := ln.AcceptTCP()
		if err != nil {
			return fmt.Errorf("a connection does not reach the listener: %w", err)
		}
		defer got.Close()
		if at := destination(got); at != anywhere {
			return fmt.Errorf("a connection to %s arrives as one to %s", anywhere, at)
		}
		return refusedAtOnce()
	})
}

func refusedAtOnce() error {
	c, err := net.DialTimeout("udp4", anywhere.String(), detectTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(detectTimeout))
	c.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("a UDP packet is not refused at once: %v", err)
	}
	return nil
}
