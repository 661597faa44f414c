package netpolicy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/netpolicy"
)

var (
	label63 = strings.Repeat("a", 63)
	name253 = strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct{ row, in, want string }{ // want: the host, or "! " and a part of the error
		{"", "example.com", "example.com"},
		{"", "a", "a"},
		{"", "_dmarc.example.com", "_dmarc.example.com"},
		{"", "my_bucket.s3.amazonaws.com", "my_bucket.s3.amazonaws.com"},
		{"", "r3---sn-a5meknzr.googlevideo.com", "r3---sn-a5meknzr.googlevideo.com"},
		{"", "127.0.0.1.nip.io", "127.0.0.1.nip.io"}, // a name; what it resolves to is judged
		{"", "1password.com", "1password.com"},
		{"", "0xdeadbeef.eth", "0xdeadbeef.eth"},
		{"", "example.com1", "example.com1"},
		{"D14", "eXaMpLe.CoM", "example.com"},
		{"D14", "XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"H3", "example.com.", "example.com"},
		{"H3", "169.254.169.254.", "169.254.169.254"},
		{"H3", "example.com..", "! empty label"},
		{"H3", ".", "! empty label"},
		{"", ".example.com", "! empty label"},
		{"", "a..b", "! empty label"},
		{"", "", "! empty"},
		{"H1", "evil\x00.allowed.com", `! '\x00'`},
		{"H1", "allowed.com\x00", `! '\x00'`},
		{"", "a\r\nb.com", `! '\r'`},
		{"", "a\tb.com", `! '\t'`},
		{"", "a\x7fb.com", `! '\x7f'`},
		{"", "a b.com", "! ' '"},
		{"", " example.com", "! ' '"},
		{"", "ex%61mple.com", "! '%'"},
		{"", "example.com/", "! '/'"},
		{"", `example.com\evil.com`, `! '\\'`},
		{"", "example.com#", "! '#'"},
		{"", "example.com?", "! '?'"},
		{"", "*.example.com", "! '*'"},
		{"H8", "allowed.com@evil.com", "! '@'"},
		{"H8", "user:pw@evil.com", "! no IPv6 address"},
		{"", "example.com:443", "! no IPv6 address"},
		{"", "-a.com", "! hyphen"},
		{"", "a-.com", "! hyphen"},
		{"", label63 + ".com", label63 + ".com"},
		{"", label63 + "a.com", "! 64 bytes"},
		{"", name253, name253},
		{"", name253 + ".", name253},
		{"", name253 + "b", "! 254 bytes"},
		{"", strings.Repeat("a.", 5000), "! at most 253"},

		// IDNA: what it would change is refused, what it would not is encoded.
		{"H5", "bücher.example", "xn--bcher-kva.example"},
		{"H5", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"H5", "bücher.xn--p1ai", "xn--bcher-kva.xn--p1ai"},
		{"H5", "faß.de", "xn--fa-hia.de"}, // not fass.de: no transitional mapping
		{"H5", "a_b.bücher.de", "a_b.xn--bcher-kva.de"},
		{"H5", "BÜCHER.example", "! stand for others"},   // capital outside ASCII
		{"H5", "example\u3002com", "! stand for others"}, // ideographic full stop
		{"H5", "example\uff0ecom", "! stand for others"}, // full-width full stop
		{"H5", "example\uff61com", "! stand for others"}, // half-width ideographic full stop
		{"H5", "\uff47ithub.com", "! stand for others"},  // full-width g
		{"H5", "git\u200bhub.com", "! stand for others"}, // zero-width space
		{"H5", "git\u00adhub.com", "! stand for others"}, // soft hyphen
		{"H5", "git\ufeffhub.com", "! stand for others"}, // byte order mark
		{"H5", "git\u2060hub.com", "! stand for others"}, // word joiner
		{"H5", "git\u200dhub.com", "! not a valid"},      // zero-width joiner out of place
		{"H5", "git\u202ehub.com", "! not a valid"},      // right-to-left override
		{"H5", "\u24d0.com", "! stand for others"},       // circled a
		{"H5", "\u212belvin.com", "! stand for others"},  // Angstrom sign
		{"H5", "tik\u212a.com", "! stand for others"},    // Kelvin sign
		{"H5", "\u2488com", "! "},                        // digit one full stop
		{"H5", "1a.\u05d0\u05d1\u05d2", "! not a valid"}, // Bidi rule
		{"H5", "xn--github-.com", "! not a valid"},       // encodes plain ASCII
		{"H5", "xn--abc.com", "! not a valid"},           // encodes control characters
		{"H5", "xn--.com", "! not a valid"},              // encodes nothing
		{"H5", "xn--a\u00fc.com", "! not a valid"},       // encoded and not
		{"H5", "a\xffb.com", "! not valid UTF-8"},
		{"H5", "\uff11\uff12\uff17.0.0.1", "! stand for others"}, // full-width 127

		// Names that inet_aton takes for an address.
		{"H6", "127.0.0.1", "127.0.0.1"},
		{"H6", "2130706433", "! ends in a number"},
		{"H6", "0x7f000001", "! ends in a number"},
		{"H6", "0X7F000001", "! ends in a number"},
		{"H6", "017700000001", "! ends in a number"},
		{"H6", "127.1", "! ends in a number"},
		{"H6", "127.0.1", "! ends in a number"},
		{"H6", "0177.0.0.1", "! ends in a number"},
		{"H6", "0x7f.0.0.1", "! ends in a number"},
		{"H6", "127.0.0.0x1", "! ends in a number"},
		{"H6", "127.0.0.01", "! ends in a number"},
		{"H6", "127.0.0.1.1", "! ends in a number"},
		{"H6", "256.0.0.1", "! ends in a number"},
		{"H6", "0", "! ends in a number"},
		{"H6", "0x", "! ends in a number"},
		{"H6", "example.0x1f", "! ends in a number"},
		{"H6", "example.1", "! ends in a number"},
		{"H6", "169.254.43518", "! ends in a number"},

		{"", "2001:db8::1", "2001:db8::1"},
		{"", "[2001:DB8:0::1]", "2001:db8::1"},
		{"D3", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1"}, // stays IPv6, so it is embedded
		{"D3", "::ffff:7f00:1", "::ffff:127.0.0.1"},
		{"", "[127.0.0.1]", "! no IPv6 address"},
		{"", "[::1", "! bracket"},
		{"", "::1]", "! no IPv6 address"},
		{"", "[[::1]]", "! no IPv6 address"},
		{"", "[::1].", "! bracket"},
		{"", "[]", "! no IPv6 address"},
		{"", ":", "! no IPv6 address"},
		{"H16", "fe80::1%eth0", "! zone"},
		{"H16", "[fe80::1%25eth0]", "! zone"},
	} {
		got, err := netpolicy.ParseHost(c.in)
		checkParsed(t, c.row+" ParseHost", c.in, c.want, got.String(), err)
		if err != nil && !got.IsZero() {
			t.Errorf("%s ParseHost(%q) returned %q beside an error", c.row, c.in, got)
		}
	}
}

// checkParsed compares with what a table wants: a value, or "! " and a part of the
// error.
func checkParsed(t *testing.T, what, in, want, got string, err error) {
	t.Helper()
	part, fails := strings.CutPrefix(want, "! ")
	switch {
	case fails && err == nil:
		t.Errorf("%s(%q) = %q, want an error about %q", what, in, got, part)
	case fails && !strings.Contains(err.Error(), part):
		t.Errorf("%s(%q): %v; want one about %q", what, in, err, part)
	case !fails && (err != nil || got != want):
		t.Errorf("%s(%q) = %q, %v; want %q", what, in, got, err, want)
	}
}

func TestLiteralHost(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::1")
	h := netpolicy.LiteralHost(a)
	if got, ok := h.Addr(); got != a || !ok {
		t.Errorf("Addr() = %s, %v", got, ok)
	}
	if parsed, err := netpolicy.ParseHost("2001:db8::1"); parsed != h || err != nil {
		t.Errorf("not equal to the parsed one: %v, %v", parsed, err)
	}
	if got := netpolicy.JoinHostPort(h, 443); got != "[2001:db8::1]:443" {
		t.Errorf("JoinHostPort = %q", got)
	}
	if got := netpolicy.JoinHostPort(host(t, "example.com"), 80); got != "example.com:80" {
		t.Errorf("JoinHostPort = %q", got)
	}
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0")} {
		if h := netpolicy.LiteralHost(a); !h.IsZero() {
			t.Errorf("LiteralHost(%v) = %q", a, h)
		}
	}
	if _, ok := host(t, "example.com").Addr(); ok {
		t.Error("a name has an address")
	}
}

func host(t testing.TB, s string) netpolicy.Host {
	t.Helper()
	h, err := netpolicy.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParseAuthority(t *testing.T) {
	for _, c := range []struct {
		row, in string
		port    uint16 // default
		want    string
	}{
		{"", "example.com", 443, "example.com:443"},
		{"", "example.com:8443", 443, "example.com:8443"},
		{"", "Example.COM.:80", 443, "example.com:80"},
		{"", "10.0.0.1:1", 443, "10.0.0.1:1"},
		{"", "[2001:db8::1]", 443, "[2001:db8::1]:443"},
		{"", "[2001:db8::1]:65535", 443, "[2001:db8::1]:65535"},
		{"", "example.com", 0, "! no port"},
		{"H8", "allowed.com@evil.com", 443, "! user info"},
		{"H8", "allowed.com:443@evil.com:443", 443, "! user info"},
		{"H1", "evil\x00.allowed.com", 443, `! '\x00'`},
		{"H16", "[fe80::1%eth0]:443", 443, "! zone"},
		{"", "", 443, "! empty"},
		{"", ":443", 443, "! empty"},
		{"", "example.com:", 443, "! not 1 to 65535"},
		{"", "example.com:0", 443, "! not 1 to 65535"},
		{"", "example.com:0443", 443, "! not 1 to 65535"},
		{"", "example.com:+443", 443, "! not 1 to 65535"},
		{"", "example.com:65536", 443, "! not 1 to 65535"},
		{"", "example.com:443 ", 443, "! not 1 to 65535"},
		{"", "example.com:４４３", 443, "! not 1 to 65535"},
		{"", "example.com:80:80", 443, "! two ports"},
		{"", "2001:db8::1", 443, "! without brackets"},
		{"", "[2001:db8::1]x", 443, "! after its bracket"},
		{"", "[2001:db8::1", 443, "! bracket"},
		{"", "[127.0.0.1]:80", 443, "! no IPv6 address"},
		{"", "example.com/path", 443, "! '/'"},
		{"", "example.com, evil.com", 443, "! ','"},
		{"H6", "0x7f.1:80", 443, "! ends in a number"},
	} {
		h, port, err := netpolicy.ParseAuthority(c.in, c.port)
		checkParsed(t, c.row+" ParseAuthority", c.in, c.want, netpolicy.JoinHostPort(h, port), err)
		if err != nil && (port != 0 || !h.IsZero()) {
			t.Errorf("ParseAuthority(%q) returned %s, %d beside an error", c.in, h, port)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for _, c := range []struct{ row, in, want string }{
		{"", "api.github.com", "api.github.com"},
		{"", "API.GitHub.com.", "api.github.com"},
		{"", "*.example.com", "*.example.com"},
		{"", "*.Example.COM", "*.example.com"},
		{"", "*.bücher.example", "*.xn--bcher-kva.example"},
		{"", "*.corp.internal", "*.corp.internal"},
		{"", "*.amazonaws.com", "*.amazonaws.com"},
		{"", "octocat.github.io", "octocat.github.io"},
		{"", "github.io", "github.io"}, // exact: one host
		{"", "*.octocat.github.io", "*.octocat.github.io"},
		{"", "db", "db"},
		{"", "93.184.216.34", "93.184.216.34"},
		{"", "10.0.0.5", "10.0.0.5"}, // the rule must open it
		{"", "[2606:4700::1]", "2606:4700::1"},
		{"", "2606:4700::1", "2606:4700::1"},
		{"", "", "! empty"},
		{"", "*", "! every host"},
		{"", "*.", "! empty"},
		{"", "*.com", "! public suffix"},
		{"", "*.co.uk", "! public suffix"},
		{"", "*.github.io", "! github.io is a public suffix"},
		{"", "*.blob.core.windows.net", "! public suffix"},
		{"", "*.s3.amazonaws.com", "! public suffix"},
		{"", "*.internal", "! public suffix"},
		{"", "*.xn--p1ai", "! public suffix"},
		{"", "*.kawasaki.jp", "! every name below"},
		{"", "*.ck", "! public suffix"},
		{"H15", "example.*", "! stands only for whole labels at the front"},
		{"H15", "api-*.example.com", "! stands only for whole labels at the front"},
		{"H15", "*api.example.com", "! stands only for whole labels at the front"},
		{"H15", "*.*.example.com", "! stands only for whole labels at the front"},
		{"H15", "a.*.example.com", "! stands only for whole labels at the front"},
		{"H15", "**.example.com", "! stands only for whole labels at the front"},
		{"H15", "ex?mple.com", "! '?'"},
		{"H15", "[ab].example.com", "! bracket"},
		{"", "example.com:443", "! write the port as its own key"},
		{"", "*.example.com:443", "! write the port as its own key"},
		{"", "[2606:4700::1]:443", "! write the port as its own key"},
		{"", "https://example.com", "! scheme"},
		{"", "example.com/path", "! write paths as their own key"},
		{"", "10.0.0.0/8", "! networks under networks"},
		{"H8", "user@example.com", "! user info"},
		{"", "*.10.0.0.1", "! nothing is below an address"},
		{"", "*.1", "! ends in a number"},
		{"", "127.0.0.1", "! 127.0.0.1 is loopback"},
		{"", "::1", "! ::1 is loopback"},
		{"D1", "169.254.169.254", "! is metadata"},
		{"D3", "::ffff:10.0.0.1", "! is embedded"},
		{"D8", "0.0.0.0", "! is unspecified"},
		{"H6", "2130706433", "! ends in a number"},
		{"", "localhost", "! loopback"},
		{"", "db.localhost", "! loopback"},
		{"", "*.a.localhost", "! loopback"},
		{"", "exa mple.com", "! ' '"},
		{"H5", "git\u200bhub.com", "! stand for others"},
	} {
		got, err := netpolicy.ParsePattern(c.in)
		checkParsed(t, c.row+" ParsePattern", c.in, c.want, got.String(), err)
		if err != nil {
			if got != (netpolicy.Pattern{}) {
				t.Errorf("ParsePattern(%q) returned %q beside an error", c.in, got)
			}
			continue
		}
		if again, err := netpolicy.ParsePattern(got.String()); again != got || err != nil {
			t.Errorf("ParsePattern(%q): its String %q reads as %q, %v", c.in, got, again, err)
		}
	}
}

func pattern(t testing.TB, s string) netpolicy.Pattern {
	t.Helper()
	p, err := netpolicy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		row, pattern, host string
		want               bool
	}{
		{"", "example.com", "example.com", true},
		{"H3", "example.com", "example.com.", true},
		{"H3", "example.com.", "example.com", true},
		{"D14", "example.com", "EXAMPLE.com", true},
		{"", "example.com", "www.example.com", false},
		{"", "example.com", "example.com.evil.com", false},
		{"", "example.com", "notexample.com", false},
		{"", "*.example.com", "a.example.com", true},
		{"", "*.example.com", "c.b.a.example.com", true},
		{"H13", "*.example.com", "example.com", false},
		{"", "*.example.com", "notexample.com", false},
		{"", "*.example.com", "a.example.com.evil.com", false},
		{"", "*.example.com", "a-example.com", false},
		{"D13", "*.example.com", strings.Repeat("a", 50) + "." + strings.Repeat("b", 49) + ".example.com", true},
		{"D13", "*.example.com", strings.Repeat("a", 50) + "." + strings.Repeat("b", 50) + ".example.com", false},
		{"D13", "example.com", "secret.example.com", false},
		{"", "*.amazonaws.com", "sts.amazonaws.com", true},
		{"", "*.amazonaws.com", "evil.s3.amazonaws.com", false}, // anyone's bucket
		{"", "*.amazonaws.com", "s3.amazonaws.com", false},
		{"", "s3.amazonaws.com", "s3.amazonaws.com", true},
		{"", "*.octocat.github.io", "a.octocat.github.io", true},
		{"", "*.corp.internal", "db.eu.corp.internal", true},
		{"", "93.184.216.34", "93.184.216.34", true},
		{"", "93.184.216.34", "93.184.216.35", false},
		{"", "2606:4700::1", "[2606:4700:0:0::1]", true},
		{"D3", "93.184.216.34", "::ffff:93.184.216.34", false},
		{"", "*.example.com", "93.184.216.34", false},
		{"H5", "bücher.example", "xn--bcher-kva.example", true},
	} {
		if got := pattern(t, c.pattern).Match(host(t, c.host)); got != c.want {
			t.Errorf("%s %s matches %s: %v, want %v", c.row, c.pattern, c.host, got, c.want)
		}
	}
	if (netpolicy.Pattern{}).Match(netpolicy.Host{}) || (netpolicy.Pattern{}).Match(host(t, "example.com")) {
		t.Error("the zero pattern matches")
	}
	if pattern(t, "*.example.com").Match(netpolicy.Host{}) {
		t.Error("a wildcard matches the zero host")
	}
}
