package netpolicy

import (
	"net/netip"
	"strings"
	"testing"
)

func zone(t testing.TB, s string) Zone {
	t.Helper()
	z, err := ParseZone(s)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestZone(t *testing.T) {
	for _, row := range []struct {
		zone, pattern string
		touches       bool
	}{
		{"a.example.com", "a.example.com", true}, {"a.example.com", "*.example.com", true}, {"a.example.com", "example.com", false}, {"a.example.com", "*.a.example.com", false},
		{"*.example.com", "a.b.example.com", true}, {"*.example.com", "example.com", false}, {"*.example.com", "*.example.com", true}, {"*.example.com", "*.a.example.com", true}, {"*.a.example.com", "*.example.com", true},
		{"*.example.com", "*.example.org", false}, {"*.xample.com", "example.com", false}, {"*.xample.com", "*.example.com", false},
		{"*.zip", "a.zip", true}, {"*.zip", "*.a.zip", true}, {"*.ngrok.io", "me.ngrok.io", true}, {"*.github.io", "*.me.github.io", true}, {"com", "*.example.com", false},
		{"*", "example.com", true}, {"*", "*.example.com", true}, {"*", "1.1.1.1", true}, {"1.1.1.1", "1.1.1.1", true}, {"1.1.1.1", "1.1.1.2", false}, {"1.1.1.1", "*.example.com", false},
		// A rule does not reach across a public suffix, so it does not reach the zone.
		{"*.s3.amazonaws.com", "*.amazonaws.com", false}, {"s3.amazonaws.com", "*.amazonaws.com", false}, {"*.s3.amazonaws.com", "bucket.s3.amazonaws.com", true},
	} {
		p, err := ParsePattern(row.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := zone(t, row.zone).Touches(p); got != row.touches {
			t.Errorf("%s and the rule for %s: %v", row.zone, row.pattern, got)
		}
	}
	if (Zone{}).Has(Host{}) || (Zone{}).Has(Host{name: "a"}) || zone(t, "*").Has(Host{}) || zone(t, "*").Touches(Pattern{}) || (Zone{}).Touches(Pattern{host: Host{name: "a"}}) {
		t.Error("nothing is in something, or something in nothing")
	}
	for _, bad := range []string{"", "*.*.a.com", "a*.com", "https://a.com", "a.com:443", "*.1.2.3.4", "a/b", "*."} {
		if z, err := ParseZone(bad); err == nil {
			t.Errorf("%q is the zone %s", bad, z)
		}
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	if !zone(t, "10.1.2.3").InAny(networks) || zone(t, "10.2.2.3").InAny(networks) || zone(t, "a.example.com").InAny(networks) {
		t.Error("an address in a network is not seen, or one beside it is")
	}
}

func TestHolds(t *testing.T) {
	for _, row := range []struct {
		outer, inner string
		holds        bool
	}{
		{"a.example.com", "a.example.com", true}, {"a.example.com", "*.example.com", false}, {"*.example.com", "a.example.com", true}, {"*.example.com", "example.com", false},
		{"*.example.com", "*.example.com", true}, {"*.example.com", "*.a.example.com", true}, {"*.a.example.com", "*.example.com", false}, {"*.example.com", "*.example.org", false},
		{"*.xample.com", "*.example.com", false}, {"*.amazonaws.com", "*.bucket.s3.amazonaws.com", false}, {"1.1.1.1", "1.1.1.1", true}, {"*.example.com", "1.1.1.1", false},
	} {
		if got := mustPattern(t, row.outer).Holds(mustPattern(t, row.inner)); got != row.holds {
			t.Errorf("%s holds %s: %v", row.outer, row.inner, got)
		}
	}
	if (Pattern{}).Holds(mustPattern(t, "a.example.com")) {
		t.Error("the zero pattern holds a host")
	}
}

func mustPattern(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// FuzzSets compares what is said of sets with what is true of names: of each name
// that can be built around the hosts of both, and of the public suffixes on the way.
func FuzzSets(f *testing.F) {
	for _, s := range [][2]string{{"*.example.com", "a.example.com"}, {"*", "*.example.com"}, {"*.s3.amazonaws.com", "*.amazonaws.com"}, {"*.a.b.example.com", "*.example.com"}, {"1.1.1.1", "1.1.1.1"},
		{"*.github.io", "*.me.github.io"}, {"*.kawasaki.jp", "*.city.kawasaki.jp"}, {"*.compute.amazonaws.com", "*.x.compute.amazonaws.com"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePattern(b)
		if err != nil {
			return
		}
		if z, err := ParseZone(a); err == nil {
			if again, err := ParseZone(z.String()); err != nil || again != z {
				t.Fatalf("%q is read back as %q: %v", z, again, err)
			}
			both := false
			for _, h := range samples(z.host, p.host) {
				both = both || z.Has(h) && p.Match(h)
			}
			if got := z.Touches(p); got != both {
				t.Fatalf("zone %s and rule %s: touches %v, and of the names %v", z, p, got, both)
			}
		}
		q, err := ParsePattern(a)
		if err != nil || !q.Holds(p) {
			return
		}
		for _, h := range samples(q.host, p.host) {
			if p.Match(h) && !q.Match(h) && len(h.name)-len(q.host.name) <= maxBelowWildcard {
				t.Fatalf("%s holds %s, but not %s", q, p, h)
			}
		}
	})
}

// samples are hosts near two others: themselves, what is below and what is above.
func samples(hosts ...Host) []Host {
	var out []Host
	for _, h := range hosts {
		if _, literal := h.Addr(); literal || h.IsZero() {
			out = append(out, h)
			continue
		}
		for name := h.name; name != ""; {
			for _, below := range []string{"", "x.", "0.", "y.x.", "s3.", "www."} {
				if made, err := ParseHost(below + name); err == nil {
					out = append(out, made)
				}
			}
			_, rest, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			name = rest
		}
	}
	return out
}
