package gate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxPlaces bounds the sets of schemas that apply together at one kind of place.
// Real schemas have as many as they have objects.
const maxPlaces = 10_000

// place says which names an object may have at one kind of place in the
// arguments. Most authors name the properties and forget to say that there are
// no others; JSON Schema then lets any name through, and with it whatever a
// server reads that its schema does not show.
type place struct {
	open  bool              // other names are allowed
	names map[string]*place // nil values: nothing to check below
	match []*regexp.Regexp  // names that patternProperties allow
	rest  *place            // of names that are not in names
	items *place            // of elements of an array
}

// declared computes the places of a schema. The root is closed unless it says
// otherwise: an argument object that names no properties takes no arguments.
func declared(g *graph) (top *place, why string) {
	b := &placer{memo: map[string]*place{}, patterns: map[string]*regexp.Regexp{}}
	top = b.place([]*node{g.nodes[0]}, true)
	return top, b.why
}

type placer struct {
	memo     map[string]*place
	patterns map[string]*regexp.Regexp // nil values: cannot be run
	why      string
}

// pattern compiles a pattern once.
func (b *placer) pattern(p string) *regexp.Regexp {
	re, ok := b.patterns[p]
	if !ok {
		re, _ = translate(p)
		b.patterns[p] = re
	}
	return re
}

// place returns what the schemas of set say together, nil if they say nothing.
func (b *placer) place(set []*node, root bool) *place {
	if len(set) == 0 || b.why != "" {
		return nil
	}
	key := setKey(set)
	if p, ok := b.memo[key]; ok && !root {
		return p
	}
	if len(b.memo) >= maxPlaces {
		b.why = "too many combinations of schemas apply to one value"
		return nil
	}
	all := inPlace(set)
	p := &place{open: !root, names: map[string]*place{}}
	if !root {
		if !leadsDown(all) {
			b.memo[key] = nil
			return nil
		}
		b.memo[key] = p // before its members: schemas are recursive
	}
	var closed bool
	for _, n := range all {
		closed = closed || namesMembers(n)
	}
	if closed && !slices.ContainsFunc(all, freeChoice) {
		p.open = false
	}
	if root {
		p.open = false
	}
	for _, n := range all {
		p.open = p.open || saysOpen(n)
	}
	b.fill(p, all)
	return p
}

// fill computes the places one level down.
func (b *placer) fill(p *place, all []*node) {
	var patterns []edge
	var others, items []*node
	named := map[string][]*node{}
	for _, n := range all {
		for _, e := range n.edges {
			switch e.relation {
			case member:
				named[e.token] = append(named[e.token], e.to)
			case pattern:
				patterns = append(patterns, e)
				others = append(others, e.to)
			case rest:
				others = append(others, e.to)
			case item:
				items = append(items, e.to)
			}
		}
	}
	for _, e := range patterns {
		if re := b.pattern(e.token); re != nil {
			p.match = append(p.match, re)
		} else {
			p.open = true // such a tool waits for a human anyway
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		set := named[name]
		for _, n := range all {
			set = append(set, b.alsoApplies(n, name)...)
		}
		p.names[name] = b.place(set, false)
	}
	p.rest = b.place(others, false)
	p.items = b.place(items, false)
}

// alsoApplies returns the schemas that n holds against the member name besides
// the one of that name: of its patterns and, where it does not name it, of the rest.
func (b *placer) alsoApplies(n *node, name string) []*node {
	var out, others []*node
	known := false
	for _, e := range n.edges {
		switch e.relation {
		case member:
			known = known || e.token == name
		case pattern:
			if re := b.pattern(e.token); re == nil || re.MatchString(name) {
				known = true
				out = append(out, e.to)
			}
		case rest:
			others = append(others, e.to)
		}
	}
	if !known {
		out = append(out, others...)
	}
	return out
}

// inPlace returns the schemas that may apply to a value to which those of set
// do, both branches of every condition included. What stands under `not` names
// nothing.
func inPlace(set []*node) []*node {
	var all []*node
	seen := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		all = append(all, n)
		for _, e := range n.edges {
			if e.relation == here || e.relation == choice {
				visit(e.to)
			}
		}
	}
	for _, n := range set {
		visit(n)
	}
	return all
}

func setKey(set []*node) string {
	ids := make([]int, len(set))
	for i, n := range set {
		ids[i] = n.id
	}
	slices.Sort(ids)
	return fmt.Sprint(slices.Compact(ids))
}

func leadsDown(all []*node) bool {
	for _, n := range all {
		for _, e := range n.edges {
			if e.relation >= member && e.relation <= item && e.relation != keys {
				return true
			}
		}
	}
	return false
}

// namesMembers reports whether n lists names, so that others look unintended.
func namesMembers(n *node) bool {
	return slices.ContainsFunc(n.edges, func(e edge) bool { return e.relation == member || e.relation == pattern })
}

// saysOpen reports whether n says itself that other names are allowed.
func saysOpen(n *node) bool {
	return slices.ContainsFunc(n.edges, func(e edge) bool { return e.relation == rest && !e.to.never })
}

// freeChoice reports whether one alternative of n is an object of any content,
// such as {"type":"object"} or {}.
func freeChoice(n *node) bool {
	return slices.ContainsFunc(n.edges, func(e edge) bool { return e.relation == choice && free(e.to) })
}

func free(n *node) bool {
	if n.obj == nil {
		return !n.never
	}
	for key, v := range n.obj {
		switch key {
		case "type":
			if types, ok := v.([]any); v != "object" && (!ok || !slices.Contains(types, any("object"))) {
				return false
			}
		case "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment":
		default:
			return false
		}
	}
	return true
}

// undeclared finds a name in v that no schema declares: where, and the names that
// are declared there. Of several it takes the first in order, so that the answer
// does not depend on how a map is walked.
func (p *place) undeclared(v any) (at []string, known []string, found bool) {
	if p == nil {
		return nil, nil, false
	}
	switch v := v.(type) {
	case map[string]any:
		return p.undeclaredMember(v)
	case []any:
		if p.items == nil {
			return nil, nil, false
		}
		for i, item := range v {
			if at, known, found := p.items.undeclared(item); found {
				return append([]string{fmt.Sprint(i)}, at...), known, true
			}
		}
	}
	return nil, nil, false
}

func (p *place) undeclaredMember(obj map[string]any) (at, known []string, found bool) {
	var first string
	for name, v := range obj {
		if found && name >= first {
			continue
		}
		below, declared := p.names[name]
		if !declared {
			if !p.open && !p.matches(name) {
				first, at, known, found = name, []string{name}, slices.Sorted(maps.Keys(p.names)), true
				continue
			}
			below = p.rest
		}
		if a, k, bad := below.undeclared(v); bad {
			first, at, known, found = name, append([]string{name}, a...), k, true
		}
	}
	return at, known, found
}

func (p *place) matches(name string) bool {
	return slices.ContainsFunc(p.match, func(re *regexp.Regexp) bool { return re.MatchString(name) })
}

// undeclaredAt words the violation.
func undeclaredAt(at, known []string) *violation {
	v := &violation{rule: RuleUndeclared, reason: fmt.Sprintf("%s is not declared", shown(pointer(at)))}
	if len(known) == 0 {
		v.hint = "nothing is accepted there: send an empty object"
		return v
	}
	for _, name := range known {
		if glyphName(name) == glyphName(at[len(at)-1]) {
			v.hint = fmt.Sprintf("did you mean %s? ", shown(name))
		}
	}
	v.hint += "declared are " + shorten(strings.Join(known, ", "))
	return v
}

func pointer(tokens []string) string {
	var p jsontext.Pointer
	for _, t := range tokens {
		p = p.AppendToken(t)
	}
	return string(p)
}

// maxHint bounds what a hint takes from a schema, so that a refusal stays short.
const maxHint = 400

func shorten(s string) string {
	s = visible(s)
	if len(s) <= maxHint {
		return s
	}
	return strings.ToValidUTF8(s[:maxHint], "") + "…"
}
