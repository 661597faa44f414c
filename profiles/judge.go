package profiles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// Outcome is what becomes of a call, as far as the arguments that are known say. The
// zero value is refusal.
type Outcome uint8

const (
	Refused Outcome = iota
	Depends         // on arguments that were not given
	Allowed
)

func (o Outcome) String() string {
	return [...]string{"refused", "depends on its arguments", "allowed"}[min(o, Allowed)]
}

// Judgement is what a profile says of one call.
type Judgement struct {
	Call    string
	Outcome Outcome
	Error   string // what a refused call is answered with, e.g. EPERM
	Rules   []Rule // that allow it or could, or that answer it
	Denied  []Rule // what the own profile says about it in deny
	Never   string // why no profile can allow it; empty: one can
	Line    string // of an own profile's allow, which would allow it; empty where none is needed or can
	Missing string // the one architecture that has the call, where it is not this one
}

// Judge says what becomes of a call with these arguments on goarch; arguments that are
// not there are not known. A name that is no call is an error that names the nearest.
func (p *Profile) Judge(call string, args map[uint]Value, goarch string) (Judgement, error) {
	numbers, ok := callTable()[call]
	if !ok {
		if meant := Nearest(call); meant != "" {
			return Judgement{}, fmt.Errorf("no system call %q is known; did you mean %s?", call, meant)
		}
		return Judgement{}, fmt.Errorf("no system call %q is known", call)
	}
	j := Judgement{Call: call, Error: "EPERM"}
	if _, has := numbers[goarch]; !has {
		j.Missing = numbers.only()
	}
	var possible, answers []Rule
	for _, r := range p.rules {
		switch {
		case r.Call != call || !r.on(goarch):
		case r.Verdict == mcprun.Deny:
			answers = append(answers, r.clone())
		case r.against(args):
		case r.waits(args):
			possible = append(possible, r.clone())
		default:
			j.Outcome = Allowed
			j.Rules = append(j.Rules, r.clone())
		}
	}
	for _, r := range p.denied {
		if r.Call == call && r.on(goarch) && !r.against(args) {
			j.Denied = append(j.Denied, r.clone())
		}
	}
	switch {
	case j.Outcome == Allowed:
		j.Error = ""
	case len(possible) > 0:
		j.Outcome, j.Rules = Depends, possible
	case len(answers) > 0:
		j.Rules, j.Error = answers, string(answers[0].Answer)
	}
	if j.Outcome == Allowed {
		return j, nil
	}
	return j, p.remedy(&j, args)
}

// against says whether a known argument does not fit the rule.
func (r Rule) against(args map[uint]Value) bool {
	return slices.ContainsFunc(r.Where, func(c Condition) bool {
		v, known := args[c.Arg]
		return known && !slices.ContainsFunc(c.Any, func(w Value) bool { return v.Value&c.Mask == w.Value })
	})
}

// waits says whether the rule looks at an argument that is not known.
func (r Rule) waits(args map[uint]Value) bool {
	return slices.ContainsFunc(r.Where, func(c Condition) bool { _, known := args[c.Arg]; return !known })
}

// remedy says what would allow a call, or why nothing can.
func (p *Profile) remedy(j *Judgement, args map[uint]Value) error {
	never, err := Never()
	if err != nil {
		return err
	}
	limits, err := bounds()
	if err != nil {
		return err
	}
	judged, err := guarded()
	if err != nil {
		return err
	}
	limit, bounded := limits[j.Call]
	where, err := exactly(j.Call, args)
	if err != nil {
		return err
	}
	switch {
	case never[j.Call] != "":
		j.Never = never[j.Call]
		return nil
	case limit.closed != "":
		j.Never = limit.closed
		return nil
	case j.Outcome == Depends:
		return nil // what is allowed of it is listed
	case len(where) > 0 && limit.refuses(where) != "":
		if where = limit.narrowed(args); where == nil {
			j.Never = limit.refuses(mustExactly(j.Call, args))
			return nil
		}
	case len(where) == 0 && (bounded || judged[j.Call]):
		return nil // which arguments it needs is for whoever asks
	}
	j.Line, err = AllowLine(j.Call, where)
	return err
}

// exactly are the conditions that only these arguments pass.
func exactly(call string, args map[uint]Value) ([]Condition, error) {
	known, err := ArgumentsOf(call)
	if err != nil {
		return nil, err
	}
	var out []Condition
	for arg := range uint(maxArg + 1) {
		v, ok := args[arg]
		if !ok {
			continue
		}
		mask := uint32(wholeArg)
		for _, a := range known {
			if a.Arg == arg {
				mask = a.Mask
			}
		}
		out = append(out, Condition{Arg: arg, Mask: mask, Any: []Value{{Name: v.Name, Value: v.Value & mask}}})
	}
	return out, nil
}

// mustExactly is exactly for a call whose arguments were read already.
func mustExactly(call string, args map[uint]Value) []Condition {
	where, _ := exactly(call, args)
	return where
}

// narrowed is the part of what can be allowed that these arguments lie in, or nil.
func (b bound) narrowed(args map[uint]Value) []Condition {
	for _, alternative := range b.within {
		r := Rule{Where: alternative}.clone()
		if r.against(args) {
			continue
		}
		for i, c := range r.Where {
			if v, ok := args[c.Arg]; ok {
				r.Where[i].Any = slices.DeleteFunc(c.Any, func(w Value) bool { return w.Value != v.Value&c.Mask })
			}
		}
		if b.refuses(r.Where) == "" {
			return r.Where
		}
	}
	return nil
}

// PlaceholderReason stands where whoever adds a line has to say why. It is no reason.
const PlaceholderReason = "what needs it, and why that is harmless"

// AllowLine is the entry of an own profile's allow that grants a call with these
// conditions. Its reason is for whoever adds it.
func AllowLine(call string, where []Condition) (string, error) {
	known, err := ArgumentsOf(call)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, c := range where {
		parts = append(parts, c.yaml(known))
	}
	line := "- calls: [" + call + "]\n"
	if len(parts) > 0 {
		line += "  where: [" + strings.Join(parts, ", ") + "]\n"
	}
	return line + "  reason: " + PlaceholderReason + "\n", nil
}

// yaml writes a condition as an own profile has it, by names where they are known.
func (c Condition) yaml(known []Argument) string {
	a := Argument{Mask: wholeArg}
	arg := fmt.Sprint(c.Arg)
	for _, k := range known {
		if k.Arg == c.Arg {
			a, arg = k, k.Name
		}
	}
	mask := ""
	if c.Mask != a.Mask {
		mask = fmt.Sprintf("mask: \"%#x\", ", c.Mask)
	}
	var names, numbers []string
	plain := true
	for _, v := range c.Any {
		have, err := a.Find(v.Name)
		plain = plain && err == nil && have.Value == v.Value && wordOrNumber(v.Name)
		names = append(names, v.Name)
		numbers = append(numbers, fmt.Sprintf("%q: %d", v.Name, v.Value))
	}
	if plain {
		return fmt.Sprintf("{arg: %s, %sany: [%s]}", arg, mask, strings.Join(names, ", "))
	}
	return fmt.Sprintf("{arg: %s, %sany: {%s}}", arg, mask, strings.Join(numbers, ", "))
}

// wordOrNumber says whether a name can stand in YAML without quotes.
func wordOrNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_')
	}) && !strings.HasPrefix(s, "0x")
}
