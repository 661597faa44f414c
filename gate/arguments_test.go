package gate

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/command"
	"github.com/mcprun/mcprun/gate/argument/paths"
	wordchecks "github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/manifest"
)

const editor = `{"name":"edit","inputSchema":{"type":"object","properties":{"path":{"type":["string","array"]},"edits":{"type":"array","items":{"type":"object","properties":{"path":{"type":"string"},"text":{"type":"string"}}}},"n":{},"force":{"type":"boolean"}}}}`

func attached(t testing.TB, at string, c argument.Check) argument.Attached {
	t.Helper()
	p, err := argument.ParsePointer(at)
	if err != nil {
		t.Fatal(err)
	}
	return argument.Attached{At: p, Check: c}
}

func rule(t testing.TB, text string, risk mcprun.Risk) when.Rule {
	t.Helper()
	c, err := when.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return when.Rule{When: c, Risk: risk, Reason: "a rule", Hint: "a hint"}
}

func checked(t testing.TB, g Grant) *Policy {
	t.Helper()
	p, problems := NewPolicy("test", pinned(t, jsontext.Value(editor)), map[mcprun.ToolName]Grant{"edit": g})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// A check judges every text that stands where it is tied, whatever stands around
// it; a rule makes the call riskier where its condition holds; the worst counts.
func TestArguments(t *testing.T) {
	below := paths.Spec{Under: []string{"/workspace"}, Sensitive: argument.Hold}
	p := checked(t, Grant{Risk: mcprun.Low,
		Arguments: []argument.Attached{attached(t, "path", below), attached(t, "/edits/*/path", below), attached(t, "*", wordchecks.Secrets{})},
		Rules: []when.Rule{rule(t, `has(args.force) && args.force`, mcprun.High), rule(t, `has(args.n) && args.n > 10`, mcprun.Block), rule(t, `has(args.n) && args.n == 5`, mcprun.Medium),
			rule(t, `recent.tool_minute > 3`, mcprun.Block)},
	})
	for _, row := range []struct{ args, want string }{
		{`{}`, "allow low risk.low"},
		{`{"path":"/workspace/a"}`, "allow low risk.low"},
		{`{"path":null}`, "deny block schema.invalid"},
		{`{"path":"/etc/passwd"}`, "deny block path.outside"},
		{`{"path":["/workspace/a","/etc/passwd"]}`, "deny block path.outside"},
		{`{"path":[["/etc/passwd"]]}`, "deny block path.outside"},
		{`{"path":[7]}`, "deny block path.relative"},
		{`{"path":"/workspace/.git/hooks/pre-commit"}`, "hold high path.sensitive"},
		{`{"path":"/workspace/a","edits":[{"path":"/workspace/b"},{"path":"/workspace/../etc/x"}]}`, "deny block path.traversal"},
		{`{"edits":[{"path":"/workspace/b","text":"../../etc/passwd in a text is fine"}]}`, "allow low risk.low"},
		{`{"edits":[{"text":"ghp_16C7e42F292c6912E7710c838347Ae178B4a"}]}`, "deny block secret.github"},
		{`{"force":true}`, "hold high rule"},
		{`{"force":false}`, "allow low risk.low"},
		{`{"n":11,"force":true}`, "deny block rule"},
		{`{"n":5}`, "allow medium rule"},
		{`{"n":"five"}`, "deny block rule"}, // what cannot be compared holds
		{`{"path":"/etc/passwd","force":true}`, "deny block path.outside"},
	} {
		d := p.Decide(Call{Server: "test", Tool: "edit", Arguments: jsontext.Value(row.args), Now: time.Unix(1e9, 0), Recent: map[string]int64{"tool_minute": 1}})
		if got := fmt.Sprint(d.Verdict, " ", d.Risk, " ", d.Rule); got != row.want {
			t.Errorf("%s: %s (%s), want %s", row.args, got, d.Reason, row.want)
		}
		if (d.Verdict == mcprun.Deny) != (d.Risk == mcprun.Block) { // what is refused has no milder class in the record
			t.Errorf("%s: %s and %s", row.args, d.Verdict, d.Risk)
		}
		if d.Rule != RuleRiskLow && d.Reason == "" {
			t.Errorf("%s: no reason", row.args)
		}
	}
	d := p.Decide(Call{Server: "test", Tool: "edit", Arguments: jsontext.Value(`{}`), Now: time.Unix(1e9, 0), Recent: map[string]int64{"tool_minute": 4}})
	if d.Verdict != mcprun.Deny || d.Rule != RuleCondition || d.Hint != "a hint" || !strings.Contains(d.Reason, "a rule") {
		t.Errorf("the fifth call within a minute: %+v", d)
	}
	// Without what a condition speaks of it holds.
	if d := p.Decide(Call{Server: "test", Tool: "edit", Arguments: jsontext.Value(`{}`)}); d.Verdict != mcprun.Deny || !strings.Contains(d.Reason, "could not be judged") {
		t.Errorf("without counts: %+v", d)
	}
}

// What a shell, a database or an engine of code runs does not pass unjudged: the tool
// counts as high unless a check that knows the language is tied to the argument, or
// the operator says that none is needed.
func TestInterpretedArguments(t *testing.T) {
	for _, row := range []struct {
		properties string
		at         string // where the check is tied; "" is none
		check      argument.Check
		want       mcprun.Risk
	}{
		{`"command":{"type":"string"}`, "", nil, mcprun.High},
		{`"shellCommand":{"type":["string","array"]}`, "", nil, mcprun.High},
		{`"sql":{}`, "", nil, mcprun.High},
		{`"query":{"type":"string","description":"The SQL to run"}`, "", nil, mcprun.High},
		{`"sql_query":{"type":"string"}`, "", nil, mcprun.High},
		{`"code":{"type":"string","description":"JavaScript to run in the page"}`, "", nil, mcprun.High},
		{`"command":{"type":"string"}`, "command", command.Spec{Others: argument.Hold}, mcprun.Low},
		{`"command":{"type":"string"}`, "command", argument.Unchecked{Reason: "ours"}, mcprun.Low},
		{`"command":{"type":"string"}`, "*", argument.Unchecked{Reason: "ours"}, mcprun.Low},
		{`"command":{"type":"string"}`, "command", wordchecks.Enum{"status"}, mcprun.Low},
		{`"command":{"type":"string"}`, "command", wordchecks.Secrets{}, mcprun.High},
		{`"command":{"type":"string"},"other":{"type":"string"}`, "other", command.Spec{Others: argument.Hold}, mcprun.High},
		{`"query":{"type":"string","description":"what to search for"}`, "", nil, mcprun.Low},
		{`"commandTimeout":{"type":"string"}`, "", nil, mcprun.Low},
		{`"command":{"type":"boolean"}`, "", nil, mcprun.Low},
		{`"country_code":{"type":"string"}`, "", nil, mcprun.Low},
	} {
		g := Grant{Risk: mcprun.Low}
		if row.at != "" {
			g.Arguments = append(g.Arguments, attached(t, row.at, row.check))
		}
		p, problems := NewPolicy("test", pinned(t, jsontext.Value(`{"name":"do","inputSchema":{"type":"object","properties":{`+row.properties+`}}}`)), map[mcprun.ToolName]Grant{"do": g})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := p.Summary()[0]; got.Risk != row.want || (got.Why != "") != (row.want == mcprun.High) {
			t.Errorf("%s with %T at %q: %s %s, want %s", row.properties, row.check, row.at, got.Risk, got.Why, row.want)
		}
	}
}

// The order of arguments changes nothing, a further check or rule never allows
// more, and whatever the arguments, the same call gets the same decision.
func FuzzArguments(f *testing.F) {
	for _, args := range []string{`{"path":"/workspace/a"}`, `{"path":["/etc",{"a":"b"}],"n":11}`, `{"edits":[{"path":"x","text":"AKIAIOSFODNN7EXAMPLE"}],"force":true}`} {
		f.Add(args)
	}
	loose := checked(f, Grant{Risk: mcprun.Low})
	strict := checked(f, Grant{Risk: mcprun.Low, Arguments: []argument.Attached{attached(f, "path", paths.Spec{Under: []string{"/workspace"}})}})
	stricter := checked(f, Grant{Risk: mcprun.Medium, Arguments: []argument.Attached{attached(f, "path", paths.Spec{Under: []string{"/workspace"}}), attached(f, "*", wordchecks.Secrets{})},
		Rules: []when.Rule{rule(f, `has(args.n) && args.n > 10`, mcprun.High)}})
	f.Fuzz(func(t *testing.T, args string) {
		call := Call{Server: "test", Tool: "edit", Arguments: jsontext.Value(args), Now: time.Unix(1e9, 0), Recent: map[string]int64{}}
		var last int
		for i, p := range []*Policy{stricter, strict, loose} {
			d := p.Decide(call)
			if again := p.Decide(call); !reflect.DeepEqual(d, again) {
				t.Fatalf("%q: %+v, then %+v", args, d, again)
			}
			level := map[mcprun.Verdict]int{mcprun.Deny: 0, mcprun.Hold: 1, mcprun.Allow: 2}[d.Verdict]
			if i > 0 && level < last {
				t.Errorf("%q: a stricter policy allows more: %+v", args, d)
			}
			last = level
		}
	})
}

// A kilobyte of arguments, held against checks and twenty rules; the arguments of a
// tool that changes something are looked at for hints besides.
func BenchmarkArguments(b *testing.B) {
	for _, class := range []mcprun.Risk{mcprun.Low, mcprun.Medium} {
		b.Run(class.String(), func(b *testing.B) { benchmarkArguments(b, class) })
	}
}

func benchmarkArguments(b *testing.B, class mcprun.Risk) {
	g := Grant{Risk: class, Sends: manifest.Yes, Arguments: []argument.Attached{attached(b, "path", paths.Spec{Under: []string{"/workspace"}}), attached(b, "*", wordchecks.Secrets{})}}
	for i := range 20 {
		g.Rules = append(g.Rules, rule(b, fmt.Sprintf(`has(args.n) && args.n > %d || size(args.path) > %d`, 100+i, 200+i), mcprun.High))
	}
	p := checked(b, g)
	call := Call{Server: "test", Tool: "edit", Now: time.Unix(1e9, 0), Recent: map[string]int64{},
		Arguments: jsontext.Value(`{"path":"/workspace/a/b/c.txt","n":7,"edits":[{"text":"` + strings.Repeat("The meeting is on Friday. ", 38) + `"}]}`)}
	if d := p.Decide(call); d.Verdict != mcprun.Allow {
		b.Fatal(d)
	}
	for b.Loop() {
		p.Decide(call)
	}
}
