package gate

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/risk"
	"github.com/mcprun/mcprun/manifest"
)

// What policy.yaml demands raises a tool, says so as a part of the sum, and never
// lowers one. Without ceilings nothing passes.
func TestCeilingsRaise(t *testing.T) {
	m, err := manifest.Parse("server.yaml", []byte("version: 1\nname: test\nimage: ./a.tar\ntools: {delete_note: {risk: low}, read_note: {risk: low}, send: {risk: high}, shut: {risk: block}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	def := func(name string) jsontext.Value {
		return jsontext.Value(`{"name":"` + name + `","inputSchema":{"type":"object"}}`)
	}
	pins := pinned(t, def("delete_note"), def("read_note"), def("send"), def("shut"))
	for _, row := range []struct {
		ceilings, tool, want, says string
		raised                     bool
	}{
		{"", "delete_note", "allow low risk.low", "low risk", false},
		{`risk: {tools: [{name: "*delete*", risk: high}]}`, "delete_note", "hold high risk.high", "raised: policy.yaml demands high of tools named *delete*", true},
		{`risk: {tools: [{name: "*delete*", risk: high}]}`, "read_note", "allow low risk.low", "low risk", false},
		{`risk: {tools: [{name: "*delete*", server: other, risk: high}]}`, "delete_note", "allow low risk.low", "low risk", false},
		{`risk: {default: medium}`, "read_note", "allow medium risk.medium", "raised: policy.yaml demands medium of every tool", true},
		{`risk: {default: medium}`, "send", "hold high risk.high", "send is high risk: a human must approve it", false},
		{`risk: {tools: [{name: "*delete*", risk: block}]}`, "delete_note", "deny block risk.block", "delete_note: policy.yaml demands block of tools named *delete*", false},
		// A tool whose own words make it high is only known to be when the server runs.
		{`minimum-isolation: {high: gvisor}`, "read_note", "allow low risk.low", "low risk", false},
		{`minimum-isolation: {high: gvisor}`, "send", "deny block risk.block", "demands isolation: gvisor of servers with a tool of high risk, and this one has runc", false},
		{"minimum-isolation: {high: gvisor}\nrisk: {tools: [{name: \"*delete*\", risk: high}]}", "delete_note", "deny block risk.block", "(policy.yaml demands high of tools named *delete*)", false},
		{`risk: {default: block}`, "shut", "deny block risk.block", "server.yaml blocks shut", false},
	} {
		c, err := manifest.ParseCeilings("policy.yaml", []byte("version: 1\n"+row.ceilings+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		p, problems := PolicyOf(m, pins, c)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d := p.Decide(Call{Server: "test", Tool: mcprun.ToolName(row.tool)})
		if got := d.Verdict.String() + " " + d.Risk.String() + " " + d.Rule; got != row.want || !strings.Contains(d.Reason, row.says) {
			t.Errorf("%s under %q: %s: %s\nwant %s: %s", row.tool, row.ceilings, got, d.Reason, row.want, row.says)
		}
		raised := false
		for _, part := range d.Contributions {
			raised = raised || part.Name == risk.Raised && strings.Contains(part.Why, "policy.yaml demands")
		}
		if raised != row.raised {
			t.Errorf("%s under %q: raised %v in %v", row.tool, row.ceilings, raised, d.Contributions)
		}
	}
	for _, none := range []*manifest.Ceilings{nil, {}} {
		p, _ := PolicyOf(m, pins, none)
		if d := p.Decide(Call{Server: "test", Tool: "read_note"}); d.Verdict != mcprun.Deny || len(p.Listed()) > 0 {
			t.Errorf("without ceilings: %+v", d)
		}
	}
	a, _ := PolicyOf(m, pins, manifest.DefaultCeilings())
	other := manifest.DefaultCeilings()
	other.Grants.Roots = false
	b, _ := PolicyOf(m, pins, other)
	if a.Digest() == b.Digest() || a.Digest() == "" {
		t.Error("the digest of a policy does not name its ceilings")
	}
}
