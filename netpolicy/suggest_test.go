package netpolicy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

func TestSuggest(t *testing.T) {
	name := func(s string, port uint16, tools ...mcprun.ToolName) netpolicy.Dest {
		return netpolicy.Dest{Host: host(t, s), Port: port, InFlight: tools, Own: notOwn}
	}
	at := func(s, addr string) netpolicy.Dest {
		d := name(s, 443)
		d.Addr = netip.MustParseAddr(addr)
		return d
	}
	for _, c := range []struct {
		dest         netpolicy.Dest
		reason       netpolicy.Reason
		protocol     netpolicy.Protocol
		method, path string
		want         string // after "egress:\n  - ", or "" for nothing
	}{
		{name("api.github.com", 443), "host", netpolicy.TLS, "", "", `{host: api.github.com, port: 443}`},
		{name("api.github.com", 0), "name", 0, "", "", `{host: api.github.com, port: 443}`},
		{name("api.github.com", 8443), "port", netpolicy.TLS, "", "", `{host: api.github.com, port: 8443}`},
		{name("db.internal", 5432), "private", netpolicy.TCP, "", "", `{host: db.internal, port: 5432, protocol: tcp, private: true}`},
		{name("db.internal", 443), "own", netpolicy.TLS, "", "", `{host: db.internal, port: 443, private: true}`},
		{at("db.internal", "10.1.2.3"), "host", netpolicy.TLS, "", "", `{host: db.internal, port: 443, private: true}`},
		{at("db.internal", "240.1.2.3"), "address", netpolicy.TLS, "", "", `{host: db.internal, port: 443, networks: ["240.1.2.3/32"]}`},
		{name("deb.debian.org", 80), "host", netpolicy.HTTP, "", "", `{host: deb.debian.org, port: 80, protocol: http, methods: [GET], paths: ["/**"]}`},
		{name("deb.debian.org", 80), "path", netpolicy.HTTP, "PUT", "/x", `{host: deb.debian.org, port: 80, protocol: http, methods: [PUT], paths: ["/x"]}`},
		{name("api.github.com", 443), "path", netpolicy.TLS, "GET", "/x", `{host: api.github.com, port: 443, inspect: true, methods: [GET], paths: ["/x"]}`},
		{name("api.github.com", 443), "websocket", netpolicy.TLS, "GET", "/x", `{host: api.github.com, port: 443, inspect: true, methods: [GET], paths: ["/x"], websocket: true}`},
		{name("api.github.com", 443), "path", netpolicy.TLS, "GET", "/a*/b/*", `{host: api.github.com, port: 443, inspect: true, methods: [GET], paths: ["/*/b/*"]}`},
		{name("api.github.com", 443), "path", netpolicy.TLS, "GET", strings.Repeat("/*", 17), `{host: api.github.com, port: 443, inspect: true, methods: [GET], paths: ["/**"]}`},
		{name("api.github.com", 443, "b", "a", "b"), "tool", netpolicy.TLS, "", "", `{host: api.github.com, port: 443, tools: ["a", "b"]}`},
		{name("93.184.216.34", 443), "literal", netpolicy.TLS, "", "", `{host: "93.184.216.34", port: 443}`},
		{name("10.1.2.3", 443), "literal", netpolicy.TLS, "", "", `{host: "10.1.2.3", port: 443, private: true}`},
		{name("2606:4700::1", 443), "literal", netpolicy.TLS, "", "", `{host: "2606:4700::1", port: 443}`},
		{name("198.18.7.7", 443), "literal", netpolicy.TLS, "", "", `{host: "198.18.7.7", port: 443, networks: ["198.18.7.7/32"]}`},
		{name("null", 443), "host", netpolicy.TLS, "", "", `{host: "null", port: 443}`},

		// What nothing opens.
		{name("169.254.169.254", 80), "metadata", netpolicy.HTTP, "GET", "/", ""},
		{name("127.0.0.1", 443), "loopback", netpolicy.TLS, "", "", ""},
		{at("api.github.com", "127.0.0.1"), "loopback", netpolicy.TLS, "", "", ""},
		{at("api.github.com", "::ffff:8.8.8.8"), "address", netpolicy.TLS, "", "", ""},
		{at("api.github.com", "169.254.169.254"), "host", netpolicy.TLS, "", "", ""},
		{name("::ffff:8.8.8.8", 443), "literal", netpolicy.TLS, "", "", ""},
		{name("localhost", 443), "host", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "address", netpolicy.TLS, "", "", ""}, // which address, nobody said
		{name("api.github.com", 443), "sni", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "ech", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "authority", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "limit", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "killed", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "", netpolicy.TLS, "", "", ""},
		{name("api.github.com", 443), "method", netpolicy.TLS, "TRACE", "/x", ""},
		{name("api.github.com", 443), "path", netpolicy.TLS, "GET", "/a/../b", ""},
		{name("api.github.com", 0), "host", netpolicy.TCP, "", "", ""},
		{netpolicy.Dest{Port: 443}, "name", netpolicy.TLS, "", "", ""},
	} {
		got := netpolicy.Suggest(c.dest, c.reason, c.protocol, c.method, c.path)
		want := c.want
		if want != "" {
			want = "egress:\n  - " + want
		}
		if got != want {
			t.Errorf("%s:%d %q: got\n%s\nwant\n%s", c.dest.Host, c.dest.Port, c.reason, got, want)
			continue
		}
		if got != "" {
			suggestionAllows(t, nil, got, c.dest, c.method, c.path, c.reason == netpolicy.ReasonWebSocket)
		}
	}
}

// Beside rules that are there, the suggestion agrees with them or replaces them.
func TestPolicySuggest(t *testing.T) {
	read := with(inspected(t, "api.corp.internal", []string{"GET"}, "/a"), func(r *netpolicy.Rule) { r.Grant.Private = true })
	write := with(read, func(r *netpolicy.Rule) { r.Methods, r.Tools = []string{"POST"}, []mcprun.ToolName{"write"} })
	public := inspected(t, "www.corp.internal", []string{"GET"}, "/a")
	public2 := inspected(t, "www.corp.internal", []string{"HEAD"}, "/b")
	rules := []netpolicy.Rule{read, write, public, public2}
	p := policy(t, rules...)
	for _, c := range []struct {
		host         string
		addr         string
		tools        []mcprun.ToolName
		reason       netpolicy.Reason
		spoken       netpolicy.Protocol
		method, path string
		want         string
	}{
		{"api.corp.internal", "10.0.0.1", nil, "path", netpolicy.TLS, "GET", "/b",
			`  - {host: api.corp.internal, port: 443, inspect: true, methods: [GET], paths: ["/b"], private: true}`},
		{"api.corp.internal", "", []mcprun.ToolName{"write"}, "method", netpolicy.TLS, "PUT", "/a",
			`  - {host: api.corp.internal, port: 443, inspect: true, methods: [PUT], paths: ["/a"], private: true}`},
		{"www.corp.internal", "10.0.0.1", nil, "private", netpolicy.TLS, "", "",
			`  - {host: www.corp.internal, port: 443, inspect: true, methods: [GET], paths: ["/a"], private: true}  # in place of egress[2]` + "\n" +
				`  - {host: www.corp.internal, port: 443, inspect: true, methods: [HEAD], paths: ["/b"], private: true}  # in place of egress[3]`},
		{"www.corp.internal", "240.0.0.1", nil, "address", netpolicy.TLS, "", "",
			`  - {host: www.corp.internal, port: 443, inspect: true, methods: [GET], paths: ["/a"], networks: ["240.0.0.1/32"]}  # in place of egress[2]` + "\n" +
				`  - {host: www.corp.internal, port: 443, inspect: true, methods: [HEAD], paths: ["/b"], networks: ["240.0.0.1/32"]}  # in place of egress[3]`},
		{"new.corp.internal", "", nil, "host", netpolicy.TLS, "", "", `  - {host: new.corp.internal, port: 443}`},
	} {
		d := netpolicy.Dest{Host: host(t, c.host), Port: 443, InFlight: c.tools, Own: notOwn}
		if c.addr != "" {
			d.Addr = netip.MustParseAddr(c.addr)
		}
		got := p.Suggest(d, c.reason, c.spoken, c.method, c.path)
		if got != "egress:\n"+c.want {
			t.Errorf("%s %q: got\n%s\nwant\n%s", c.host, c.reason, got, c.want)
			continue
		}
		suggestionAllows(t, rules, got, d, c.method, c.path, false)
	}

	bound := policy(t, with(inspected(t, "a.example.com", []string{"GET"}, "/a"), func(r *netpolicy.Rule) { r.Tools = []mcprun.ToolName{"x"} }))
	d := netpolicy.Dest{Host: host(t, "a.example.com"), Port: 443, InFlight: []mcprun.ToolName{"get_it"}}
	want := "egress:\n" + `  - {host: a.example.com, port: 443, inspect: true, methods: [GET], paths: ["/a"], tools: [get_it]}`
	if got := bound.Suggest(d, "tool", netpolicy.TLS, "", ""); got != want {
		t.Errorf("tool: got\n%s\nwant\n%s", got, want)
	}
	plain := policy(t, tlsRule(t, "a.example.com", 443))
	want = "egress:\n" + `  - {host: a.example.com, port: 443, protocol: tcp}  # in place of egress[0]`
	if got := plain.Suggest(d, "protocol", netpolicy.TCP, "", ""); got != want {
		t.Errorf("protocol: got\n%s\nwant\n%s", got, want)
	}
}

// line is a rule as YAML readers see it.
type line struct {
	Host, Protocol              string
	Port                        uint16
	Inspect, Websocket, Private bool
	Methods, Paths, Networks    []string
	Tools                       []mcprun.ToolName
}

// suggestionAllows reads what Suggest wrote with a YAML reader, adds it to the
// rules that are there, and asks the question again that was denied.
func suggestionAllows(t *testing.T, there []netpolicy.Rule, text string, d netpolicy.Dest, method, path string, upgrade bool) {
	t.Helper()
	var file struct{ Egress []line }
	if err := yaml.UnmarshalWithOptions([]byte(text), &file, yaml.Strict()); err != nil {
		t.Errorf("%s\n%v", text, err)
		return
	}
	if strings.Contains(text, "in place of") {
		there = nil // all rules about the host are in the text
	}
	rules := append([]netpolicy.Rule{}, there...)
	for _, l := range file.Egress {
		rules = append(rules, l.rule(t))
	}
	p := policy(t, rules...)
	if d.Port == 0 {
		d.Port = 443
	}
	if got := p.Connect(d); !got.Allowed() {
		t.Errorf("%s\nConnect: %+v", text, got)
	}
	if method == "" {
		return
	}
	if got := p.Request(d, method, path, upgrade); !got.Allowed() {
		t.Errorf("%s\nRequest: %+v", text, got)
	}
}

func (l line) rule(t *testing.T) netpolicy.Rule {
	t.Helper()
	r := netpolicy.Rule{Host: pattern(t, l.Host), Port: l.Port, Protocol: netpolicy.TLS, Inspect: l.Inspect, Methods: l.Methods,
		Paths: paths(t, l.Paths...), WebSocket: l.Websocket, Tools: l.Tools}
	if l.Protocol != "" {
		var err error
		if r.Protocol, err = netpolicy.ParseProtocol(l.Protocol); err != nil {
			t.Error(err)
		}
	}
	r.Grant.Private = l.Private
	for _, n := range l.Networks {
		p, err := netpolicy.ParseNetwork(n)
		if err != nil {
			t.Error(err)
		}
		r.Grant.Networks = append(r.Grant.Networks, p)
	}
	return r
}
