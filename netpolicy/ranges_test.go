package netpolicy

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// iana reads the registries' blocks from testdata.
func iana(t testing.TB) (blocks []netip.Prefix) {
	f, err := os.Open("testdata/iana-special-purpose.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			blocks = append(blocks, netip.MustParsePrefix(s.Text()))
		}
	}
	if len(blocks) != 51 {
		t.Fatalf("%d blocks in the registries, want 26 and 25", len(blocks))
	}
	return blocks
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Every block of the registries is in the table, and neither end of it is public.
func TestEveryRegisteredBlockIsARange(t *testing.T) {
	inTable := map[netip.Prefix]bool{}
	for _, r := range ranges {
		inTable[r.prefix] = true
	}
	for _, b := range iana(t) {
		if !inTable[b] {
			t.Errorf("%s is in no range", b)
		}
		for _, a := range []netip.Addr{b.Addr(), last(b)} {
			if c := Classify(a); c == Public || c == Unknown {
				t.Errorf("%s of %s is %s", a, b, c)
			}
		}
	}
}

func TestRangesAreWellFormed(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	for _, r := range ranges {
		if r.prefix.Masked() != r.prefix || r.prefix.Addr().Is4In6() && r.prefix.Bits() > 96 {
			t.Errorf("%s has bits behind its length, or is IPv4 in IPv6", r.prefix)
		}
		if seen[r.prefix] {
			t.Errorf("%s is in the table twice", r.prefix)
		}
		seen[r.prefix] = true
		if r.class == Unknown || r.name == "" || r.source == "" {
			t.Errorf("%s has no class, name or source", r.prefix)
		}
	}
}

// The longest prefix decides, so an open range inside one that nothing opens would
// be a hole that no reader of the table sees.
func TestNoOpenRangeInsideAClosedOne(t *testing.T) {
	for _, outer := range ranges {
		for _, inner := range ranges {
			if outer.class.never() && !inner.class.never() && inner.prefix.Bits() > outer.prefix.Bits() && outer.prefix.Contains(inner.prefix.Addr()) {
				t.Errorf("%s (%s) is inside %s (%s)", inner.prefix, inner.class, outer.prefix, outer.class)
			}
		}
	}
}
