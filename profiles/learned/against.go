package learned

import (
	"slices"

	"github.com/mcprun/mcprun/profiles"
)

// Refuses are the calls that were seen and that a profile would not let through, with
// the arguments that they had.
func (s Seen) Refuses(p *profiles.Profile) []Call {
	var out []Call
	for _, c := range s.Calls {
		args := map[uint]profiles.Value{}
		for _, w := range c.Where {
			if len(w.Any) > 0 {
				args[w.Arg] = w.Any[0] // a call that was made has one value
			}
		}
		if j, err := p.Judge(c.Call, args, s.Arch); err != nil || j.Outcome != profiles.Allowed {
			out = append(out, c)
		}
	}
	return out
}

// Times is how often a call was seen, whatever its arguments.
func (s Seen) Times(call string) int64 {
	var n int64
	for _, c := range s.Calls {
		if c.Call == call {
			n += c.total()
		}
	}
	return n
}

// Compare lists where a profile differs from what was seen; exact is the profile that
// Propose made of it. Calls that exact has for nothing but being neighbours of one that
// was seen are no difference: the profile need not have them.
func (s Seen) Compare(p, exact *profiles.Profile) []profiles.Change {
	every := profiles.EveryProgram()
	return slices.DeleteFunc(profiles.Compare(p, exact, s.Arch), func(c profiles.Change) bool {
		return c.Same || len(c.Old) == 0 && s.Times(c.Call) == 0 && !slices.Contains(every, c.Call)
	})
}

// Reason says where a call was seen, as Propose does.
func (s Seen) Reason(call string) string {
	var sum Call
	for _, c := range s.Calls {
		if c.Call == call {
			sum.add(c.Counts)
		}
	}
	if sum.total() == 0 {
		return reasonEvery
	}
	return sum.reason() + ", " + times(sum.total())
}
