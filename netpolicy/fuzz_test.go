package netpolicy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
)

// FuzzClassify: no address inside a special range is public, and none that carries
// an IPv4 address is anything that a grant opens.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"1.1.1.1", "127.0.0.1", "169.254.169.254", "2606:4700::1", "::ffff:10.0.0.1", "fd00:ec2::254", "2606:4700::5efe:a00:1", "3000::1"} {
		f.Add(netip.MustParseAddr(s).AsSlice(), "")
	}
	f.Add(netip.MustParseAddr("fe80::1").AsSlice(), "eth0")
	blocks := iana(f)
	f.Fuzz(func(t *testing.T, b []byte, zone string) {
		addr, _ := netip.AddrFromSlice(b)
		addr = addr.WithZone(zone)
		checkClass(t, addr, blocks)
		if !addr.Is4() {
			return
		}
		for _, e := range embeddings(addr) {
			if c := Classify(e); c != Embedded && c != Unspecified && c != Loopback {
				t.Errorf("%s carries %s and is %s", e, addr, c)
			}
			checkClass(t, e, blocks)
		}
	})
}

func checkClass(t *testing.T, addr netip.Addr, blocks []netip.Prefix) {
	class := Classify(addr)
	reason, ok := CheckAddress(addr, Grant{}, func(netip.Addr) bool { return false })
	if ok != (class == Public) || ok != (reason == "") {
		t.Errorf("%s is %s and CheckAddress says %q, %v", addr, class, reason, ok)
	}
	everything := Grant{Private: true, Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	if _, ok := CheckAddress(addr, everything, func(netip.Addr) bool { return true }); ok == class.never() {
		t.Errorf("%s is %s and everything opens it: %v", addr, class, ok)
	}
	if class != Public {
		return
	}
	if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() || addr.IsPrivate() || !addr.IsGlobalUnicast() {
		t.Errorf("%s is public", addr)
	}
	if addr.Is6() && addr.As16()[0]>>5 != 1 {
		t.Errorf("%s is public and outside 2000::/3", addr)
	}
	if i := slices.IndexFunc(blocks, func(p netip.Prefix) bool { return p.Contains(addr) }); i >= 0 {
		t.Errorf("%s is public and inside %s", addr, blocks[i])
	}
}

// embeddings are the IPv6 addresses that carry a.
func embeddings(a netip.Addr) (out []netip.Addr) {
	v4 := a.As4()
	at := func(prefix string, where int) {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[where:], v4[:])
		out = append(out, netip.AddrFrom16(b))
	}
	for _, prefix := range []string{"::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "2606:4700::5efe:0:0", "fd12::200:5efe:0:0"} {
		at(prefix, 12)
	}
	at("2002::", 2)
	at("2001::", 4)  // a Teredo server
	at("2001::", 12) // a Teredo client
	return out
}

// FuzzParseHost: what is parsed has one spelling, in a small alphabet.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"example.com", "EXAMPLE.com.", "bücher.example", "xn--bcher-kva.example", "0x7f.1", "127.0.0.1", "[::1]",
		"::ffff:1.2.3.4", "a\u3002b", "\u05d0.com", "r3---sn.com", "_a.b", "xn--zca.xn--zca", "\u0915\u094d\u200d\u0937.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			if !h.IsZero() {
				t.Fatalf("%q: %v beside an error", s, h)
			}
			return
		}
		text := h.String()
		if again, err := ParseHost(text); again != h || err != nil {
			t.Fatalf("%q reads as %q, and that as %q, %v", s, text, again, err)
		}
		addr, literal := h.Addr()
		if literal != addr.IsValid() || literal == (h.name != "") {
			t.Fatalf("%q: %#v", s, h)
		}
		if literal {
			return
		}
		if text == "" || len(text) > maxName || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Fatalf("%q reads as %q", s, text)
		}
		if _, err := netip.ParseAddr(text); err == nil || looksNumeric(text) {
			t.Fatalf("%q reads as the name %q, which is an address to some", s, text)
		}
		if upper, err := ParseHost(strings.ToUpper(text) + "."); upper != h || err != nil {
			t.Fatalf("%q in capitals and with a dot reads as %q, %v", text, upper, err)
		}
		checkAuthority(t, h)
	})
}

func checkAuthority(t *testing.T, h Host) {
	for _, s := range []string{h.String(), JoinHostPort(h, 8443)} {
		got, port, err := ParseAuthority(s, 8443)
		if got != h || port != 8443 || err != nil {
			t.Fatalf("authority %q reads as %q, %d, %v", s, got, port, err)
		}
	}
}

// FuzzCanonicalPath: the result is its own canonical path, and holds nothing that
// another reader could take apart in another way.
func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/a/%2e%2e/b", "//a", "/a%252fb", "/%25%32%66", "/a/..;/b", "/{}", "/b%c3%bc", "/a%2541", "/a/.", "/%3b%3B;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := CanonicalPath(s)
		if err != nil {
			if p != "" {
				t.Fatalf("%q: %q beside an error", s, p)
			}
			return
		}
		if again, err := CanonicalPath(p); again != p || err != nil {
			t.Fatalf("%q is %q, and that is %q, %v", s, p, again, err)
		}
		if p[0] != '/' || len(p) > maxPath || strings.Contains(p, "//") {
			t.Fatalf("%q is %q", s, p)
		}
		for i := range len(p) {
			if c := p[i]; !isUnreserved(c) && !isPathByte(c) && c != '%' {
				t.Fatalf("%q is %q, with %q", s, p, c)
			}
		}
		for _, bad := range []string{"%2F", "%5C", "%00", "%0A", "%0D", "%7F", "%2E", "%252f", "%252F", "%252e", "%252E"} {
			if strings.Contains(p, bad) {
				t.Fatalf("%q is %q, with %s", s, p, bad)
			}
		}
		checkDecodings(t, s, p)
	})
}

// checkDecodings: however often a careless server decodes the path, its segments
// stay those that were judged.
func checkDecodings(t *testing.T, s, p string) {
	slashes := strings.Count(p, "/")
	for d := p; ; {
		for seg := range strings.SplitSeq(d, "/") {
			if base, _, _ := strings.Cut(seg, ";"); base == "." || base == ".." {
				t.Fatalf("%q is %q, which decodes to %q", s, p, d)
			}
		}
		if strings.Count(d, "/") != slashes || strings.ContainsAny(d, "\\\x00\r\n") {
			t.Fatalf("%q is %q, which decodes to %q", s, p, d)
		}
		next := decodeLoosely(d)
		if next == d {
			return
		}
		d = next
	}
}

func decodeLoosely(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if c, ok := hexByte(s[i+1:]); ok {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// FuzzParsePattern: a pattern reads back as itself and matches only what it says.
func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.com", "*", "*.com", "*.github.io", "example.*", "a*.b.com", "*.bücher.example", "10.0.0.1", "[2606:4700::1]", "a:1", "*.kawasaki.jp"} {
		f.Add(s, "x.example.com")
	}
	f.Fuzz(func(t *testing.T, s, hostText string) {
		p, err := ParsePattern(s)
		if err != nil {
			if p != (Pattern{}) {
				t.Fatalf("%q: %v beside an error", s, p)
			}
			return
		}
		if again, err := ParsePattern(p.String()); again != p || err != nil {
			t.Fatalf("%q reads as %q, and that as %q, %v", s, p, again, err)
		}
		if p.wild != strings.HasPrefix(s, "*.") || strings.Contains(p.host.String(), "*") {
			t.Fatalf("%q reads as %#v", s, p)
		}
		if !p.wild && !p.Match(p.host) || p.wild && p.Match(p.host) {
			t.Fatalf("%q and its own host", p)
		}
		if p.wild && !strings.Contains(p.host.name, ".") {
			t.Fatalf("%q is a wildcard on a top-level domain", p)
		}
		h, err := ParseHost(hostText)
		if err != nil || !p.Match(h) {
			return
		}
		if p.wild && !strings.HasSuffix(h.name, "."+p.host.name) || !p.wild && h != p.host {
			t.Fatalf("%q matches %q", p, h)
		}
	})
}

// FuzzPolicy: taking a rule away never allows more, and nothing is allowed
// without a rule that says so.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5}, "api.example.com", uint16(443), "GET", "/a/b", false, []byte{10, 0, 0, 1}, "t1")
	f.Add([]byte{0x10, 0x21, 0x32, 0xff, 0x44}, "10.0.0.1", uint16(80), "POST", "/", true, []byte{}, "t2")
	f.Add([]byte{7, 7, 7, 0x82}, "a.example.com", uint16(5432), "HEAD", "/b", false, []byte{1, 1, 1, 1}, "")
	f.Fuzz(func(t *testing.T, seed []byte, hostText string, port uint16, method, pathText string, upgrade bool, addr []byte, tool string) {
		h, err := ParseHost(hostText)
		if err != nil {
			return
		}
		d := Dest{Host: h, Port: port, InFlight: []mcprun.ToolName{mcprun.ToolName(tool)}, Own: func(netip.Addr) bool { return false }}
		d.Addr, _ = netip.AddrFromSlice(addr)
		path, err := CanonicalPath(pathText)
		if err != nil {
			path = pathText
		}
		if (Policy{}).Name(h) || (Policy{}).Connect(d).Allowed() || (Policy{}).Request(d, method, path, upgrade).Allowed() {
			t.Fatal("the zero policy allows")
		}
		var rules []Rule
		for _, r := range randomRules(t, seed) { // leave out what contradicts the ones before
			if _, err := NewPolicy(append(slices.Clone(rules), r)); err == nil {
				rules = append(rules, r)
			}
		}
		whole, err := NewPolicy(rules)
		if err != nil {
			t.Fatal(err)
		}
		checkDecisions(t, whole, d, method, path, upgrade)
		for i := range rules {
			checkSubset(t, whole, slices.Delete(slices.Clone(rules), i, i+1), d, method, path, upgrade)
		}
	})
}

// checkDecisions: an allowed decision names rules that say so, a denied one says
// why, and what was allowed by request was allowed by connection.
func checkDecisions(t *testing.T, p Policy, d Dest, method, path string, upgrade bool) {
	c, q := p.Connect(d), p.Request(d, method, path, upgrade)
	for _, x := range []Decision{c, q} {
		if x.Allowed() != (x.Reason == "") || x.Allowed() && x.Protocol == 0 {
			t.Fatalf("%s: %+v", p, x)
		}
	}
	for _, i := range c.Rules {
		r := p.rules[i]
		if !r.Host.Match(d.Host) || r.Port != d.Port || r.Protocol != c.Protocol || r.Inspect != c.Inspect {
			t.Fatalf("%s allows %v: %+v", r, d, c)
		}
		if a := d.addr(); a.IsValid() {
			if _, ok := CheckAddress(a, c.Grant, d.Own); !ok {
				t.Fatalf("%s allows %s", r, a)
			}
		}
	}
	for _, i := range q.Rules {
		if !slices.Contains(c.Rules, i) || !slices.Contains(p.rules[i].Methods, method) || upgrade && !p.rules[i].WebSocket {
			t.Fatalf("%s allows %s %s", p.rules[i], method, path)
		}
	}
	if _, literal := d.Host.Addr(); c.Allowed() && !literal && !p.Name(d.Host) {
		t.Fatalf("%s may be connected to and not be resolved", d.Host)
	}
}

func checkSubset(t *testing.T, whole Policy, fewer []Rule, d Dest, method, path string, upgrade bool) {
	part, err := NewPolicy(fewer)
	if err != nil {
		t.Fatalf("a part of a policy is none: %v", err)
	}
	if part.Name(d.Host) && !whole.Name(d.Host) ||
		part.Connect(d).Allowed() && !whole.Connect(d).Allowed() ||
		part.Request(d, method, path, upgrade).Allowed() && !whole.Request(d, method, path, upgrade).Allowed() {
		t.Fatalf("%s allows more than %s", part, whole)
	}
}

// randomRules makes one rule of each byte and its successor: few values, so that
// rules meet.
func randomRules(t *testing.T, seed []byte) (rules []Rule) {
	hosts := []string{"api.example.com", "*.example.com", "*.a.example.com", "10.0.0.1", "1.1.1.1", "a.b"}
	for i := 0; i+1 < min(len(seed), 16); i++ {
		a, b := int(seed[i]), int(seed[i+1])
		h, err := ParsePattern(hosts[a%len(hosts)])
		if err != nil {
			t.Fatal(err)
		}
		r := Rule{Host: h, Port: []uint16{443, 80, 5432}[b%3], Protocol: Protocol(a/8%3 + 1), Grant: Grant{Private: b&8 != 0}}
		r.Inspect = r.Protocol == TLS && b&16 != 0
		if r.ReadsRequests() {
			p, err := ParsePathPattern([]string{"/**", "/a/*", "/b", "/"}[a/64])
			if err != nil {
				t.Fatal(err)
			}
			r.Methods, r.Paths, r.WebSocket = []string{"GET", methods[b%len(methods)]}, []PathPattern{p}, b&32 != 0
		}
		if b&64 != 0 {
			r.Tools = []mcprun.ToolName{"t1"}
		}
		rules = append(rules, r)
	}
	return rules
}
