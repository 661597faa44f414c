package netpolicy

import "slices"

// resolvers are well known for answering DNS over HTTPS to everybody (RFC 8484).
// There are others, and anybody can run one.
var resolvers = mustHosts(
	"dns.google", "dns.google.com", "cloudflare-dns.com", "mozilla.cloudflare-dns.com", "chrome.cloudflare-dns.com", "security.cloudflare-dns.com",
	"family.cloudflare-dns.com", "one.one.one.one", "dns.quad9.net", "dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net", "doh.opendns.com",
	"doh.familyshield.opendns.com", "dns.nextdns.io", "doh.cleanbrowsing.org", "dns.adguard.com", "dns.adguard-dns.com", "unfiltered.adguard-dns.com",
	"dns.alidns.com", "doh.pub", "doh.360.cn", "dns.mullvad.net", "doh.mullvad.net", "freedns.controld.com", "dns.controld.com", "doh.dns.sb",
	"dns.switch.ch", "doh.xfinity.com", "doh.libredns.gr", "dns.digitale-gesellschaft.ch", "dns0.eu", "zero.dns0.eu",
)

func mustHosts(names ...string) []Host {
	var out []Host
	for _, n := range names {
		h, err := ParseHost(n)
		if err != nil {
			panic(err)
		}
		out = append(out, h)
	}
	return out
}

// pathDNS is where they answer, nearly all of them.
const pathDNS = "/dns-query"

// Resolves reports whether the rule lets a container ask a public resolver for
// names by HTTPS. A name that is asked for so carries a message to whoever owns it.
func (r Rule) Resolves() bool {
	if !slices.ContainsFunc(resolvers, r.Host.Match) {
		return false
	}
	return !r.ReadsRequests() || slices.ContainsFunc(r.Paths, func(p PathPattern) bool { return p.Match(pathDNS) })
}
