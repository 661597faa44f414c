package manifest

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits/detect"
)

// killKeys are those of the kills that happen by themselves; policy.yaml can stop more
// than a server.yaml, which stops what is its own.
func killKeys(levels []string, usual string, also ...key) []key {
	return slices.Concat([]key{
		{"kill", "list of mappings", "none", fmt.Sprintf("at most %d", detect.MaxRules), "switches that are thrown by themselves, see [kill](kill.md#by-itself)"},
		{"kill[].after", "text", "required", oneOf(detect.Names()), "what is counted"},
		{"kill[].times", "number", "1", between(1, detect.MaxTimes), "how often until it kills"},
		{"kill[].within", "duration", "required where times is more than 1", between(durationString(detect.MinWithin), durationString(detect.MaxWithin)), "in how long"},
		{"kill[].level", "text", usual, oneOf(levels), "what is killed"},
	}, also, []key{
		{"kill[].cool-down", "duration", durationString(detect.DefaultCoolDown), between(durationString(detect.MinCoolDown), durationString(detect.MaxCoolDown)), "how long after a kill the rule counts nothing of what it killed"},
		{"kill[].reason", "text", "none", fmt.Sprintf("at most %d bytes", detect.MaxReason), "for who is refused, and who has to revive it"},
	})
}

// allLevels are those of policy.yaml, ownLevels those of server.yaml.
var (
	allLevels = []string{string(detect.Tool), string(detect.Server), string(detect.Label), string(detect.Principal), string(detect.All)}
	ownLevels = allLevels[:2]
)

func decodeKills(o object) []detect.Rule {
	var out []detect.Rule
	for i, n := range o.list("kill", "[{after: credential.misuse}]") {
		path := killPath(i)
		o.r.where[path] = place{n.pos, path}
		k := openObject(o.r, "kill[]", path, n)
		if k.fields != nil {
			k.need("after", "say what kills, e.g. after: credential.misuse")
		}
		r := detect.Rule{CoolDown: detect.DefaultCoolDown}
		set(k, "after", &r.After, readDetection)
		times := int64(1)
		k.number("times", "3", &times)
		r.Times = int(min(times, detect.MaxTimes+1))
		k.duration("within", &r.Within)
		if d, ok := detect.Find(r.After); ok {
			r.Level = d.Levels[0]
		}
		k.text("level", "server", (*string)(&r.Level))
		k.text("label", "team", &r.Label)
		k.duration("cool-down", &r.CoolDown)
		k.text("reason", "our runbook is at …", &r.Reason)
		out = append(out, r)
	}
	return out
}

func readDetection(n node) (detect.Name, problem) {
	text, p := readText(n, string(detect.CredentialMisuse))
	if !p.none() {
		return "", p
	}
	if _, ok := detect.Find(detect.Name(text)); ok {
		return detect.Name(text), problem{}
	}
	return "", unknownDetection(text)
}

func unknownDetection(text string) problem {
	p := problem{show(text) + " is nothing that is detected", "write " + oneOf(detect.Names())}
	if meant := suggest(text, detect.Names()); meant != "" {
		p.fix = "did you mean " + meant + "?"
	}
	return p
}

// checkKills: a rule that never kills would be relied on, and one that stops more than
// its writer may would be a way to stop others.
func checkKills(r *report, rules []detect.Rule, levels []string) {
	if len(rules) > detect.MaxRules {
		r.fail("kill", "keep those that somebody wants to be woken for", "%d rules; at most %d", len(rules), detect.MaxRules)
	}
	for i, k := range rules {
		at := killPath(i)
		d, ok := detect.Find(k.After)
		if !ok {
			if !r.bad[at+".after"] {
				p := unknownDetection(string(k.After))
				r.fail(at+".after", p.fix, "%s", p.what)
			}
			continue
		}
		inRange(r, at+".times", int64(k.Times), 1, detect.MaxTimes, decimal)
		checkKillTimes(r, at, k)
		checkKillLevel(r, at, k, d, levels)
		inRange(r, at+".cool-down", k.CoolDown, detect.MinCoolDown, detect.MaxCoolDown, durationString)
		if len(k.Reason) > detect.MaxReason {
			r.fail(at+".reason", "make it shorter", "has %d bytes; at most %d", len(k.Reason), detect.MaxReason)
		} else if strings.ContainsFunc(k.Reason, func(c rune) bool { return !unicode.IsPrint(c) }) || badText(k.Reason) != "" {
			r.fail(at+".reason", "write it on one line, in plain words", "holds characters that do not show")
		}
		if slices.Contains(rules[:i], k) {
			r.fail(at, "take one of the two out", "stands there twice")
		}
	}
}

func checkKillTimes(r *report, at string, k detect.Rule) {
	switch {
	case k.Times <= 1 && k.Within != 0:
		r.fail(at+".within", "say how often: times: 3; or leave it out", "has no meaning where once is enough")
	case k.Times > 1 && k.Within == 0:
		r.fail(at+".within", "say in how long, e.g. within: 1m", "is missing")
	case k.Times > 1:
		inRange(r, at+".within", k.Within, detect.MinWithin, detect.MaxWithin, durationString)
	}
	for key, d := range map[string]time.Duration{".within": k.Within, ".cool-down": k.CoolDown} {
		if d%time.Millisecond != 0 {
			r.fail(at+key, "round it", "%v is not a whole number of milliseconds", d)
		}
	}
}

func checkKillLevel(r *report, at string, k detect.Rule, d detect.Detection, levels []string) {
	can := slices.DeleteFunc(levelWords(d.Levels), func(l string) bool { return !slices.Contains(levels, l) })
	switch {
	case len(can) == 0:
		r.fail(at+".after", "write it in policy.yaml", "%s is counted for each client over all servers, which is not one server's to say", k.After)
		return
	case !slices.Contains(allLevels, string(k.Level)):
		r.fail(at+".level", "write "+either(can), "%s is not known", show(string(k.Level)))
		return
	case !slices.Contains(levels, string(k.Level)):
		r.fail(at+".level", "write "+either(can)+"; the operator's policy.yaml can stop more", "a server.yaml stops what is its own, not %s", show(string(k.Level)))
		return
	case !slices.Contains(can, string(k.Level)):
		r.fail(at+".level", "write "+either(can), "%s cannot stop at the level %s", k.After, show(string(k.Level)))
		return
	}
	_, err := mcprun.ParseLabel(k.Label + "=x")
	switch {
	case k.Level != detect.Label && k.Label != "":
		r.fail(at+".label", "write level: label, or leave it out", "belongs to level: label")
	case k.Level == detect.Label && k.Label == "":
		r.fail(at+".label", "write the key of a label, e.g. label: team", "is missing")
	case k.Level == detect.Label && err != nil:
		r.fail(at+".label", "write the key alone, e.g. label: team", "%s is not the key of a label", show(k.Label))
	}
}

func checkOwnKills(s *Server, r *report) { checkKills(r, s.Kill, ownLevels) }

func checkCommonKills(c *Ceilings, r *report) { checkKills(r, c.Kill, allLevels) }

func marshalKills(rules []detect.Rule, line func(string, ...any)) {
	if len(rules) == 0 {
		return
	}
	line("kill:")
	for _, k := range rules {
		line("  - %s", killFields(k))
	}
}

// KillText is each rule as server.yaml has it.
func (s *Server) KillText() []string {
	var out []string
	for _, k := range s.Kill {
		out = append(out, "kill: "+killFields(k))
	}
	return out
}

// killFields is a rule as the files have it.
func killFields(k detect.Rule) string {
	out := fmt.Sprintf("{after: %s, times: %d", k.After, k.Times)
	if k.Within != 0 {
		out += ", within: " + durationString(k.Within)
	}
	out += fmt.Sprintf(", level: %s", k.Level)
	if k.Label != "" {
		out += ", label: " + quote(k.Label)
	}
	out += ", cool-down: " + durationString(k.CoolDown)
	if k.Reason != "" {
		out += ", reason: " + quote(k.Reason)
	}
	return out + "}"
}

// either is oneOf for lists that may have one word.
func either(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return oneOf(words)
}

func levelWords(levels []detect.Level) []string {
	var out []string
	for _, l := range levels {
		out = append(out, string(l))
	}
	return out
}

func killPath(i int) string { return fmt.Sprintf("kill[%d]", i) }
