package netpolicy

import "net/netip"

// specialRange is a range of addresses that is treated in one way.
type specialRange struct {
	prefix netip.Prefix
	class  Class
	name   string
	source string // where it is written that the range is what it is
}

func special(prefix string, class Class, name, source string) specialRange {
	return specialRange{netip.MustParsePrefix(prefix), class, name, source}
}

// ranges holds every row of IANA's IPv4 and IPv6 special-purpose address
// registries (as of April 2025), multicast, and what experience adds to them.
// The longest prefix that holds an address decides, so the order is free. Rows
// that IANA calls globally reachable (AS112, AMT, anycast of protocols) are
// reserved here all the same: no server of ours has business there.
var ranges = []specialRange{
	// What is left when no other row holds.
	special("0.0.0.0/0", Public, "public IPv4", "RFC 791"),
	special("2000::/3", Public, "public IPv6", "RFC 3587"),
	special("::/0", Reserved, "IPv6 outside of global unicast", "RFC 4291 2.4"),

	// IPv4.
	special("0.0.0.0/8", Reserved, "this network", "RFC 791 3.2"),
	special("0.0.0.0/32", Unspecified, "this host; Linux connects to loopback", "RFC 1122 3.2.1.3"),
	special("10.0.0.0/8", Private, "private use", "RFC 1918"),
	special("100.64.0.0/10", SharedNAT, "shared address space", "RFC 6598"),
	special("127.0.0.0/8", Loopback, "loopback", "RFC 1122 3.2.1.3"),
	special("169.254.0.0/16", LinkLocal, "link local", "RFC 3927"),
	special("172.16.0.0/12", Private, "private use", "RFC 1918"),
	special("192.0.0.0/24", Reserved, "IETF protocol assignments", "RFC 6890 2.1"),
	special("192.0.0.0/29", Reserved, "IPv4 service continuity", "RFC 7335"),
	special("192.0.0.8/32", Reserved, "IPv4 dummy address", "RFC 7600"),
	special("192.0.0.9/32", Reserved, "port control protocol anycast", "RFC 7723"),
	special("192.0.0.10/32", Reserved, "TURN anycast", "RFC 8155"),
	special("192.0.0.170/32", Reserved, "NAT64 discovery", "RFC 8880"),
	special("192.0.0.171/32", Reserved, "NAT64 discovery", "RFC 8880"),
	special("192.0.2.0/24", Documentation, "TEST-NET-1", "RFC 5737"),
	special("192.31.196.0/24", Reserved, "AS112", "RFC 7535"),
	special("192.52.193.0/24", Reserved, "AMT", "RFC 7450"),
	special("192.88.99.0/24", Reserved, "6to4 relay anycast, deprecated", "RFC 7526"),
	special("192.88.99.2/32", Reserved, "6a44 relay anycast", "RFC 6751"),
	special("192.168.0.0/16", Private, "private use", "RFC 1918"),
	special("192.175.48.0/24", Reserved, "AS112 direct delegation", "RFC 7534"),
	special("198.18.0.0/15", Benchmark, "benchmarking; also the addresses our name stub invents", "RFC 2544"),
	special("198.51.100.0/24", Documentation, "TEST-NET-2", "RFC 5737"),
	special("203.0.113.0/24", Documentation, "TEST-NET-3", "RFC 5737"),
	special("224.0.0.0/4", Multicast, "multicast", "RFC 5771"),
	special("240.0.0.0/4", Reserved, "reserved", "RFC 1112 4"),
	special("255.255.255.255/32", Broadcast, "limited broadcast", "RFC 8190"),

	// IPv6 addresses that carry an IPv4 address. A translator or a tunnel on the
	// way would deliver to that address, which no rule on IPv4 has then seen.
	special("::/96", Embedded, "IPv4-compatible, deprecated", "RFC 4291 2.5.5.1"),
	special("::ffff:0:0/96", Embedded, "IPv4-mapped", "RFC 4291 2.5.5.2"),
	special("::ffff:0:0:0/96", Embedded, "IPv4-translated", "RFC 2765 2.1"),
	special("64:ff9b::/96", Embedded, "NAT64", "RFC 6052"),
	special("64:ff9b:1::/48", Embedded, "NAT64, local use", "RFC 8215"),
	special("2001::/32", Embedded, "Teredo", "RFC 4380"),
	special("2002::/16", Embedded, "6to4", "RFC 3056"),

	// Other IPv6.
	special("::/128", Unspecified, "unspecified", "RFC 4291 2.5.2"),
	special("::1/128", Loopback, "loopback", "RFC 4291 2.5.3"),
	special("100::/64", Reserved, "discard only", "RFC 6666"),
	special("100:0:0:1::/64", Reserved, "dummy prefix", "RFC 9780"),
	special("2001::/23", Reserved, "IETF protocol assignments", "RFC 2928"),
	special("2001:1::1/128", Reserved, "port control protocol anycast", "RFC 7723"),
	special("2001:1::2/128", Reserved, "TURN anycast", "RFC 8155"),
	special("2001:1::3/128", Reserved, "DNS-SD registration anycast", "RFC 9665"),
	special("2001:2::/48", Benchmark, "benchmarking", "RFC 5180"),
	special("2001:3::/32", Reserved, "AMT", "RFC 7450"),
	special("2001:4:112::/48", Reserved, "AS112", "RFC 7535"),
	special("2001:10::/28", Reserved, "ORCHID, deprecated", "RFC 4843"),
	special("2001:20::/28", Reserved, "ORCHIDv2", "RFC 7343"),
	special("2001:30::/28", Reserved, "drone remote id", "RFC 9374"),
	special("2001:db8::/32", Documentation, "documentation", "RFC 3849"),
	special("2620:4f:8000::/48", Reserved, "AS112 direct delegation", "RFC 7534"),
	special("2d00::/8", Reserved, "never handed out", "IANA IPv6 unicast assignments"),
	special("2e00::/7", Reserved, "never handed out", "IANA IPv6 unicast assignments"),
	special("3000::/4", Reserved, "never handed out", "IANA IPv6 unicast assignments"),
	special("3ffe::/16", Reserved, "6bone, returned", "RFC 3701"),
	special("3fff::/20", Documentation, "documentation", "RFC 9637"),
	special("5f00::/16", Reserved, "segment routing ids", "RFC 9602"),
	special("fc00::/7", Private, "unique local", "RFC 4193"),
	special("fe80::/10", LinkLocal, "link local", "RFC 4291 2.5.6"),
	special("fec0::/10", SiteLocal, "site local, deprecated", "RFC 3879"),
	special("ff00::/8", Multicast, "multicast", "RFC 4291 2.7"),

	// Where clouds hand a machine its credentials, or run the agent that does.
	// Most are inside other ranges; here each has its name, and no grant opens it.
	special("169.254.169.254/32", Metadata, "instance metadata of AWS, Azure, Google and most clouds", "the clouds' manuals"),
	special("169.254.170.2/32", Metadata, "AWS ECS task credentials", "AWS manual"),
	special("169.254.170.23/32", Metadata, "AWS EKS pod identity", "AWS manual"),
	special("169.254.42.42/32", Metadata, "Scaleway instance metadata", "cloud-init, Scaleway"),
	special("169.254.0.23/32", Metadata, "Tencent instance metadata", "Tencent manual"),
	special("169.254.10.10/32", Metadata, "Tencent instance metadata", "Tencent manual"),
	special("100.100.100.200/32", Metadata, "Alibaba instance metadata", "Alibaba manual"),
	special("100.96.0.96/32", Metadata, "Volcengine instance metadata", "Volcengine manual"),
	special("168.63.129.16/32", Metadata, "Azure wire server", "Azure manual"),
	special("192.0.0.192/32", Metadata, "Oracle Cloud Classic instance metadata", "Oracle manual"),
	special("fd00:ec2::/32", Metadata, "AWS instance services", "AWS manual"), // ::254 metadata, ::23 pod identity, ::253 DNS
	special("fd20:ce::254/128", Metadata, "Google instance metadata", "Google manual"),
	special("fd00:c1::a9fe:a9fe/128", Metadata, "Oracle Cloud instance metadata", "Oracle manual"),
	special("fd00:42::42/128", Metadata, "Scaleway instance metadata", "cloud-init, Scaleway"),
	special("fd00:a9fe:a9fe::1/128", Metadata, "Akamai (Linode) instance metadata", "cloud-init, Akamai"),
	special("fd00:100::100:200/128", Metadata, "Alibaba instance metadata", "Alibaba manual"),
	special("fe80::a9fe:a9fe/128", Metadata, "OpenStack instance metadata", "OpenStack manual"),
}

// rangeOf returns the narrowest range that holds addr, which must be valid and
// without a zone: Prefix.Contains is false for both, and would find nothing.
func rangeOf(addr netip.Addr) specialRange {
	var best specialRange
	for _, r := range ranges {
		if r.prefix.Contains(addr) && (!best.prefix.IsValid() || r.prefix.Bits() > best.prefix.Bits()) {
			best = r
		}
	}
	return best
}
