package urls

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

// judgeHost says whether the host may be named: what it is comes before whether
// it is listed, since some hosts nothing opens.
func (s Spec) judgeHost(h netpolicy.Host) argument.Finding {
	listed := s.lists(h)
	private := s.Private && listed
	if f := judgeKind(h, private); f.Verdict != argument.Pass {
		f.Hint = s.hostHint()
		return f
	}
	if listed {
		return argument.Passed
	}
	if addr, ok := embedded(h.String()); ok {
		if f := judgeAddress(addr, false); f.Verdict != argument.Pass {
			return refuse("url.embedded", "the host of the URL is a name that carries an address which is not public", s.hostHint())
		}
	}
	return argument.Finding{Verdict: min(s.Unlisted, argument.Hold), Rule: "url.unlisted", Reason: "the host of the URL is not one of those that are listed", Hint: s.hostHint()}
}

func (s Spec) lists(h netpolicy.Host) bool {
	return slices.ContainsFunc(s.Hosts, func(p netpolicy.Pattern) bool { return p.Match(h) })
}

func (s Spec) hostHint() string {
	if len(s.Hosts) == 0 {
		return ""
	}
	names := make([]string, 0, maxHint)
	for _, p := range s.Hosts[:min(len(s.Hosts), maxHint)] {
		names = append(names, p.String())
	}
	return "use a listed host, such as " + strings.Join(names, ", ")
}

// judgeKind passes a public host, and a private one if private is set.
func judgeKind(h netpolicy.Host, private bool) argument.Finding {
	if addr, ok := h.Addr(); ok {
		return judgeAddress(addr, private)
	}
	return judgeName(h.String(), private)
}

func judgeAddress(addr netip.Addr, private bool) argument.Finding {
	// The host's own addresses are egress's business: they are not known here.
	reason, ok := netpolicy.CheckAddress(addr, netpolicy.Grant{Private: private}, func(netip.Addr) bool { return false })
	switch {
	case ok:
		return argument.Passed
	case reason == netpolicy.ReasonMetadata:
		return refuse("url.metadata", "the URL leads to the metadata service of a cloud, which hands out credentials", "")
	case reason == netpolicy.ReasonLoopback:
		return refuse("url.loopback", "the URL leads to the machine's own loopback address", "")
	case reason == netpolicy.ReasonPrivate:
		return refuse("url.private", "the URL leads to a private address", "")
	}
	return refuse("url.address", "the URL leads to an address that is not on the internet, or that carries another address", "")
}

// judgeName judges names whose meaning is known without a look-up.
func judgeName(name string, private bool) argument.Finding {
	switch {
	case under(name, loopbackNames):
		return refuse("url.loopback", "the host of the URL is a name for the machine's own loopback address", "")
	case under(name, metadataNames):
		return refuse("url.metadata", "the host of the URL is a name for the metadata service of a cloud", "")
	case under(name, wildcardNames):
		return refuse("url.wildcard", "the host of the URL is below a DNS service that answers with any address one asks for", "")
	case private || !isPrivateName(name):
		return argument.Passed
	}
	return refuse("url.private", "the host of the URL is a name that only a private network knows", "")
}

// under reports whether name is one of the list or below it.
func under(name string, list map[string]bool) bool {
	for {
		if list[name] {
			return true
		}
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		name = rest
	}
}

// privateNames are in the list of public suffixes, or look so, and are private.
var privateNames = toSet("home.arpa", "in-addr.arpa", "ip6.arpa", "onion", "local", "internal", "localdomain", "lan", "corp", "home", "intranet",
	"private", "svc", "cluster.local", "consul", "test", "invalid", "example", "mail", "alt")

// isPrivateName: a name without a dot, or below a top-level domain that does not
// exist, is answered by a resolver inside, if by any.
func isPrivateName(name string) bool {
	if !strings.Contains(name, ".") || under(name, privateNames) {
		return true
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	return !icann && !strings.Contains(suffix, ".")
}

// loopbackNames are in common hosts files, or the RFC says so (RFC 6761 6.3).
var loopbackNames = toSet("localhost", "localhost.localdomain", "localhost4", "localhost6", "localhost6.localdomain6", "ip6-localhost",
	"ip6-loopback", "loopback", "broadcasthost")

// metadataNames resolve to a metadata service inside the cloud that has it.
var metadataNames = toSet("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
	"metadata.azure.internal", "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net", "rancher-metadata")

// wildcardNames answer with the address that the name spells, or with loopback,
// or with another address at each look. They are refused with every address: a
// name that is written for this has no other use. The list can never be whole;
// what it misses is found by embedded, if the name spells the address, and by
// egress in any case.
var wildcardNames = toSet("nip.io", "sslip.io", "xip.io", "xip.name", "backname.io", "ipq.co", "traefik.me", "plex.direct", "feste-ip.net",
	"localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "localho.st", "localhost.direct", "localdev.me", "lcl.host", "local.gd", "fuf.me",
	"yoogle.com", "smackaho.st", "lndo.site", "ddev.site", "127-0-0-1.org.uk", "1u.ms", "rbndr.us", "rebind.it", "rebind.network",
	"lock.cmpxchg8b.com", "spoofed.burpcollaborator.net")

func toSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
