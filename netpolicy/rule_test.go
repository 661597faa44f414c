package netpolicy_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

func tlsRule(t testing.TB, host string, port uint16) netpolicy.Rule {
	t.Helper()
	return netpolicy.Rule{Host: pattern(t, host), Port: port, Protocol: netpolicy.TLS}
}

func inspected(t testing.TB, host string, methods []string, list ...string) netpolicy.Rule {
	t.Helper()
	r := tlsRule(t, host, 443)
	r.Inspect, r.Methods, r.Paths = true, methods, paths(t, list...)
	return r
}

// with returns r after a change.
func with(r netpolicy.Rule, change func(*netpolicy.Rule)) netpolicy.Rule {
	change(&r)
	return r
}

func TestRuleFaults(t *testing.T) {
	good := tlsRule(t, "api.example.com", 443)
	seen := inspected(t, "api.example.com", []string{"GET"}, "/repos/**")
	for _, c := range []struct {
		row  string
		rule netpolicy.Rule
		want []string // key and a part of the message, in order
	}{
		{"", good, nil},
		{"", seen, nil},
		{"", with(seen, func(r *netpolicy.Rule) { r.Protocol, r.Inspect, r.Port = netpolicy.HTTP, false, 80 }), nil},
		{"", with(good, func(r *netpolicy.Rule) { r.Protocol = netpolicy.TCP }), nil},
		{"", with(good, func(r *netpolicy.Rule) { r.Tools = []mcprun.ToolName{"get_issue"} }), nil},
		{"", with(seen, func(r *netpolicy.Rule) { r.WebSocket = true }), nil},
		{"T25", with(good, func(r *netpolicy.Rule) { r.Host = netpolicy.Pattern{} }), []string{"host: missing"}},
		{"T25", with(good, func(r *netpolicy.Rule) { r.Port = 0 }), []string{"port: missing"}},
		{"T5", with(good, func(r *netpolicy.Rule) { r.Port, r.Protocol = 53, netpolicy.TCP }), []string{"port: 53 is where the container's own name stub answers"}},
		{"T25", netpolicy.Rule{}, []string{"host: missing", "port: missing", "protocol: missing"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Protocol = 9 }), []string{"protocol: missing or unknown"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Methods = []string{"GET"} }), []string{"methods: requests of this rule are not read"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Paths = paths(t, "/") }), []string{"paths: requests of this rule are not read"}},
		{"L10", with(good, func(r *netpolicy.Rule) { r.WebSocket = true }), []string{"websocket: requests of this rule are not read"}},
		{"L10", with(seen, func(r *netpolicy.Rule) { r.WebSocket, r.Methods = true, []string{"POST"} }), []string{"websocket: needs the method GET"}},
		{"", with(seen, func(r *netpolicy.Rule) { r.Methods, r.Paths = nil, nil }), []string{"methods: missing", "paths: missing"}},
		{"", with(seen, func(r *netpolicy.Rule) { r.Methods = []string{"CONNECT", "get"} }), []string{"methods: method \"CONNECT\"", "write GET"}},
		{"", with(seen, func(r *netpolicy.Rule) { r.Paths = make([]netpolicy.PathPattern, 1) }), []string{"paths: a path is empty"}},
		{"", with(seen, func(r *netpolicy.Rule) { r.Protocol = netpolicy.HTTP }), []string{"inspect: is for tls"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Protocol, r.Inspect = netpolicy.TCP, true }), []string{"inspect: is for tls"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Host = pattern(t, "10.0.0.5") }), []string{"10.0.0.5 is private, which the rule does not open; add private: true"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Host, r.Grant.Private = pattern(t, "10.0.0.5"), true }), nil},
		{"", with(good, func(r *netpolicy.Rule) { r.Host = pattern(t, "198.18.0.1") }), []string{`198.18.0.1 is benchmark, which the rule does not open; add networks: ["198.18.0.1/32"]`}},
		{"", with(good, func(r *netpolicy.Rule) { r.Grant.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }), []string{"networks: network 127.0.0.0/8 overlaps"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Grant.Networks = make([]netip.Prefix, 1) }), []string{"networks: a network is empty"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Tools = []mcprun.ToolName{"a b"} }), []string{"tools: tool name"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Tools = slices.Repeat([]mcprun.ToolName{"a"}, 65) }), []string{"tools: 65 entries; at most 64"}},
		{"", with(good, func(r *netpolicy.Rule) { r.Limits = netpolicy.Limits{Connections: -1, PerMinute: -1, Bytes: -1} }), []string{"limits.connections: below zero", "limits.rate: below zero", "limits.bytes: below zero"}},
		{"D13", with(good, func(r *netpolicy.Rule) { r.Limits.Connections = 257 }), []string{"limits.connections: 257; at most 256"}},
	} {
		faults := c.rule.Faults()
		if len(faults) != len(c.want) {
			t.Errorf("%s %s: faults %v, want %q", c.row, c.rule, faults, c.want)
			continue
		}
		for i, f := range faults {
			if !strings.Contains(f.Error(), c.want[i]) {
				t.Errorf("%s %s: fault %q, want %q", c.row, c.rule, f, c.want[i])
			}
		}
		if err := c.rule.Validate(); (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s %s: Validate: %v", c.row, c.rule, err)
		}
	}
}

func TestNewPolicy(t *testing.T) {
	seen := inspected(t, "api.example.com", []string{"GET"}, "/a")
	plain := tlsRule(t, "*.example.com", 443)
	private := func(r *netpolicy.Rule) { r.Grant.Private = true }
	for _, c := range []struct {
		name  string
		rules []netpolicy.Rule
		want  string // a part of the error
	}{
		{"none", nil, ""},
		{"two paths", []netpolicy.Rule{seen, inspected(t, "api.example.com", []string{"POST"}, "/b")}, ""},
		{"other port", []netpolicy.Rule{seen, with(plain, func(r *netpolicy.Rule) { r.Port = 8443 })}, ""},
		{"other host", []netpolicy.Rule{seen, tlsRule(t, "www.example.com", 443)}, ""},
		{"wildcard below another's suffix", []netpolicy.Rule{tlsRule(t, "*.amazonaws.com", 443), with(tlsRule(t, "b.s3.amazonaws.com", 443), private)}, ""},
		{"faulty", []netpolicy.Rule{plain, {}}, "egress[1].host: missing"},
		{"inspected or not", []netpolicy.Rule{seen, plain}, "egress[1].inspect: egress[0] is about the same host and port"},
		{"wildcards", []netpolicy.Rule{inspected(t, "*.a.example.com", []string{"GET"}, "/"), plain}, "egress[1].inspect"},
		{"protocol", []netpolicy.Rule{plain, with(tlsRule(t, "y.example.com", 443), func(r *netpolicy.Rule) { r.Protocol = netpolicy.TCP })}, "egress[1].protocol"},
		{"private", []netpolicy.Rule{plain, with(tlsRule(t, "y.example.com", 443), private)}, "egress[1].private"},
		{"networks", []netpolicy.Rule{plain, with(tlsRule(t, "y.example.com", 443), func(r *netpolicy.Rule) {
			r.Grant.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})}, "egress[1].networks"},
		{"too many", slices.Repeat([]netpolicy.Rule{plain}, 257), "at most 256"},
	} {
		p, err := netpolicy.NewPolicy(c.rules)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && p.String() != "[]" {
			t.Errorf("%s: a policy beside an error", c.name)
		}
	}
	_, err := netpolicy.NewPolicy([]netpolicy.Rule{{}})
	var f netpolicy.Fault
	if !errors.As(err, &f) || f.Key != "egress[0].host" || f.Fix == "" {
		t.Errorf("fault %+v", f)
	}
}

func policy(t testing.TB, rules ...netpolicy.Rule) netpolicy.Policy {
	t.Helper()
	p, err := netpolicy.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A policy does not change with the lists it was made of, or that it gave away.
func TestPolicyIsImmutable(t *testing.T) {
	rules := []netpolicy.Rule{inspected(t, "api.example.com", []string{"GET"}, "/a")}
	p := policy(t, rules...)
	rules[0].Methods[0], rules[0].Port = "POST", 1
	p.Rules()[0].Methods[0] = "PUT"
	d := netpolicy.Dest{Host: host(t, "api.example.com"), Port: 443}
	if !p.Request(d, "GET", "/a", false).Allowed() || p.Request(d, "POST", "/a", false).Allowed() {
		t.Errorf("the policy changed: %s", p)
	}
}

func TestPolicySummaries(t *testing.T) {
	r := inspected(t, "*.example.com", []string{"GET", "POST"}, "/repos/**")
	r.WebSocket, r.Tools = true, []mcprun.ToolName{"get_issue", "no"}
	r.Limits = netpolicy.Limits{Connections: 8, PerMinute: 60, Bytes: 100 << 20}
	db := netpolicy.Rule{Host: pattern(t, "db.internal"), Port: 5432, Protocol: netpolicy.TCP, Grant: netpolicy.Grant{
		Private: true, Networks: []netip.Prefix{netip.MustParsePrefix("fd12::/32")}}}
	p := policy(t, r, db, tlsRule(t, "example.org", 443))
	want := `[{host: "*.example.com", port: 443, inspect: true, methods: [GET, POST], paths: ["/repos/**"], websocket: true, ` +
		`tools: [get_issue, "no"], limits: {connections: 8, rate: 60/min, bytes: 100MiB}}, ` +
		`{host: db.internal, port: 5432, protocol: tcp, private: true, networks: ["fd12::/32"]}, {host: example.org, port: 443}]`
	if got := p.String(); got != want {
		t.Errorf("String:\n%s, want\n%s", got, want)
	}
	if !slices.Equal(p.Ports(), []uint16{443, 5432}) || !p.Inspects() {
		t.Errorf("ports %v, inspects %v", p.Ports(), p.Inspects())
	}
	if policy(t, db).Inspects() || (netpolicy.Policy{}).Ports() != nil {
		t.Error("a policy inspects without a rule that does, or has ports without rules")
	}
}

func TestProtocols(t *testing.T) {
	for _, s := range []string{"tls", "http", "tcp"} {
		if p, err := netpolicy.ParseProtocol(s); err != nil || p.String() != s {
			t.Errorf("ParseProtocol(%q) = %s, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "none", "TLS", "udp", "https"} {
		if p, err := netpolicy.ParseProtocol(s); p != 0 || err == nil || !strings.Contains(err.Error(), "tls, http, tcp") {
			t.Errorf("ParseProtocol(%q) = %s, %v", s, p, err)
		}
	}
}

func TestReasons(t *testing.T) {
	unknown := netpolicy.Reason("x").Sentence()
	seen := map[string]bool{}
	for _, r := range netpolicy.Reasons() {
		s := r.Sentence()
		if s == unknown || seen[s] || strings.HasSuffix(s, ".") {
			t.Errorf("%s: %q", r, s)
		}
		seen[s] = true
	}
	for _, r := range []netpolicy.Reason{"host", "port", "tool", "address", "metadata", "loopback", "protocol", "sni", "ech",
		"method", "path", "websocket", "limit", "name", "literal", "authority", "killed"} {
		if r.Sentence() == unknown {
			t.Errorf("%s has no sentence", r)
		}
	}
}

// T8: a resolver that an allowed host is takes names wherever their owners are.
func TestResolves(t *testing.T) {
	for _, c := range []struct {
		rule netpolicy.Rule
		want bool
	}{
		{tlsRule(t, "dns.google", 443), true},
		{tlsRule(t, "*.cloudflare-dns.com", 443), true},
		{inspected(t, "dns.google", []string{"GET"}, "/**"), true},
		{inspected(t, "dns.google", []string{"GET"}, "/resolve"), false},
		{tlsRule(t, "api.example.com", 443), false},
	} {
		if got := c.rule.Resolves(); got != c.want {
			t.Errorf("%s: %v, want %v", c.rule, got, c.want)
		}
	}
}
