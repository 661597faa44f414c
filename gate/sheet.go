package gate

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	wordchecks "github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/risk"
	"github.com/mcprun/mcprun/gate/when"
)

// The points of hints: two or three of them make a call of a medium tool wait for a
// human, none does so alone but a secret.
const (
	pointsSecret       = 30
	pointsEncoded      = 10
	pointsNewHost      = 10
	pointsNewTool      = 5
	pointsBurst        = 10
	pointsFlood        = 25
	pointsUntrusted    = 15
	pointsInstructions = 10
	pointsPrivate      = 10
	// pointsHeld is what a check or a rule adds that holds a call, pointsMedium one that
	// makes it medium.
	pointsHeld   = 50
	pointsMedium = 20
)

// Calls within two minutes: more than burst are more than a person follows, more
// than flood are a loop.
const (
	burst = 60
	flood = 240
)

// sheet adds up what makes the risk of one call of a tool.
type sheet struct {
	tool   *Tool
	grant  Grant
	traits Traits
	search bool // for secrets: no check does
	parts  []mcprun.Contribution
	least  mcprun.Risk // that any part demands
	hint   string      // of the part that demanded it first
	hosts  []string    // that were never named before
	asks   bool        // the person at the client, if nothing wants an operator
}

func newSheet(e entry) *sheet {
	s := &sheet{tool: e.tool, grant: e.grant, traits: e.traits, search: !e.scanned, parts: make([]mcprun.Contribution, 0, 8), least: mcprun.Low}
	granted := e.tool.granted
	s.add(risk.Class, risk.OfClass(granted), granted, "its class is "+granted.String(), "")
	if e.tool.Risk != granted {
		s.add(risk.Raised, risk.OfClass(e.tool.Risk)-risk.OfClass(granted), e.tool.Risk, "raised: "+e.tool.raised, "")
	}
	return s
}

func (s *sheet) add(name string, points int, least mcprun.Risk, why, hint string) {
	s.parts = append(s.parts, mcprun.Contribution{Name: name, Points: points, Least: least, Why: why})
	if least < s.least {
		s.least, s.hint = least, hint
	}
}

// finding takes what the checks of arguments say, which is no refusal.
func (s *sheet) finding(f argument.Finding) {
	if f.Verdict == argument.Hold {
		s.add(f.Rule, pointsHeld, mcprun.High, f.Reason, f.Hint)
	}
}

// rules takes the operator's rules whose conditions hold and could make the call
// riskier.
func (s *sheet) rules(c Call, args map[string]any) {
	if len(s.grant.Rules) == 0 {
		return
	}
	subject := when.Input{Args: args, Tool: string(c.Tool), Server: string(c.Server), Principal: string(c.Principal), Session: c.Session, Now: c.Now, Recent: c.Recent}.Ready()
	for _, r := range s.grant.Rules {
		if r.Risk >= s.least {
			continue
		}
		holds, err := r.When.Holds(subject)
		if !holds {
			continue
		}
		reason := r.Reason
		if err != nil {
			reason = fmt.Sprintf("%s (the condition %s could not be judged: %v)", reason, shown(r.When.String()), err)
		}
		s.add(RuleCondition, pointsOf(r.Risk), r.Risk, reason, r.Hint)
	}
}

func pointsOf(r mcprun.Risk) int {
	switch r {
	case mcprun.Medium:
		return pointsMedium
	case mcprun.High:
		return pointsHeld
	}
	return risk.ClassBlock
}

// hints takes what makes a call that changes or sends something more worth a look.
// What only reads, and cannot send, is not worth a human's time for any of them.
func (s *sheet) hints(c Call, args map[string]any) {
	if s.traits.Changes == "" && s.traits.Sends == "" {
		return
	}
	s.taint(c.Taint)
	s.texts(c, args)
	if c.NewTool {
		s.add(risk.NewTool, pointsNewTool, mcprun.Low, "no call of this definition ever went ahead here", "")
	}
	switch {
	case c.Burst > flood:
		s.add(risk.Burst, pointsFlood, mcprun.Low, fmt.Sprintf("%d calls within two minutes", c.Burst), "")
	case c.Burst > burst:
		s.add(risk.Burst, pointsBurst, mcprun.Low, fmt.Sprintf("%d calls within two minutes", c.Burst), "")
	}
}

// taint takes what the client has read: a stranger's words may be what speaks now.
func (s *sheet) taint(t Taint) {
	if t.Untrusted {
		s.add(risk.Untrusted, pointsUntrusted, mcprun.Low, "this client has read what strangers wrote", "")
	}
	if t.Instructions {
		s.add(risk.Instructions, pointsInstructions, mcprun.Low, "this client has read text that addresses a model", "")
	}
	if s.traits.Sends == "" {
		return
	}
	if t.Private {
		s.add(risk.Private, pointsPrivate, mcprun.Low, "this client has read private data", "")
	}
	if t.Private && t.Untrusted {
		s.add(risk.Trifecta, 0, mcprun.High, "strangers' text, private data and a way out are together: "+s.traits.Sends, "look whether what is sent is what you want to be sent")
	}
}

// texts takes what the arguments themselves look like.
func (s *sheet) texts(c Call, args map[string]any) {
	l := look{search: s.search, known: c.Known, destinations: s.traits.Sends != ""}
	l.value(args)
	if l.secret != "" {
		s.add(risk.Secret, pointsSecret, mcprun.Low, l.secret, "")
	}
	if l.encoded != "" {
		s.add(risk.Encoded, pointsEncoded, mcprun.Low, fmt.Sprintf("an argument holds a long text that is %s", l.encoded), "")
	}
	if s.hosts = l.hosts; len(l.hosts) > 0 {
		s.add(risk.NewHost, pointsNewHost, mcprun.Low, fmt.Sprintf("%s was never named to this server before", shown(strings.Join(l.hosts, ", "))), "")
	}
}

// secrets finds tokens and keys of known shapes.
var secrets = wordchecks.Secrets{}

// decide turns the sum into a decision; the first part that demands its class is
// the rule that is named.
func (s *sheet) decide(tool mcprun.ToolName) mcprun.Decision {
	score, class := risk.Sum(s.parts)
	d := mcprun.Decision{Risk: class, Score: score, Contributions: s.parts, NewHosts: s.hosts}
	switch class {
	case mcprun.Low, mcprun.Medium:
		d.Verdict = mcprun.Allow
	case mcprun.High:
		d.Verdict = mcprun.Hold
	}
	if s.asks && d.Verdict == mcprun.Allow {
		d.Verdict, d.Confirm, d.Rule = mcprun.Hold, true, RuleConfirm
		d.Reason = fmt.Sprintf("%s: the person at the client must confirm it", tool)
		return d
	}
	for _, c := range s.parts {
		if c.Least == class && c.Name != risk.Class && c.Name != risk.Raised {
			return s.because(d, tool, c.Name, c.Why, s.hint)
		}
	}
	if class != s.tool.Risk {
		return s.because(d, tool, RuleScore, fmt.Sprintf("its risk is %d of 100: %s", score, listed(s.parts)), "")
	}
	s.byClass(&d)
	return d
}

func (s *sheet) because(d mcprun.Decision, tool mcprun.ToolName, rule, reason, hint string) mcprun.Decision {
	d.Rule, d.Hint = rule, hint
	switch d.Verdict {
	case mcprun.Hold:
		d.Reason = fmt.Sprintf("%s: a human must approve it: %s", tool, reason)
	case mcprun.Deny:
		d.Reason = fmt.Sprintf("%s: %s", tool, reason)
	default:
		d.Reason = reason
	}
	return d
}

// byClass words a decision that the class of the tool alone makes.
func (s *sheet) byClass(d *mcprun.Decision) {
	switch d.Risk {
	case mcprun.Low:
		d.Rule, d.Reason = RuleRiskLow, "low risk"
	case mcprun.Medium:
		d.Rule, d.Reason = RuleRiskMedium, "medium risk"
	case mcprun.High:
		d.Rule, d.Reason = RuleRiskHigh, fmt.Sprintf("%s is high risk: a human must approve it", s.tool.Name)
	default:
		d.Rule, d.Reason = RuleRiskBlock, fmt.Sprintf("%s is blocked", s.tool.Name)
	}
	if s.tool.raised != "" {
		d.Reason += " (raised: " + s.tool.raised + ")"
	}
}

// listed is what adds up, in one sentence.
func listed(parts []mcprun.Contribution) string {
	var out []string
	for _, c := range parts {
		out = append(out, fmt.Sprintf("%s (%d)", c.Why, c.Points))
	}
	return strings.Join(out, "; ")
}
