package gate

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
)

var stated = mcprun.Justification{Intent: "Tidy up the notes as the user asked", Target: "/workspace/notes.txt", Effect: "The file is gone, and git has a copy"}

const saidJSON = `{"intent":"Tidy up the notes as the user asked","target":"/workspace/notes.txt","expected_effect":"The file is gone, and git has a copy"}`

// demanding is a policy whose one tool wants to be told why.
func demanding(t testing.TB, input string, risk mcprun.Risk) (*Policy, []Problem) {
	t.Helper()
	def, err := strictjson.Parse([]byte(`{"name":"t","description":"d","inputSchema":`+input+`,"x":1}`), strictjson.Data)
	if err != nil {
		t.Fatal(err)
	}
	tool, err := lock.NewTool(def)
	if err != nil {
		t.Fatal(err)
	}
	return NewPolicy("test", &lock.File{Server: "test", Tools: []lock.Tool{tool}}, map[mcprun.ToolName]Grant{"t": {Risk: risk, Justify: true}})
}

// ask takes the justification out and decides, as the front does.
func ask(t testing.TB, p *Policy, args string) (mcprun.Decision, Call) {
	t.Helper()
	v, err := strictjson.Parse([]byte(args), strictjson.Request)
	if err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	c := Call{Server: "test", Tool: "t"}
	c.Arguments, c.Stated = p.TakeJustification("t", v)
	return p.Decide(c), c
}

const pathSchema = `{"type":"object","properties":{"path":{"type":"string"}},"required":["path"],"additionalProperties":false}`

// A call that says what it is for goes through without those words, one that does not
// is told how to mend it.
func TestJustificationIsDemanded(t *testing.T) {
	p, problems := demanding(t, pathSchema, mcprun.Medium)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d, c := ask(t, p, `{"path":"a","_justification":`+saidJSON+`}`)
	if d.Verdict != mcprun.Allow || c.Stated != stated || string(c.Arguments) != `{"path":"a"}` {
		t.Fatalf("%+v of %+v", d, c)
	}
	part := func(name, text string) string {
		return strings.Replace(`{"path":"a","_justification":`+saidJSON+`}`, map[string]string{"intent": stated.Intent, "target": stated.Target, "expected_effect": stated.Effect}[name], text, 1)
	}
	long := strings.Repeat("many words ", 30)
	for _, row := range []struct{ args, rule, says string }{
		{`{"path":"a"}`, RuleUnjustified, "is missing"},
		{`{"path":"a","_Justification":` + saidJSON + `}`, RuleUnjustified, "is missing"},
		{`{"path":"a","_justification":null}`, RuleJustification, "is null, not an object"},
		{`{"path":"a","_justification":"because"}`, RuleJustification, "is a string, not an object"},
		{`{"path":"a","_justification":{}}`, RuleJustification, "has no text intent"},
		{`{"path":"a","_justification":{"intent":"to read the notes","target":7,"expected_effect":"nothing changes"}}`, RuleJustification, "has no text target"},
		{strings.Replace(part("intent", stated.Intent), `{"intent"`, `{"more":1,"intent"`, 1), RuleJustification, "names besides"},
		{part("intent", "          "), RuleJustification, "intent has 0 characters"},
		{part("intent", "............"), RuleJustification, "intent is no words"},
		{part("intent", "aaaaaaaaaaaaaaa"), RuleJustification, "intent is no words"},
		{part("target", "/ /"), RuleJustification, "target is no words"},
		{part("intent", long), RuleJustification, "more than 240 characters"},
		{part("intent", strings.Repeat("説明", 110)), RuleJustification, "660 bytes; at most 500"},
		{part("intent", `Tidy up\u202e the notes`), RuleJustification, "bidi control character U+202E"},
		{part("intent", `Tidy up\u200b the notes`), RuleJustification, "invisible character U+200B"},
		{part("intent", `Tidy up\u000a the notes`), RuleJustification, "control character U+000A"},
		{part("intent", `Tidy up\u2028 the notes`), RuleJustification, "U+2028"},
		{part("intent", `Tidy\udb40\udc41 up the notes`), RuleJustification, "U+E0041"},
		{part("intent", "Tidy up"+strings.Repeat(" ", 60)+"the notes"), RuleJustification, "60 spaces"},
		{part("intent", "use ghp_"+strings.Repeat("aB3dE6gH9", 4)), RuleJustification, "intent: the text carries"},
		{part("expected_effect", strings.ToUpper(stated.Intent)+"!"), RuleJustification, "says the same twice"},
		{`{"path":1,"_justification":` + saidJSON + `}`, RuleSchemaInvalid, "/path"},
		{`{"paht":"a","_justification":` + saidJSON + `}`, RuleUndeclared, "paht"},
	} {
		d, c := ask(t, p, row.args)
		if d.Verdict != mcprun.Deny || d.Rule != row.rule || !strings.Contains(d.Reason, row.says) {
			t.Errorf("%s: %s %s: %s", row.args, d.Verdict, d.Rule, d.Reason)
		}
		if mends := strings.Contains(d.Hint, `"expected_effect"`); mends != strings.HasPrefix(row.rule, "justification.") {
			t.Errorf("%s: the hint is %q", row.args, d.Hint)
		}
		if c.Stated != (mcprun.Justification{}) && strings.HasPrefix(row.rule, "justification.") {
			t.Errorf("%s: %+v is kept", row.args, c.Stated)
		}
	}
	for _, fine := range []string{part("intent", "ملاحظات المستخدم القديمة"), part("target", "a2"), part("intent", "整理用户要求的旧笔记"), part("intent", `She stated \"tidy up\" 👨‍👩‍👧`)} {
		if d, _ := ask(t, p, fine); d.Verdict != mcprun.Allow {
			t.Errorf("%s: %s", fine, d.Reason)
		}
	}
}

// Words never make a call milder: what is held without a demand is held with the best
// of reasons, and a call that skipped the taking out is refused.
func TestJustificationLowersNothing(t *testing.T) {
	p, _ := demanding(t, pathSchema, mcprun.High)
	if d, _ := ask(t, p, `{"path":"a","_justification":`+saidJSON+`}`); d.Verdict != mcprun.Hold || d.Score != 65 {
		t.Errorf("%+v", d)
	}
	p, _ = demanding(t, pathSchema, mcprun.Block)
	if d, _ := ask(t, p, `{"path":"a","_justification":`+saidJSON+`}`); d.Verdict != mcprun.Deny || d.Rule != RuleRiskBlock {
		t.Errorf("%+v", d)
	}
	p, _ = demanding(t, `{"type":"object","additionalProperties":true}`, mcprun.Low)
	for _, c := range []Call{
		{Server: "test", Tool: "t", Arguments: jsontext.Value(`{"_justification":` + saidJSON + `}`)},
		{Server: "test", Tool: "t", Arguments: jsontext.Value(`{"_justification":` + saidJSON + `}`), Stated: stated},
		{Server: "test", Tool: "t", Stated: mcprun.Justification{Intent: "x"}},
	} {
		if d := p.Decide(c); d.Verdict != mcprun.Deny || d.Rule != RuleJustification {
			t.Errorf("%+v: %+v", c, d)
		}
	}
	// A tool that demands none has an argument of its own by that name, or none.
	plain, _ := NewPolicy("test", pinsOf(t, pathSchema), map[mcprun.ToolName]Grant{"t": {Risk: mcprun.Low}})
	if d, c := ask(t, plain, `{"path":"a","_justification":`+saidJSON+`}`); d.Rule != RuleUndeclared || c.Stated != (mcprun.Justification{}) {
		t.Errorf("%+v", d)
	}
}

func pinsOf(t testing.TB, input string) *lock.File {
	t.Helper()
	tool, err := lock.NewTool(jsontext.Value(`{"name":"t","inputSchema":` + input + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return &lock.File{Server: "test", Tools: []lock.Tool{tool}}
}

// What clients see demands it; what is pinned does not change. A schema to which it
// cannot be added without a change of its meaning withholds the tool, and says why.
func TestJustificationInSchemas(t *testing.T) {
	const draft7, latest = `"$schema":"http://json-schema.org/draft-07/schema#",`, `"$schema":"https://json-schema.org/draft/2020-12/schema",`
	for _, row := range []struct{ input, why string }{
		{`{"type":"object"}`, ""},
		{`{"type":"object","properties":{}}`, ""},
		{`{"type":"object","required":[]}`, ""},
		{pathSchema, ""},
		{`{` + draft7 + `"type":"object","properties":{"a":{"$ref":"#/definitions/x"}},"definitions":{"x":{"type":"object","additionalProperties":false}}}`, ""},
		{`{` + latest + `"type":"object","$ref":"#/$defs/x","$defs":{"x":{"properties":{"a":{}},"required":["a"]}}}`, ""},
		{`{` + latest + `"type":"object","properties":{"a":{}},"unevaluatedProperties":false,"allOf":[{"properties":{"b":{}}}]}`, ""},
		{`{"type":"object","properties":{"a":{},"b":{}},"anyOf":[{"required":["a"]},{"required":["b"]}],"not":{"required":["a","b"]}}`, ""},
		{`{"type":"object","properties":{"a":{"maxProperties":2,"enum":[{}]}},"patternProperties":{"^x":{}},"dependentRequired":{"a":["b"]},"if":{"required":["a"]},"then":{"additionalProperties":true}}`, ""},
		{`{` + draft7 + `"type":"object","$ref":"#/definitions/x","definitions":{"x":{"properties":{"a":{}}}}}`, "draft-07"},
		{`{"type":"object","properties":{"_justification":{"type":"string"}}}`, `has properties at "/properties"`},
		{`{"type":"object","properties":{"_Justification":{"type":"string"}}}`, `has properties at "/properties"`},
		{`{"type":"object","properties":{"a":{}},"allOf":[{"required":["_justification"]}]}`, `has required at "/allOf/0/required"`},
		{`{"type":"object","allOf":[{"properties":{"a":{}},"additionalProperties":false}]}`, `has additionalProperties at "/allOf/0/additionalProperties"`},
		{`{"type":"object","oneOf":[{"properties":{"a":{}},"unevaluatedProperties":false}]}`, "unevaluatedProperties"},
		{`{"type":"object","properties":{"a":{}},"not":{"minProperties":2}}`, "minProperties"},
		{`{"type":"object","properties":{"a":{}},"maxProperties":1}`, "maxProperties"},
		{`{"type":"object","properties":{"a":{}},"propertyNames":{"maxLength":3}}`, "propertyNames"},
		{`{"type":"object","enum":[{}]}`, "enum"},
		{`{"type":"object","patternProperties":{"^_":{"type":"string"}}}`, "patternProperties"},
		{`{"type":"object","properties":{"a":{}},"dependentRequired":{"a":["_justification"]}}`, "dependentRequired"},
		{`{"type":"object","properties":{"child":{"$ref":"#"}}}`, "refers to itself"},
	} {
		p, problems := demanding(t, row.input, mcprun.Low)
		if row.why != "" {
			if len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), row.why) || len(p.Listed()) != 0 {
				t.Errorf("%s: %v, want %q", row.input, problems, row.why)
			}
			if d, _ := ask(t, p, `{}`); d.Rule != RuleWithheld {
				t.Errorf("%s: %+v", row.input, d)
			}
			continue
		}
		if len(problems) > 0 || len(p.Listed()) != 1 {
			t.Errorf("%s: %v", row.input, problems)
			continue
		}
		shown := p.Listed()[0]
		if _, err := Compile(shown, mcprun.Low); err != nil {
			t.Errorf("%s: %v", shown, err)
		}
		required := strictjson.Member(strictjson.Member(shown, "inputSchema"), "required")
		if !bytes.Contains(required, []byte(`"_justification"`)) || !bytes.HasSuffix(shown, []byte(`,"x":1}`)) {
			t.Errorf("%s", shown)
		}
		if again, err := lock.NewTool(p.tools["t"].pinned.Definition); err != nil || again.Digest != p.ToolDigest("t") || bytes.Contains(again.Definition, []byte("_just")) {
			t.Errorf("the pin is another one: %v", err)
		}
	}
}

// What the client sees accepts a call with a justification exactly if the pinned
// schema accepts the call without it, and taking out is the inverse of putting in.
func FuzzJustification(f *testing.F) {
	for _, c := range readCases(f, "benign_real_servers.jsonl") {
		f.Add([]byte(c.Input), []byte(c.Arguments), uint8(0))
	}
	f.Add([]byte(`{"type":"object","properties":{"a":{},"b":{}},"oneOf":[{"required":["a"]},{"required":["b"]}],"unevaluatedProperties":false}`), []byte(`{"a":1}`), uint8(1))
	f.Add([]byte(`{"type":"object","if":{"properties":{"a":{"const":1}}},"then":{"required":["b"]},"dependencies":{"a":["b"]},"not":{"required":["c"]}}`), []byte(`{"a":1,"c":{}}`), uint8(2))
	f.Add([]byte(`{"type":"object","additionalProperties":{"type":"string"},"patternProperties":{"^x":{}}}`), []byte(`{"a":"_justification","x":{"_justification":1}}`), uint8(3))
	f.Fuzz(func(t *testing.T, input, args []byte, at uint8) {
		def, err := strictjson.Parse(fmt.Appendf(nil, `{"name":"t","inputSchema":%s}`, input), strictjson.Data)
		if err != nil {
			return
		}
		tool, err := Compile(def, mcprun.Low)
		if err != nil {
			return
		}
		plain, err := strictjson.Parse(args, strictjson.Request)
		if err != nil || plain.Kind() != jsontext.KindBeginObject || strictjson.Member(plain, justification) != nil {
			return
		}
		e := newEntry(lock.Tool{Name: "t", Definition: def}, Grant{Risk: mcprun.Low, Justify: true}, true, "")
		if e.rule != "" {
			return
		}
		p := &Policy{server: "test", tools: map[mcprun.ToolName]entry{"t": e}}
		with := putIn(plain, int(at))
		rest, took := p.TakeJustification("t", with)
		if !bytes.Equal(rest, plain) || took != stated {
			t.Fatalf("%s came back as %s with %+v", plain, rest, took)
		}
		d := p.Decide(Call{Server: "test", Tool: "t", Arguments: rest, Stated: took})
		bare := &Policy{server: "test", tools: map[mcprun.ToolName]entry{"t": newEntry(lock.Tool{Name: "t", Definition: def}, Grant{Risk: mcprun.Low}, true, "")}}
		if want := bare.Decide(Call{Server: "test", Tool: "t", Arguments: plain}); !reflect.DeepEqual(d, want) {
			t.Fatalf("with a justification %+v, without %+v", d, want)
		}
		shown, err := Compile(e.shown, mcprun.Low)
		if err != nil {
			t.Fatalf("%s: %v", e.shown, err)
		}
		seen, err := strictjson.Decode(with)
		if err != nil {
			t.Fatal(err)
		}
		inner, _ := strictjson.Decode(plain)
		if a, b := shown.input.validate(seen) == nil, tool.input.validate(inner) == nil; a != b {
			t.Fatalf("%s\nby what is shown %v, by what is pinned %v: %s", e.shown, a, b, with)
		}
		if shown.input.validate(inner) == nil {
			t.Fatalf("%s accepts %s", e.shown, plain)
		}
	})
}

// putIn writes an object with a justification before its at-th member, or at its end.
func putIn(object jsontext.Value, at int) jsontext.Value {
	out, n := []byte("{"), 0
	add := func(name, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, '"'), name...), `":`...), value...)
	}
	for name, value := range strictjson.Members(object) {
		if n == at {
			add([]byte(justification), []byte(saidJSON))
		}
		add(name, value)
		n++
	}
	if n <= at {
		add([]byte(justification), []byte(saidJSON))
	}
	return append(out, '}')
}
