package nft

import (
	"net/netip"
	"testing"
)

func TestParsePacket(t *testing.T) {
	v4 := func(proto byte, rest ...byte) []byte {
		b := append([]byte{0x45}, make([]byte, 19)...)
		b[9] = proto
		copy(b[16:], []byte{8, 8, 4, 4})
		return append(b, rest...)
	}
	v6 := append([]byte{0x60}, make([]byte, 39)...)
	v6[6] = 17
	copy(v6[24:], netip.MustParseAddr("2606:4700::1111").AsSlice())
	options := v4(17)
	options[0] = 0x46
	for _, tt := range []struct {
		name string
		in   []byte
		want Refused
		ok   bool
	}{
		{"udp", v4(17, 0, 99, 1, 187), Refused{"udp", netip.MustParseAddrPort("8.8.4.4:443")}, true},
		{"udp of IPv6", append(v6, 0, 1, 0, 123), Refused{"udp", netip.MustParseAddrPort("[2606:4700::1111]:123")}, true},
		{"icmp has no port", v4(1, 8, 0, 1, 187), Refused{"icmp", netip.MustParseAddrPort("8.8.4.4:0")}, true},
		{"unknown protocol", v4(253), Refused{"protocol 253", netip.MustParseAddrPort("8.8.4.4:0")}, true},
		{"cut before the ports", v4(17, 0), Refused{"udp", netip.MustParseAddrPort("8.8.4.4:0")}, true},
		{"options that are not there", options, Refused{}, false},
		{"empty", nil, Refused{}, false},
		{"no IP", []byte{0x10, 1, 2}, Refused{}, false},
	} {
		if got, ok := parsePacket(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// A container chooses every byte of these packets.
func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parsePacket(b); ok && (!r.To.Addr().IsValid() || r.Protocol == "") {
			t.Fatalf("%x gives %v", b, r)
		}
	})
}

// The last rule refuses, and the rules that pass something name what.
func TestRulesRefuseTheRest(t *testing.T) {
	rules := Rules(1)
	if last := rules[len(rules)-1]; last.Name != "refuse at once" {
		t.Errorf("the last rule is %q", last.Name)
	}
	for _, r := range rules {
		if r.Name == "" || len(r.Exprs) == 0 {
			t.Errorf("a rule without a name or without expressions: %+v", r)
		}
	}
}
