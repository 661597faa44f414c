package gate

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/paths"
	"github.com/mcprun/mcprun/gate/risk"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/manifest"
)

func everything(string) bool { return true }

// names lists the contributions of a decision.
func names(d mcprun.Decision) string {
	var out []string
	for _, c := range d.Contributions {
		out = append(out, c.Name)
	}
	return strings.Join(out, " ")
}

// Each hint is told by its name; none alone holds a call of a medium tool but a
// secret, two or three do, and all of them together refuse nothing. A tool that
// only reads, and cannot send, is left alone.
func TestHints(t *testing.T) {
	token := "ghp_" + strings.Repeat("aB3dE6gH9", 4)
	sender := checked(t, Grant{Risk: mcprun.Medium, Sends: manifest.Yes})
	reader := checked(t, Grant{Risk: mcprun.Low, Sends: manifest.No})
	for _, row := range []struct {
		name  string
		call  Call
		names string // besides the class
		want  mcprun.Verdict
	}{
		{"nothing", Call{Known: everything}, "", mcprun.Allow},
		{"a secret", Call{Known: everything, Arguments: jsontext.Value(`{"path":"` + token + `"}`)}, risk.Secret, mcprun.Hold},
		{"a text that nobody can read", Call{Known: everything, Arguments: jsontext.Value(`{"path":"` + strings.Repeat("%41", 80) + `"}`)}, risk.Encoded, mcprun.Allow},
		{"a host that is new", Call{Arguments: jsontext.Value(`{"path":"see https://evil.example/x"}`)}, risk.NewHost, mcprun.Allow},
		{"a host that is known", Call{Known: everything, Arguments: jsontext.Value(`{"path":"see https://evil.example/x"}`)}, "", mcprun.Allow},
		{"a mail address that is new", Call{Arguments: jsontext.Value(`{"path":"me@evil.example"}`)}, risk.NewHost, mcprun.Allow},
		{"a definition that is new", Call{Known: everything, NewTool: true}, risk.NewTool, mcprun.Allow},
		{"many calls", Call{Known: everything, Burst: burst + 1}, risk.Burst, mcprun.Allow},
		{"a loop", Call{Known: everything, Burst: flood + 1}, risk.Burst, mcprun.Hold},
		{"strangers' text", Call{Known: everything, Taint: Taint{Untrusted: true}}, risk.Untrusted, mcprun.Allow},
		{"a text that addresses a model", Call{Known: everything, Taint: Taint{Untrusted: true, Instructions: true}}, risk.Untrusted + " " + risk.Instructions, mcprun.Hold},
		{"private data", Call{Known: everything, Taint: Taint{Private: true}}, risk.Private, mcprun.Allow},
		{"all three", Call{Known: everything, Taint: Taint{Private: true, Untrusted: true}}, risk.Untrusted + " " + risk.Private + " " + risk.Trifecta, mcprun.Hold},
		{"everything", Call{Arguments: jsontext.Value(`{"path":"` + token + strings.Repeat("%41", 80) + ` https://evil.example"}`), NewTool: true, Burst: 1000, Taint: Taint{true, true, true}},
			strings.Join([]string{risk.Untrusted, risk.Instructions, risk.Private, risk.Trifecta, risk.Secret, risk.Encoded, risk.NewHost, risk.NewTool, risk.Burst}, " "), mcprun.Hold},
	} {
		row.call.Server, row.call.Tool, row.call.Now = "test", "edit", time.Unix(1e9, 0)
		d := sender.Decide(row.call)
		if got := names(d); got != strings.TrimSpace(risk.Class+" "+row.names) || d.Verdict != row.want {
			t.Errorf("%s: %s by %q, want %s by %q", row.name, d.Verdict, got, row.want, row.names)
		}
		if score, class := risk.Sum(d.Contributions); score != d.Score || class != d.Risk {
			t.Errorf("%s: the decision says %d %s, its parts %d %s", row.name, d.Score, d.Risk, score, class)
		}
		if d := reader.Decide(row.call); d.Verdict != mcprun.Allow || names(d) != risk.Class {
			t.Errorf("%s, to a tool that only reads: %s by %s", row.name, d.Verdict, names(d))
		}
	}
}

// Private data and a stranger's words wait even before a tool of a low class, if
// what it is given can leave.
func TestTaintedLowTool(t *testing.T) {
	p := checked(t, Grant{Risk: mcprun.Low, Sends: manifest.Yes})
	d := p.Decide(Call{Server: "test", Tool: "edit", Known: everything, Taint: Taint{Untrusted: true, Private: true}})
	if d.Verdict != mcprun.Hold || d.Rule != risk.Trifecta {
		t.Errorf("%+v", d)
	}
}

// A refusal has a sum, too.
func TestRefusalHasASum(t *testing.T) {
	p := checked(t, Grant{Risk: mcprun.Low})
	for _, c := range []Call{{Server: "test", Tool: "unknown"}, {Server: "test", Tool: "edit", Arguments: jsontext.Value(`{"x":1}`)}, {Server: "other", Tool: "edit"}} {
		d := p.Decide(c)
		if score, class := risk.Sum(d.Contributions); d.Verdict != mcprun.Deny || score != 100 || class != mcprun.Block || d.Contributions[0].Name != d.Rule {
			t.Errorf("%s/%s: %+v", c.Server, c.Tool, d)
		}
	}
}

// What a tool brings and takes away comes from where it stands, its name, its hints
// and its class; what server.yaml says of it counts for more.
func TestTraits(t *testing.T) {
	const wayOut, mount, credential = "egress: [{host: api.example.com}]\n", "files: [{from: ./src, to: /src}]\n", "egress: [{host: api.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}]\ncredentials: {c: {source: 'env:X', host: api.example.com, place: {header: Authorization, format: 'Bearer {}'}, expose: {env: X}}}\n"
	for _, row := range []struct {
		around, tool, extra string
		said                string // in server.yaml
		untrusted, private  bool
		sends, changes      bool
	}{
		{"", "get_issue", "", "risk: low", false, false, false, false},
		{wayOut, "get_issue", "", "risk: low", true, false, false, false},
		{credential, "get_issue", "", "risk: low", true, true, false, false},
		{credential, "add_comment", "", "risk: medium", true, false, true, true},
		{wayOut, "send_mail", "", "risk: high", true, false, true, true},
		{wayOut, "get_time", "", "risk: low", false, false, false, false},
		{wayOut, "get_time", `,"annotations":{"openWorldHint":true}`, "risk: low", true, false, true, false},
		{"", "get_time", `,"annotations":{"openWorldHint":true}`, "risk: low", false, false, false, false},
		{wayOut, "lookup", `,"inputSchema":{"type":"object","properties":{"url":{"type":"string"}}}`, "risk: low", false, false, true, false},
		{wayOut, "lookup", `,"inputSchema":{"type":"object","properties":{"url":{"type":"string"}}}`, "risk: low, arguments: {url: {url: {hosts: [api.example.com]}}}", false, false, false, false},
		{wayOut, "lookup", `,"inputSchema":{"type":"object","properties":{"url":{"type":"string"}}}`, "risk: low, arguments: {url: {url: {hosts: [api.example.com], unlisted: hold}}}", false, false, true, false},
		{mount, "read_file", "", "risk: low", false, true, false, false},
		{mount, "write_file", "", "risk: medium", false, false, false, true},
		{mount + wayOut, "read_file", "", "risk: low, private: false", false, false, false, false},
		{"", "get_time", "", "risk: low, untrusted: true, private: true, sends: true", true, true, true, false},
		{credential, "get_issue", "", "risk: low, untrusted: false, private: false, sends: false", false, false, false, false},
	} {
		m, err := manifest.Parse("server.yaml", []byte("version: 1\nname: test\nimage: ./a.tar\n"+row.around+"tools:\n  "+row.tool+": {"+row.said+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		extra := row.extra
		if !strings.Contains(extra, "inputSchema") {
			extra += `,"inputSchema":{"type":"object"}`
		}
		p, problems := PolicyOf(m, pinned(t, jsontext.Value(`{"name":"`+row.tool+`"`+extra+`}`)), manifest.DefaultCeilings())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		got := p.Traits(mcprun.ToolName(row.tool))
		if (got.Untrusted != "") != row.untrusted || (got.Private != "") != row.private || (got.Sends != "") != row.sends || (got.Changes != "") != row.changes {
			t.Errorf("%s with %q %s {%s}: %+v", row.tool, row.around, row.extra, row.said, got)
		}
	}
}

// Whatever a client has read or done, more of it never allows more, and the past as
// the record keeps it makes the same decision.
func FuzzHistory(f *testing.F) {
	f.Add(`{"path":"https://a.example/"}`, uint8(3), int64(100), "b.example")
	p := checked(f, Grant{Risk: mcprun.Medium, Sends: manifest.Yes})
	f.Fuzz(func(t *testing.T, args string, flags uint8, calls int64, known string) {
		c := Call{Server: "test", Tool: "edit", Arguments: jsontext.Value(args), Now: time.Unix(1e9, 0), Burst: calls, NewTool: flags&8 != 0,
			Taint: Taint{Untrusted: flags&1 != 0, Instructions: flags&2 != 0, Private: flags&4 != 0}, Known: func(h string) bool { return h == known }}
		d := p.Decide(c)
		calm := p.Decide(Call{Server: c.Server, Tool: c.Tool, Arguments: c.Arguments, Now: c.Now, Known: everything})
		if rank(d.Verdict) > rank(calm.Verdict) || d.Score < calm.Score {
			t.Fatalf("with a past it is %s (%d), without %s (%d)", d.Verdict, d.Score, calm.Verdict, calm.Score)
		}
		text := p.History(c, d.NewHosts, 512)
		again := Call{Server: c.Server, Tool: c.Tool, Arguments: c.Arguments}
		if err := again.Recall(text); err == ErrCut {
			return
		} else if err != nil || len(text) > 512 {
			t.Fatalf("%s: %v", text, err)
		}
		if e := p.Decide(again); e.Score != d.Score || e.Reason != d.Reason || names(e) != names(d) {
			t.Fatalf("from %s it is %s, was %s", text, e.Reason, d.Reason)
		}
	})
}

// rank orders verdicts by what they let through.
func rank(v mcprun.Verdict) int {
	return map[mcprun.Verdict]int{mcprun.Deny: 0, mcprun.Hold: 1, mcprun.Allow: 2}[v]
}

// The order of members, white space and the spelling of strings never change a
// verdict: what is judged is what they mean.
func FuzzSpelling(f *testing.F) {
	for _, args := range []string{`{"path":"/workspace/a","n":11,"force":true}`, `{"edits":[{"text":"AKIAIOSFODNN7EXAMPLE","path":"../x"}],"path":["https://a.example","/etc"]}`, `{"n":1e3,"path":""}`} {
		f.Add(args, uint64(1))
	}
	p := checked(f, Grant{Risk: mcprun.Medium, Sends: manifest.Yes, Arguments: []argument.Attached{attached(f, "path", paths.Spec{Under: []string{"/workspace"}})},
		Rules: []when.Rule{rule(f, `has(args.n) && args.n > 10`, mcprun.High), rule(f, `has(args.edits) && size(args.edits) > 3`, mcprun.Block)}})
	f.Fuzz(func(t *testing.T, args string, seed uint64) {
		plain, err := strictjson.Parse([]byte(args), strictjson.Request)
		if err != nil || plain.Kind() != jsontext.KindBeginObject {
			return
		}
		value, err := strictjson.Decode(plain)
		if err != nil {
			return
		}
		other, err := strictjson.Parse(respell(value, rand.New(rand.NewPCG(seed, 1))), strictjson.Request)
		if err != nil {
			t.Fatalf("%s, spelled anew: %v", args, err)
		}
		call := Call{Server: "test", Tool: "edit", Arguments: plain, Now: time.Unix(1e9, 0)}
		d := p.Decide(call)
		call.Arguments = other
		if e := p.Decide(call); !reflect.DeepEqual(d, e) {
			t.Fatalf("%s: %+v\n%s: %+v", plain, d, other, e)
		}
	})
}

// respell writes a value with its members in any order, white space anywhere, and
// any letter as an escape.
func respell(v any, r *rand.Rand) []byte {
	gap := func() string { return []string{"", " ", "\n\t", "  "}[r.IntN(4)] }
	text := func(s string) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, c := range s {
			if quoted, _ := jsontext.AppendQuote(nil, string(c)); r.IntN(3) > 0 || c > 0xffff {
				b.Write(quoted[1 : len(quoted)-1])
			} else {
				fmt.Fprintf(&b, `\u%04x`, c)
			}
		}
		return b.String() + `"`
	}
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for name, item := range v {
			members = append(members, gap()+text(name)+gap()+":"+gap()+string(respell(item, r))+gap())
		}
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return []byte("{" + strings.Join(members, ",") + "}")
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, gap()+string(respell(item, r))+gap())
		}
		return []byte("[" + strings.Join(items, ",") + "]")
	case string:
		return []byte(text(v))
	case nil:
		return []byte("null")
	}
	return fmt.Append(nil, v)
}
