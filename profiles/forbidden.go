package profiles

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
)

// Forbidden is what an operator lets no profile allow: a call, or one value of one of its
// arguments.
type Forbidden struct {
	Call  string
	Whole bool // any of it; else only Arg with Value
	Arg   uint
	Value Value
	Text  string // as policy.yaml has it
}

// ParseForbidden reads call or call(argument=VALUE), e.g. socket(family=AF_NETLINK).
func ParseForbidden(s string) (Forbidden, error) {
	call, rest, some := strings.Cut(s, "(")
	if numbers, ok := callTable()[call]; !ok || len(numbers) == 0 {
		if meant := Nearest(call); meant != "" {
			return Forbidden{}, fmt.Errorf("no system call %q is known; did you mean %s?", call, meant)
		}
		return Forbidden{}, fmt.Errorf("no system call %q is known", call)
	}
	if !some {
		return Forbidden{Call: call, Whole: true, Text: s}, nil
	}
	inner, closed := strings.CutSuffix(rest, ")")
	name, value, ok := strings.Cut(inner, "=")
	if !closed || !ok {
		return Forbidden{}, fmt.Errorf("%q is neither a call nor call(argument=VALUE)", s)
	}
	arg, err := FindArgument(call, name)
	if err != nil {
		return Forbidden{}, err
	}
	v, err := arg.Find(value)
	if err != nil {
		return Forbidden{}, err
	}
	return Forbidden{Call: call, Arg: arg.Arg, Value: v, Text: s}, nil
}

func (f Forbidden) String() string { return f.Text }

// Grants returns the rules of the profile, on any machine, that let what is forbidden
// through. An argument that a rule does not look at may be anything.
func (p *Profile) Grants(f Forbidden) []Rule {
	var out []Rule
	for _, r := range p.rules {
		if r.Call == f.Call && r.Verdict == mcprun.Allow && (f.Whole || permits(r.Where, f.Arg, wholeArg, f.Value.Value)) {
			out = append(out, r.clone())
		}
	}
	return out
}

// Is says whether a call with these arguments is the forbidden one, or has its flags among
// others.
func (f Forbidden) Is(call string, raw [6]uint64) bool {
	if f.Call != call || f.Whole {
		return f.Call == call
	}
	mask, flags := uint32(wholeArg), false
	known, err := ArgumentsOf(call)
	if err != nil {
		return true // what cannot be told apart counts as one
	}
	for _, a := range known {
		if a.Arg == f.Arg {
			mask, flags = a.Mask, strings.Contains(a.Name, "flags")
		}
	}
	v, want := uint32(raw[f.Arg])&mask, f.Value.Value&mask
	return v == want || flags && want != 0 && v&want == want
}
