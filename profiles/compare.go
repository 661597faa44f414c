package profiles

import (
	"maps"
	"slices"
)

// Change is one call that two profiles judge differently.
type Change struct {
	Call string
	Old  []Rule // none: refused with EPERM
	New  []Rule
	Same bool // what is enforced is the same, and only the reasons differ
}

// Compare lists what differs between two profiles on goarch, sorted by call.
func Compare(old, new *Profile, goarch string) []Change {
	a, b := old.byCall(goarch), new.byCall(goarch)
	calls := map[string]bool{}
	for call := range a {
		calls[call] = true
	}
	for call := range b {
		calls[call] = true
	}
	var out []Change
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		c := Change{Call: call, Old: a[call], New: b[call]}
		switch {
		case !slices.Equal(texts(c.Old, Rule.String), texts(c.New, Rule.String)):
		case !slices.Equal(texts(c.Old, Rule.withReason), texts(c.New, Rule.withReason)):
			c.Same = true
		default:
			continue
		}
		out = append(out, c)
	}
	return out
}

func (p *Profile) byCall(goarch string) map[string][]Rule {
	out := map[string][]Rule{}
	for _, r := range p.rules {
		if r.on(goarch) {
			r = r.clone()
			r.Arch = "" // it is the one that is compared
			out[r.Call] = append(out[r.Call], r)
		}
	}
	return out
}

func (r Rule) withReason() string { return r.String() + ": " + r.Reason }

// texts are sorted: the order of rules means nothing.
func texts(rules []Rule, text func(Rule) string) []string {
	var out []string
	for _, r := range rules {
		out = append(out, text(r))
	}
	slices.Sort(out)
	return out
}
