package profiles

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

// bound is what no rule about some calls may allow, whoever wrote it. The built-in
// profiles are held to it as well.
type bound struct {
	calls  []string
	closed string // why no own profile can allow it, whatever its arguments
	never  []neverValue
	reason string        // of within
	within [][]Condition // a rule must lie in one of these; none: all may be allowed
}

// neverValue holds when the masked argument is the value.
type neverValue struct {
	Condition
	reason string
}

type boundFile struct {
	Version int `json:"version"`
	Bounds  []struct {
		Calls  []string `json:"calls"`
		Closed string   `json:"closed"`
		Never  []struct {
			Arg    *uint             `json:"arg"`
			Mask   string            `json:"mask"`
			Any    map[string]string `json:"any"`
			Bits   map[string]string `json:"bits"` // each is its own mask
			Reason string            `json:"reason"`
		} `json:"never"`
		Reason string        `json:"reason"`
		Within [][]condition `json:"within"`
	} `json:"bounds"`
}

// bounds is tables/bounds.json: call → what holds for it.
var bounds = sync.OnceValues(readBounds)

func readBounds() (map[string]bound, error) {
	raw, err := tables.ReadFile("tables/bounds.json")
	if err != nil {
		return nil, fmt.Errorf("reading the bounds of calls: %w", err)
	}
	var f boundFile
	if err := json.Unmarshal(raw, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading the bounds of calls: %w", err)
	}
	out := map[string]bound{}
	for _, in := range f.Bounds {
		b := bound{calls: in.Calls, closed: in.Closed, reason: in.Reason}
		for _, n := range in.Never {
			if len(n.Any) > 0 {
				c, err := condition{Arg: n.Arg, Mask: n.Mask, Any: n.Any}.parse()
				if err != nil {
					return nil, fmt.Errorf("bounds of %v: %w", in.Calls, err)
				}
				b.never = append(b.never, neverValue{c, n.Reason})
			}
			for name, bit := range n.Bits {
				c, err := condition{Arg: n.Arg, Mask: bit, Any: map[string]string{name: bit}}.parse()
				if err != nil {
					return nil, fmt.Errorf("bounds of %v: %w", in.Calls, err)
				}
				b.never = append(b.never, neverValue{c, n.Reason})
			}
		}
		slices.SortStableFunc(b.never, func(x, y neverValue) int { return int(x.Any[0].Value&0x7fffffff) - int(y.Any[0].Value&0x7fffffff) })
		for _, alternative := range in.Within {
			where, err := conditions(alternative)
			if err != nil {
				return nil, fmt.Errorf("bounds of %v: %w", in.Calls, err)
			}
			b.within = append(b.within, where)
		}
		for _, call := range in.Calls {
			if _, ok := out[call]; ok {
				return nil, fmt.Errorf("bounds: %s is named twice", call)
			}
			out[call] = b
		}
	}
	return out, nil
}

// refuses says why a rule with these conditions can be in no profile; nothing if it can.
func (b bound) refuses(where []Condition) string {
	if b.closed != "" {
		return b.closed
	}
	for _, n := range b.never {
		for _, v := range n.Any {
			if permits(where, n.Arg, n.Mask, v.Value) {
				return fmt.Sprintf("it would allow %s: %s", v.Name, n.reason)
			}
		}
	}
	if len(b.within) > 0 && !slices.ContainsFunc(b.within, func(alternative []Condition) bool { return implies(where, alternative) }) {
		return b.reason
	}
	return ""
}

// permits says whether some argument with arg & mask == value passes the conditions.
func permits(where []Condition, arg uint, mask, value uint32) bool {
	for _, c := range where {
		if c.Arg == arg {
			return slices.ContainsFunc(c.Any, func(v Value) bool { return (v.Value^value)&c.Mask&mask == 0 })
		}
	}
	return true
}

// implies says whether all that passes the conditions passes those of alternative too.
func implies(where, alternative []Condition) bool {
	for _, need := range alternative {
		if !slices.ContainsFunc(where, func(c Condition) bool { return c.lies(need) }) {
			return false
		}
	}
	return true
}

// lies says whether all that passes c passes d.
func (c Condition) lies(d Condition) bool {
	if c.Arg != d.Arg || c.Mask&d.Mask != d.Mask {
		return false
	}
	for _, v := range c.Any {
		if !slices.ContainsFunc(d.Any, func(w Value) bool { return v.Value&d.Mask == w.Value }) {
			return false
		}
	}
	return true
}

// alternatives is what an own profile can allow of a bounded call, in words.
func (b bound) alternatives() string {
	var out []string
	for _, a := range b.within {
		var parts []string
		for _, c := range a {
			parts = append(parts, c.String())
		}
		out = append(out, strings.Join(parts, " and "))
	}
	return strings.Join(out, "; or ")
}

// NeverValues are arguments with which a call can be allowed by no profile: call → sets
// of arguments. Others that a set does not name may be anything.
func NeverValues() map[string][]map[uint]Value {
	out := map[string][]map[uint]Value{}
	all, err := bounds()
	if err != nil {
		return out // embedded: TestBounds holds that it can be read
	}
	for call, b := range all {
		for _, n := range b.never {
			for _, v := range n.Any {
				out[call] = append(out[call], map[uint]Value{n.Arg: v})
			}
		}
	}
	return out
}
