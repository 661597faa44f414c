package gate

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
)

// The person at the client is asked about what would go ahead, and about nothing else.
func TestConfirm(t *testing.T) {
	const input = `{"type":"object","properties":{"message":{"type":"string"}}}`
	decide := func(g Grant, c Call) mcprun.Decision {
		t.Helper()
		p, problems := NewPolicy("test", pinsOf(t, input), map[mcprun.ToolName]Grant{"t": g})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		c.Server, c.Tool = "test", "t"
		if c.Arguments == nil {
			c.Arguments = jsontext.Value(`{"message":"m"}`)
		}
		return p.Decide(c)
	}
	long := jsontext.Value(`{"message":"` + strings.Repeat("x", maxQuestion) + `"}`)
	for name, row := range map[string]struct {
		grant   Grant
		call    Call
		verdict mcprun.Verdict
		risk    mcprun.Risk
		asks    bool
		rule    string
	}{
		"low":                   {Grant{Risk: mcprun.Low, Confirm: true}, Call{Elicits: true}, mcprun.Hold, mcprun.Low, true, RuleConfirm},
		"medium":                {Grant{Risk: mcprun.Medium, Confirm: true}, Call{Elicits: true}, mcprun.Hold, mcprun.Medium, true, RuleConfirm},
		"made medium by a rule": {Grant{Risk: mcprun.Low, Confirm: true, Rules: oneRule(t, `true`, mcprun.Medium)}, Call{Elicits: true}, mcprun.Hold, mcprun.Medium, true, RuleConfirm},
		"high":                  {Grant{Risk: mcprun.High, Confirm: true}, Call{Elicits: true}, mcprun.Hold, mcprun.High, false, RuleRiskHigh},
		"made high by a rule":   {Grant{Risk: mcprun.Medium, Confirm: true, Rules: oneRule(t, `true`, mcprun.High)}, Call{Elicits: true}, mcprun.Hold, mcprun.High, false, RuleCondition},
		"blocked by a rule":     {Grant{Risk: mcprun.Medium, Confirm: true, Rules: oneRule(t, `true`, mcprun.Block)}, Call{Elicits: true}, mcprun.Deny, mcprun.Block, false, RuleCondition},
		"nobody to ask":         {Grant{Risk: mcprun.Medium, Confirm: true}, Call{}, mcprun.Hold, mcprun.High, false, RuleConfirm},
		"too long":              {Grant{Risk: mcprun.Medium, Confirm: true}, Call{Elicits: true, Arguments: long}, mcprun.Hold, mcprun.High, false, RuleConfirm},
		"not demanded":          {Grant{Risk: mcprun.Medium}, Call{Elicits: true}, mcprun.Allow, mcprun.Medium, false, RuleRiskMedium},
		"refused":               {Grant{Risk: mcprun.Medium, Confirm: true}, Call{Elicits: true, Arguments: jsontext.Value(`{"message":1}`)}, mcprun.Deny, mcprun.Block, false, RuleSchemaInvalid},
	} {
		d := decide(row.grant, row.call)
		if d.Verdict != row.verdict || d.Risk != row.risk || d.Confirm != row.asks || d.Rule != row.rule {
			t.Errorf("%s: %s %s, asks %v, %s: %s", name, d.Verdict, d.Risk, d.Confirm, d.Rule, d.Reason)
		}
	}
}

// An argument can look like nothing but an argument: each of them is one indented line,
// and nobody who reads the question misses one.
func FuzzQuestion(f *testing.F) {
	f.Add(`{}`)
	f.Add(`{"path":"/a","note":"x\n\nEverything is fine.\n\nmcprun asks: go on?"}`)
	f.Add("{\"a\\nb\":1,\"\\u2028\":\"\\u202e\\u0085\",\"```\":\"<b>\"}")
	f.Add(`{"x":{"y":[1,"\u001b[2J"]}}`)
	f.Fuzz(func(t *testing.T, args string) {
		plain, err := strictjson.Parse([]byte(args), strictjson.Request)
		if err != nil || plain.Kind() != jsontext.KindBeginObject {
			return
		}
		text, whole := Question(Call{Server: "files", Tool: "write", Arguments: plain, Stated: stated})
		if !whole {
			if len(plain) < maxQuestion/16 {
				t.Fatalf("%d bytes are too long", len(plain))
			}
			return
		}
		n := 0
		for range strictjson.Members(plain) {
			n++
		}
		lines := strings.Split(text, "\n")
		indented := 0
		for _, line := range lines {
			for _, r := range line {
				if lock.Hidden(r) != "" {
					t.Fatalf("%q holds a character that nobody sees", line)
				}
			}
			if strings.HasPrefix(line, "    ") {
				indented++
			}
		}
		if want := max(n, 1) + 3; indented != want || len(lines) != want+7 || len(text) > maxQuestion {
			t.Fatalf("%d of %d lines are indented for %d arguments:\n%s", indented, len(lines), n, text)
		}
	})
}

func oneRule(t testing.TB, condition string, risk mcprun.Risk) []when.Rule {
	t.Helper()
	return []when.Rule{rule(t, condition, risk)}
}
