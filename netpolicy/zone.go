package netpolicy

import (
	"errors"
	"net/netip"
	"strings"
)

// Zone is a set of hosts that an operator closes: one name, one address, all names
// below one at any depth (*.example.com), or every host (*). Unlike a Pattern it
// reaches across public suffixes, since closing other people's names harms nobody:
// *.ngrok.io and *.zip are zones. The zero Zone holds nothing.
type Zone struct {
	host Host
	wild bool // all names below host; all hosts if there is none
}

// ParseZone reads a zone.
func ParseZone(s string) (Zone, error) {
	if s == "*" {
		return Zone{wild: true}, nil
	}
	if err := checkPatternText(s); err != nil {
		return Zone{}, err
	}
	rest, wild := strings.CutPrefix(s, "*.")
	host, err := ParseHost(rest)
	if err != nil {
		return Zone{}, err
	}
	if _, literal := host.Addr(); literal && wild {
		return Zone{}, errors.New("nothing is below an address")
	}
	return Zone{host, wild}, nil
}

// Has reports whether h is in the zone.
func (z Zone) Has(h Host) bool {
	switch {
	case h.IsZero():
		return false
	case !z.wild:
		return z.host == h
	}
	return z.host.IsZero() || strings.HasSuffix(h.name, "."+z.host.name)
}

// Touches reports whether a rule for p could reach a host of the zone.
func (z Zone) Touches(p Pattern) bool {
	switch {
	case p == Pattern{} || z == Zone{}:
		return false
	case !z.wild:
		return p.Match(z.host)
	case z.host.IsZero(), z.Has(p.host), p.wild && p.host == z.host:
		return true
	}
	// The zone may lie inside the pattern. Two names, since one of them could be a
	// public suffix that the pattern does not reach across.
	return p.Match(Host{name: "x." + z.host.name}) || p.Match(Host{name: "0." + z.host.name})
}

// InAny reports whether the zone is an address that lies in one of the networks.
func (z Zone) InAny(networks []netip.Prefix) bool {
	addr, ok := z.host.Addr()
	for _, n := range networks {
		if ok && n.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// String returns what ParseZone reads back as the same Zone.
func (z Zone) String() string {
	switch {
	case z.wild && z.host.IsZero():
		return "*"
	case z.wild:
		return "*." + z.host.String()
	}
	return z.host.String()
}

// Holds reports whether every host that q matches is one that p is for. The bound on
// what the wildcard of one rule stands for is not that of a ceiling, so that
// *.example.com holds *.a.example.com.
func (p Pattern) Holds(q Pattern) bool {
	switch {
	case q == Pattern{}:
		return true
	case p == q:
		return true
	case !q.wild:
		return p.Match(q.host)
	}
	return p.wild && strings.HasSuffix(q.host.name, "."+p.host.name) && len(suffixOf(q.host.name)) <= len(p.host.name)
}
