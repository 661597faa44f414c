package netpolicy

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// maxBelowWildcard bounds what a wildcard stands for. Every name below it reaches
// the owner's name server, so the part that the server chooses is a channel; 100
// bytes hold a bucket name of 63 and two labels more, not a file.
const maxBelowWildcard = 100

// Pattern says which hosts a rule is about: one name, one address, or all names
// below one (*.example.com, without example.com itself). The zero Pattern matches
// nothing.
type Pattern struct {
	host Host
	wild bool // all names below host, which is then a name
}

// ParsePattern reads the host of a rule.
func ParsePattern(s string) (Pattern, error) {
	if err := checkPatternText(s); err != nil {
		return Pattern{}, err
	}
	rest, wild := strings.CutPrefix(s, "*.")
	host, err := ParseHost(rest)
	if err != nil {
		return Pattern{}, err
	}
	p := Pattern{host, wild}
	if err := p.check(); err != nil {
		return Pattern{}, err
	}
	return p, nil
}

// checkPatternText names what people write into a host that belongs elsewhere.
func checkPatternText(s string) error {
	_, port, err := splitPort(s)
	switch {
	case s == "":
		return errors.New("a host is empty")
	case strings.Contains(s, "://"):
		return fmt.Errorf("host %+.64q carries a scheme; leave it out, and write the port as its own key", s)
	case strings.Contains(s, "@"):
		return fmt.Errorf("host %+.64q carries user info; leave it out", s)
	case strings.Contains(s, "/"):
		return fmt.Errorf("host %+.64q carries a slash; write paths as their own key, and networks under networks", s)
	case err == nil && port != 0:
		return fmt.Errorf("host %+.64q carries a port; write the port as its own key", s)
	case s == "*":
		return errors.New(`host "*" is every host; name the hosts that are needed`)
	case strings.Contains(strings.TrimPrefix(s, "*."), "*"):
		return fmt.Errorf("host %+.64q: a * stands only for whole labels at the front, as in *.example.com", s)
	}
	return nil
}

// check refuses patterns that can never match, and wildcards over other people's
// names.
func (p Pattern) check() error {
	addr, literal := p.host.Addr()
	switch {
	case literal && p.wild:
		return fmt.Errorf("host \"*.%s\": nothing is below an address", p.host)
	case literal && Classify(addr).never():
		return fmt.Errorf("host %s is %s (%s), which nothing opens", p.host, Classify(addr), rangeOf(addr).name)
	case literal:
		return nil
	case p.host.isLocalhost():
		return fmt.Errorf("host %s is loopback, which nothing opens", p.host)
	case p.wild && suffixOf(p.host.name) == p.host.name:
		return fmt.Errorf("host \"*.%s\": %s is a public suffix, below it anyone can have a name; name the hosts that are needed", p.host, p.host)
	case p.wild && len(suffixOf("x."+p.host.name)) > len(p.host.name):
		return fmt.Errorf("host \"*.%s\": every name below %s is a public suffix, below which anyone can have a name; name the hosts that are needed", p.host, p.host)
	}
	return nil
}

// suffixOf is the part of a name under which strangers can register: com, co.uk,
// github.io. The private section of the list counts as well.
func suffixOf(name string) string {
	suffix, _ := publicsuffix.PublicSuffix(name)
	return suffix
}

// Match reports whether the rule is about h.
//
// A wildcard does not reach across a public suffix: *.amazonaws.com stands for
// sts.amazonaws.com and not for bucket.s3.amazonaws.com, which belongs to whoever
// made the bucket.
func (p Pattern) Match(h Host) bool {
	if !p.wild {
		return p.host == h && !h.IsZero()
	}
	below, ok := strings.CutSuffix(h.name, "."+p.host.name)
	return ok && len(below) <= maxBelowWildcard && len(suffixOf(h.name)) <= len(p.host.name)
}

// overlaps reports whether some host may match both.
func (p Pattern) overlaps(q Pattern) bool {
	return p.Match(q.example()) || q.Match(p.example())
}

// example is a host that the pattern matches.
func (p Pattern) example() Host {
	if !p.wild {
		return p.host
	}
	return Host{name: "x." + p.host.name}
}

// String returns what ParsePattern reads back as the same Pattern.
func (p Pattern) String() string {
	if p.wild {
		return "*." + p.host.String()
	}
	return p.host.String()
}
