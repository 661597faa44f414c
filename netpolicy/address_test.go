package netpolicy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/netpolicy"
)

var notOwn = func(netip.Addr) bool { return false }

// addresses holds each address with its class, why it is denied without a grant,
// and why it is denied with private: true; "" is allowed. Rows named D or H are
// those of the list of egress cases.
var addresses = []struct {
	row, addr           string
	class               netpolicy.Class
	reason, withPrivate netpolicy.Reason
}{
	{"", "1.1.1.1", netpolicy.Public, "", ""},
	{"", "8.8.8.8", netpolicy.Public, "", ""},
	{"", "93.184.216.34", netpolicy.Public, "", ""},
	{"", "9.255.255.255", netpolicy.Public, "", ""},
	{"", "11.0.0.0", netpolicy.Public, "", ""},
	{"", "100.63.255.255", netpolicy.Public, "", ""},
	{"", "100.128.0.0", netpolicy.Public, "", ""},
	{"", "126.255.255.255", netpolicy.Public, "", ""},
	{"", "128.0.0.0", netpolicy.Public, "", ""},
	{"", "172.15.255.255", netpolicy.Public, "", ""},
	{"", "172.32.0.0", netpolicy.Public, "", ""},
	{"", "192.167.255.255", netpolicy.Public, "", ""},
	{"", "198.17.255.255", netpolicy.Public, "", ""},
	{"", "198.20.0.0", netpolicy.Public, "", ""},
	{"", "223.255.255.255", netpolicy.Public, "", ""},
	{"", "168.63.129.15", netpolicy.Public, "", ""},
	{"", "2606:4700:4700::1111", netpolicy.Public, "", ""},
	{"", "2a00:1450:4001:800::200e", netpolicy.Public, "", ""},
	{"", "2001:200::1", netpolicy.Public, "", ""},
	{"", "2001:4860:4860::8888", netpolicy.Public, "", ""},
	{"", "2003::1", netpolicy.Public, "", ""},

	{"", "10.0.0.0", netpolicy.Private, "private", ""},
	{"", "10.255.255.255", netpolicy.Private, "private", ""},
	{"", "172.16.0.1", netpolicy.Private, "private", ""},
	{"", "172.17.0.1", netpolicy.Private, "private", ""},
	{"", "172.31.255.255", netpolicy.Private, "private", ""},
	{"", "192.168.0.1", netpolicy.Private, "private", ""},
	{"", "192.168.255.255", netpolicy.Private, "private", ""},
	{"", "fc00::1", netpolicy.Private, "private", ""},
	{"", "fd12:3456:789a::1", netpolicy.Private, "private", ""},
	{"", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", netpolicy.Private, "private", ""},
	{"", "100.64.0.1", netpolicy.SharedNAT, "private", ""},
	{"", "100.127.255.255", netpolicy.SharedNAT, "private", ""},
	{"", "100.100.100.199", netpolicy.SharedNAT, "private", ""},

	{"D1", "169.254.169.254", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "169.254.170.2", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "169.254.170.23", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "169.254.42.42", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "169.254.0.23", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "169.254.10.10", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "100.100.100.200", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "100.96.0.96", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "168.63.129.16", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "192.0.0.192", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:ec2::254", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:ec2::23", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd20:ce::254", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:c1::a9fe:a9fe", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:42::42", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:a9fe:a9fe::1", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fd00:100::100:200", netpolicy.Metadata, "metadata", "metadata"},
	{"D1", "fe80::a9fe:a9fe", netpolicy.Metadata, "metadata", "metadata"},

	{"", "127.0.0.1", netpolicy.Loopback, "loopback", "loopback"},
	{"", "127.0.0.0", netpolicy.Loopback, "loopback", "loopback"},
	{"", "127.255.255.255", netpolicy.Loopback, "loopback", "loopback"},
	{"", "::1", netpolicy.Loopback, "loopback", "loopback"},
	{"", "169.254.0.1", netpolicy.LinkLocal, "address", "address"},
	{"", "169.254.169.253", netpolicy.LinkLocal, "address", "address"},
	{"", "fe80::1", netpolicy.LinkLocal, "address", "address"},
	{"", "febf::1", netpolicy.LinkLocal, "address", "address"},
	{"H16", "fe80::1%eth0", netpolicy.Zoned, "address", "address"},
	{"H16", "2606:4700::1%1", netpolicy.Zoned, "address", "address"},
	{"H16", "::1%lo", netpolicy.Zoned, "address", "address"},
	{"H16", "fd00:ec2::254%1", netpolicy.Zoned, "address", "address"},

	{"D3", "::ffff:127.0.0.1", netpolicy.Embedded, "address", "address"},
	{"D3", "::ffff:7f00:1", netpolicy.Embedded, "address", "address"},
	{"D3", "0:0:0:0:0:ffff:127.0.0.1", netpolicy.Embedded, "address", "address"},
	{"D3", "::ffff:169.254.169.254", netpolicy.Embedded, "address", "address"},
	{"D3", "::ffff:8.8.8.8", netpolicy.Embedded, "address", "address"},
	{"D4", "64:ff9b::7f00:1", netpolicy.Embedded, "address", "address"},
	{"D4", "64:ff9b::a9fe:a9fe", netpolicy.Embedded, "address", "address"},
	{"D4", "64:ff9b::8.8.8.8", netpolicy.Embedded, "address", "address"},
	{"D4", "64:ff9b:1::a9fe:a9fe", netpolicy.Embedded, "address", "address"},
	{"D4", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", netpolicy.Embedded, "address", "address"},
	{"D6", "::127.0.0.1", netpolicy.Embedded, "address", "address"},
	{"D6", "::a9fe:a9fe", netpolicy.Embedded, "address", "address"},
	{"D6", "::2", netpolicy.Embedded, "address", "address"},
	{"D6", "::ffff:0:127.0.0.1", netpolicy.Embedded, "address", "address"},
	{"D6", "::ffff:0:8.8.8.8", netpolicy.Embedded, "address", "address"},
	{"", "2002:7f00:1::", netpolicy.Embedded, "address", "address"},
	{"", "2002:808:808::1", netpolicy.Embedded, "address", "address"},
	{"", "2001::1", netpolicy.Embedded, "address", "address"},
	{"", "2001:0:4136:e378:8000:63bf:3fff:fdd2", netpolicy.Embedded, "address", "address"},
	{"", "2606:4700::5efe:10.0.0.1", netpolicy.Embedded, "address", "address"},
	{"", "2606:4700::200:5efe:127.0.0.1", netpolicy.Embedded, "address", "address"},
	{"", "fd12::5efe:169.254.169.254", netpolicy.Embedded, "address", "address"},
	{"", "2606:4700::1:5efe:a00:1", netpolicy.Public, "", ""}, // not the id of ISATAP

	{"D8", "224.0.0.1", netpolicy.Multicast, "address", "address"},
	{"D8", "239.255.255.255", netpolicy.Multicast, "address", "address"},
	{"D8", "ff02::1", netpolicy.Multicast, "address", "address"},
	{"D8", "ff0e::1", netpolicy.Multicast, "address", "address"},
	{"D8", "240.0.0.1", netpolicy.Reserved, "address", "address"},
	{"D8", "255.255.255.254", netpolicy.Reserved, "address", "address"},
	{"D8", "255.255.255.255", netpolicy.Broadcast, "address", "address"},
	{"D8", "0.0.0.0", netpolicy.Unspecified, "address", "address"},
	{"D8", "::", netpolicy.Unspecified, "address", "address"},
	{"D8", "0.1.2.3", netpolicy.Reserved, "address", "address"},
	{"D8", "198.18.0.0", netpolicy.Benchmark, "address", "address"},
	{"D8", "198.19.255.255", netpolicy.Benchmark, "address", "address"},
	{"D8", "2001:2::1", netpolicy.Benchmark, "address", "address"},
	{"", "192.0.0.1", netpolicy.Reserved, "address", "address"},
	{"", "192.0.0.9", netpolicy.Reserved, "address", "address"},
	{"", "192.0.0.171", netpolicy.Reserved, "address", "address"},
	{"", "192.0.2.1", netpolicy.Documentation, "address", "address"},
	{"", "198.51.100.7", netpolicy.Documentation, "address", "address"},
	{"", "203.0.113.255", netpolicy.Documentation, "address", "address"},
	{"", "2001:db8::1", netpolicy.Documentation, "address", "address"},
	{"", "3fff:fff::1", netpolicy.Documentation, "address", "address"},
	{"", "192.31.196.1", netpolicy.Reserved, "address", "address"},
	{"", "192.52.193.1", netpolicy.Reserved, "address", "address"},
	{"", "192.88.99.1", netpolicy.Reserved, "address", "address"},
	{"", "192.175.48.1", netpolicy.Reserved, "address", "address"},
	{"", "100::1", netpolicy.Reserved, "address", "address"},
	{"", "100:0:0:1::1", netpolicy.Reserved, "address", "address"},
	{"", "2001:1::1", netpolicy.Reserved, "address", "address"},
	{"", "2001:10::1", netpolicy.Reserved, "address", "address"},
	{"", "2001:2f::1", netpolicy.Reserved, "address", "address"},
	{"", "2001:1ff:ffff::1", netpolicy.Reserved, "address", "address"},
	{"", "2620:4f:8000::1", netpolicy.Reserved, "address", "address"},
	{"", "3ffe::1", netpolicy.Reserved, "address", "address"},
	{"", "3001::1", netpolicy.Reserved, "address", "address"},
	{"", "5f00::1", netpolicy.Reserved, "address", "address"},
	{"", "4000::1", netpolicy.Reserved, "address", "address"},
	{"", "200::1", netpolicy.Reserved, "address", "address"},
	{"", "fec0::1", netpolicy.SiteLocal, "address", "address"},
}

func TestAddresses(t *testing.T) {
	for _, c := range addresses {
		addr := netip.MustParseAddr(c.addr)
		if got := netpolicy.Classify(addr); got != c.class {
			t.Errorf("%s %s is %s, want %s", c.row, c.addr, got, c.class)
		}
		for _, g := range []struct {
			grant netpolicy.Grant
			want  netpolicy.Reason
		}{{netpolicy.Grant{}, c.reason}, {netpolicy.Grant{Private: true}, c.withPrivate}} {
			got, ok := netpolicy.CheckAddress(addr, g.grant, notOwn)
			if got != g.want || ok != (g.want == "") {
				t.Errorf("%s %s with %+v: %q, %v; want %q", c.row, c.addr, g.grant, got, ok, g.want)
			}
		}
	}
	if len(addresses) < 80 {
		t.Errorf("only %d addresses", len(addresses))
	}
}

func TestNoAddressIsDenied(t *testing.T) {
	if c := netpolicy.Classify(netip.Addr{}); c != netpolicy.Unknown {
		t.Errorf("the zero address is %s", c)
	}
	if r, ok := netpolicy.CheckAddress(netip.Addr{}, netpolicy.Grant{Private: true}, notOwn); ok || r != netpolicy.ReasonAddress {
		t.Errorf("the zero address: %q, %v", r, ok)
	}
	var zero netpolicy.Class
	if zero != netpolicy.Unknown || netpolicy.Class(200).String() != "unknown" {
		t.Error("the zero class is not unknown")
	}
}

// D11: what listens on the machine's own addresses trusts the machine.
func TestOwnAddresses(t *testing.T) {
	mine := netip.MustParseAddr("203.0.114.7") // public, and the host's
	own := func(a netip.Addr) bool { return a == mine || a.String() == "10.0.0.5" || a.IsLoopback() }
	network := func(s string) netpolicy.Grant {
		return netpolicy.Grant{Networks: []netip.Prefix{netip.MustParsePrefix(s)}}
	}
	for _, c := range []struct {
		addr string
		g    netpolicy.Grant
		own  func(netip.Addr) bool
		want netpolicy.Reason
	}{
		{"203.0.114.7", netpolicy.Grant{}, own, "own"},
		{"203.0.114.8", netpolicy.Grant{}, own, ""},
		{"203.0.114.7", netpolicy.Grant{Private: true}, own, ""},
		{"203.0.114.7", network("203.0.114.7/32"), own, ""},
		{"203.0.114.7", network("203.0.114.8/32"), own, "own"},
		{"10.0.0.5", netpolicy.Grant{}, own, "own"},
		{"10.0.0.5", netpolicy.Grant{Private: true}, own, ""},
		{"127.0.0.1", netpolicy.Grant{Private: true}, own, "loopback"},
		{"8.8.8.8", netpolicy.Grant{}, nil, "own"}, // nobody said which addresses are the host's
		{"8.8.8.8", netpolicy.Grant{Private: true}, nil, ""},
		{"10.0.0.6", network("10.0.0.0/24"), nil, ""},
	} {
		got, ok := netpolicy.CheckAddress(netip.MustParseAddr(c.addr), c.g, c.own)
		if got != c.want || ok != (c.want == "") {
			t.Errorf("%s with %+v: %q, %v; want %q", c.addr, c.g, got, ok, c.want)
		}
	}
}

// Networks open what they hold and nothing that nothing opens, even where a grant
// was made by hand and never checked.
func TestNetworksOpenOnlyThemselves(t *testing.T) {
	var all netpolicy.Grant
	for _, s := range []string{"0.0.0.0/0", "::/0", "10.0.0.0/8", "100.64.0.0/10", "::ffff:0:0/96", "fd00::/8", "169.254.0.0/16", "127.0.0.0/8"} {
		all.Networks = append(all.Networks, netip.MustParsePrefix(s))
	}
	all.Private = true
	for _, c := range addresses {
		addr := netip.MustParseAddr(c.addr)
		want := c.withPrivate
		switch c.class { // a network opens these, private: true does not
		case netpolicy.Reserved, netpolicy.Documentation, netpolicy.Benchmark, netpolicy.SiteLocal:
			want = ""
		}
		if got, ok := netpolicy.CheckAddress(addr, all, notOwn); got != want || ok != (want == "") {
			t.Errorf("%s with every network: %q, %v; want %q", c.addr, got, ok, want)
		}
	}
	one := netpolicy.Grant{Networks: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}}
	for addr, want := range map[string]netpolicy.Reason{"10.2.3.4": "", "10.3.0.0": "private", "8.8.8.8": "", "192.168.0.1": "private"} {
		if got, _ := netpolicy.CheckAddress(netip.MustParseAddr(addr), one, notOwn); got != want {
			t.Errorf("%s with 10.2.0.0/16: %q, want %q", addr, got, want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // want: the network, or a part of the error
		{"10.2.0.0/16", "10.2.0.0/16"},
		{"192.168.1.7/32", "192.168.1.7/32"},
		{"fd12:3456::/32", "fd12:3456::/32"},
		{"200::/7", "200::/7"},
		{"240.0.0.0/8", "240.0.0.0/8"},
		{"198.18.0.0/15", "198.18.0.0/15"},
		{"100.64.0.0/10", "100.64.0.0/10"}, // CheckAddress cuts the metadata service out
		{"fd00::/8", "fd00::/8"},
		{"168.63.0.0/16", "168.63.0.0/16"},
		{"", "has no length"},
		{"10.2.0.1", "/32"},
		{"10.2.0.0/33", "is not an address"},
		{"10.2.0.0/016", "is not an address"},
		{"010.2.0.0/16", "is not an address"},
		{"10.2.0.1/16", "write 10.2.0.0/16"},
		{"fd12::1/32", "write fd12::/32"},
		{"0.0.0.0/0", "every address"},
		{"::/0", "every address"},
		{"::ffff:10.0.0.0/104", "IPv4 written as IPv6"},
		{"::ffff:0:0/96", "IPv4 written as IPv6"},
		{"fe80::%eth0/10", "has a zone"},
		{"127.0.0.0/8", "overlaps 127.0.0.0/8 (loopback"},
		{"127.0.0.1/32", "overlaps 127.0.0.0/8 (loopback"},
		{"169.254.0.0/16", "overlaps 169.254.0.0/16 (link-local"},
		{"169.254.169.254/32", "overlaps 169.254.0.0/16"},
		{"0.0.0.0/1", "overlaps 0.0.0.0/32 (unspecified"},
		{"0.0.0.0/32", "overlaps"},
		{"128.0.0.0/1", "overlaps"},
		{"224.0.0.0/4", "overlaps 224.0.0.0/4 (multicast"},
		{"255.255.255.255/32", "overlaps 255.255.255.255/32 (broadcast"},
		{"240.0.0.0/4", "overlaps 255.255.255.255/32 (broadcast"},
		{"100.100.100.200/32", "overlaps 100.100.100.200/32 (metadata"},
		{"168.63.129.16/32", "overlaps 168.63.129.16/32 (metadata"},
		{"fd00:ec2::/32", "overlaps fd00:ec2::/32 (metadata"},
		{"fd00:ec2:1::/48", "overlaps fd00:ec2::/32 (metadata"},
		{"2000::/3", "overlaps"},
		{"2002::/16", "overlaps 2002::/16 (embedded"},
		{"64:ff9b::/96", "overlaps 64:ff9b::/96 (embedded"},
		{"::/96", "overlaps"},
		{"::1/128", "overlaps"},
		{"fe80::/10", "overlaps fe80::/10 (link-local"},
		{"ff00::/8", "overlaps ff00::/8 (multicast"},
		{"10.0.0.0\x00/8", "is not an address"},
	} {
		p, err := netpolicy.ParseNetwork(c.in)
		if err == nil {
			if p.String() != c.want {
				t.Errorf("ParseNetwork(%q) = %s, want %q", c.in, p, c.want)
			}
			continue
		}
		if p.IsValid() || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseNetwork(%q): %v, %v; want %q", c.in, p, err, c.want)
		}
	}
}
