package gate

import (
	"slices"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// maxSteps bounds how many schemas are tried for one value: a schema that
// doubles at every level ({"allOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/b"}]},
// or a tree whose every branch may hold another tree) turns a small message into
// hours. A step takes 0.2 µs, and 1.3 µs where it fails and is reported, so this
// is about a second at worst; an array of 300,000 strings still passes.
const maxSteps = 1_000_000

// maxAtOnce bounds the schemas that are tried on one value without going down
// into it. Real ones stay under 100; at this bound one scalar takes 2 ms.
const maxAtOnce = 10_000

// maxReach bounds the sum of maxAtOnce over the places of one schema, and with
// it the time that this computation takes itself.
const maxReach = 200_000

// cost[d] is the greatest number of schemas tried on all values along one path
// of length d.
type cost [strictjson.MaxDepth + 1]float64

// within reports whether a value of that size is checked in bounded time.
func (c *cost) within(s size) bool {
	return float64(s.values)*c[min(s.depth, len(c)-1)] <= maxSteps
}

// load counts what is tried at one kind of place in a value, and where each of
// these leads one level down.
type load struct {
	here  float64
	named map[string][]share // by key
	other []share            // whatever the key or index
}

type share struct {
	to    int
	times float64
}

// costOf computes the cost of checking a value against g; why says what is wrong
// if there is no bound.
func costOf(g *graph) (c cost, why string) {
	loads := make([]load, len(g.nodes))
	reach := 0
	for i, n := range g.nodes {
		counts, ok := atOnce(n)
		if !ok {
			return c, "a reference leads back to itself without going down into the value, or too many schemas apply at once at " + string(g.base+n.at)
		}
		if reach += len(counts); reach > maxReach {
			return c, "the schema is too intricate"
		}
		loads[i] = loadOf(counts)
	}
	now := make([]float64, len(loads))
	for d := range c {
		next := make([]float64, len(loads))
		for i, l := range loads {
			next[i] = l.here
			if d > 0 {
				next[i] += l.below(now)
			}
		}
		now = next
		c[d] = now[0]
	}
	return c, ""
}

// atOnce counts how often each schema is tried on the value that n is tried on.
// ok is false where that has no end or is beyond maxAtOnce.
func atOnce(n *node) (counts map[*node]float64, ok bool) {
	var order []*node
	state := map[*node]uint8{}
	if !sortInPlace(n, state, &order) {
		return nil, false
	}
	counts = map[*node]float64{n: 1}
	total := 0.0
	for _, m := range slices.Backward(order) {
		total += counts[m]
		for _, e := range m.edges {
			if e.relation <= negated {
				counts[e.to] += counts[m]
			}
		}
	}
	return counts, total <= maxAtOnce
}

// sortInPlace appends n after all that it leads to in place; false on a cycle.
func sortInPlace(n *node, state map[*node]uint8, order *[]*node) bool {
	const visiting, done = 1, 2
	switch state[n] {
	case visiting:
		return false
	case done:
		return true
	}
	state[n] = visiting
	for _, e := range n.edges {
		if e.relation <= negated && !sortInPlace(e.to, state, order) {
			return false
		}
	}
	state[n] = done
	*order = append(*order, n)
	return true
}

func loadOf(counts map[*node]float64) load {
	l := load{named: map[string][]share{}}
	for n, times := range counts {
		l.here += times
		for _, e := range n.edges {
			switch e.relation {
			case member:
				l.named[e.token] = append(l.named[e.token], share{e.to.id, times})
			case pattern, rest, keys, item:
				l.other = append(l.other, share{e.to.id, times})
			}
		}
	}
	return l
}

// below is the most that is tried one level down, given the cost of each schema there.
func (l *load) below(costs []float64) float64 {
	sum := func(list []share) (s float64) {
		for _, sh := range list {
			s += sh.times * costs[sh.to]
		}
		return s
	}
	most := 0.0
	for _, list := range l.named {
		most = max(most, sum(list))
	}
	return most + sum(l.other)
}
