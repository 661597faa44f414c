package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Class says what kind of address an address is. The zero value is denied.
type Class uint8

const (
	Unknown       Class = iota // not an address at all
	Public                     // on the internet; the only class that needs no grant
	Private                    // RFC 1918 and unique local IPv6
	SharedNAT                  // 100.64.0.0/10, behind a carrier's NAT and in many overlays
	SiteLocal                  // deprecated IPv6 private range
	Documentation              // for examples only
	Benchmark                  // 198.18.0.0/15, which our name stub also uses, and its IPv6 sister
	Reserved                   // everything else that is special
	LinkLocal                  // never, from here on
	Loopback
	Metadata    // hands out a cloud's credentials
	Multicast   //
	Unspecified // Linux connects to loopback
	Broadcast   //
	Embedded    // an IPv6 address that carries an IPv4 address
	Zoned       // fe80::1%eth0: netip compares it with no range
)

func (c Class) String() string {
	names := [...]string{"unknown", "public", "private", "shared-nat", "site-local", "documentation", "benchmark", "reserved",
		"link-local", "loopback", "metadata", "multicast", "unspecified", "broadcast", "embedded", "zoned"}
	if int(c) < len(names) {
		return names[c]
	}
	return names[Unknown]
}

// never reports whether no grant opens the class.
func (c Class) never() bool { return c == Unknown || c >= LinkLocal }

// Classify returns the class of addr. It unmaps nothing: an IPv4 address inside
// an IPv6 address is Embedded, whatever the inner address is.
func Classify(addr netip.Addr) Class {
	switch {
	case !addr.IsValid():
		return Unknown
	case addr.Zone() != "":
		return Zoned
	}
	class := rangeOf(addr).class
	if !class.never() && isISATAP(addr) {
		return Embedded
	}
	return class
}

// isISATAP finds the interface ids that end in an IPv4 address: "::0:5efe:a.b.c.d"
// and "::200:5efe:a.b.c.d" below any prefix (RFC 5214 6.1), so no range has them.
func isISATAP(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	b := addr.As16()
	return b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// Grant says which addresses a rule opens beyond the public ones. The zero value
// opens none. Nothing in it opens loopback, metadata, link-local, multicast,
// unspecified, broadcast, embedded or zoned addresses.
type Grant struct {
	Private  bool           // Private, SharedNAT, and the host's own addresses
	Networks []netip.Prefix // exactly these; made by ParseNetwork
}

func (g Grant) covers(addr netip.Addr) bool {
	for _, n := range g.Networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// CheckAddress reports whether g opens addr, and else why not. own tells the
// host's own addresses: what listens there trusts the machine, so they need
// Private or a network even where they are public. Without own every address
// counts as the host's own.
func CheckAddress(addr netip.Addr, g Grant, own func(netip.Addr) bool) (Reason, bool) {
	switch class := Classify(addr); {
	case class == Metadata:
		return ReasonMetadata, false
	case class == Loopback:
		return ReasonLoopback, false
	case class.never():
		return ReasonAddress, false
	case g.covers(addr):
		return "", true
	case own == nil || own(addr):
		return needsPrivate(g, ReasonOwn)
	case class == Public:
		return "", true
	case class == Private || class == SharedNAT:
		return needsPrivate(g, ReasonPrivate)
	}
	return ReasonAddress, false
}

func needsPrivate(g Grant, otherwise Reason) (Reason, bool) {
	if g.Private {
		return "", true
	}
	return otherwise, false
}

// ParseNetwork reads one network of a grant, e.g. "10.2.0.0/16".
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err == nil:
		if err := checkNetwork(p); err != nil {
			return netip.Prefix{}, err
		}
		return p, nil
	case strings.Contains(s, "%"):
		return netip.Prefix{}, fmt.Errorf("network %+.64q has a zone; take it out", s)
	case !strings.Contains(s, "/"):
		return netip.Prefix{}, fmt.Errorf("network %+.64q has no length; a single address ends in /32 or /128", s)
	}
	return netip.Prefix{}, fmt.Errorf("network %+.64q is not an address, a slash and a length", s)
}

// checkNetwork refuses networks that do not say what they seem to.
func checkNetwork(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("a network is empty")
	case p.Bits() == 0:
		return fmt.Errorf("network %s is every address; name the networks that are needed", p)
	case p.Addr().Is4In6():
		return fmt.Errorf("network %s is IPv4 written as IPv6; write it as IPv4", p)
	case p.Masked() != p:
		return fmt.Errorf("network %s has bits set behind its length; write %s", p, p.Masked())
	}
	for _, r := range ranges {
		if !r.class.never() || !p.Overlaps(r.prefix) {
			continue
		}
		// A metadata address inside a private range (100.100.100.200 in
		// 100.64.0.0/10) is cut out by CheckAddress. Refusing the whole range for it
		// would drive people to private: true, which opens far more.
		if r.class == Metadata && r.prefix.Bits() > p.Bits() {
			continue
		}
		return fmt.Errorf("network %s overlaps %s (%s, %s), which nothing opens; name a network without it",
			p, r.prefix, r.class, r.name)
	}
	return nil
}
