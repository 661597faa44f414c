package gate

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// relation says how a schema leads to another one.
type relation uint8

const (
	here    relation = iota // the same value: allOf, if, then, else, $ref, dependentSchemas
	choice                  // the same value, one of several: anyOf, oneOf
	negated                 // the same value, must not: not
	member                  // the value of one named key
	pattern                 // the values of the keys that match
	rest                    // the values of other keys
	keys                    // the keys themselves
	item                    // the elements of an array
	aside                   // kept for references: $defs
)

// form says how a keyword holds its schemas.
type form uint8

const (
	single form = iota
	list
	either // one or a list
	named
)

// keyword is one keyword that holds schemas.
type keyword struct {
	name     string
	form     form
	relation relation
}

// keywords are those of draft-07, 2019-09 and 2020-12 together. A dialect that
// does not know one ignores it; reading it here all the same only finds more to
// judge and more names that are declared, and the schema library still enforces
// what the dialect says.
var keywords = [...]keyword{
	{"allOf", list, here}, {"if", single, here}, {"then", single, here}, {"else", single, here},
	{"dependentSchemas", named, here}, {"dependencies", named, here},
	{"anyOf", list, choice}, {"oneOf", list, choice}, {"not", single, negated},
	{"properties", named, member}, {"patternProperties", named, pattern},
	{"additionalProperties", single, rest}, {"unevaluatedProperties", single, rest}, {"propertyNames", single, keys},
	{"items", either, item}, {"prefixItems", list, item}, {"additionalItems", single, item},
	{"unevaluatedItems", single, item}, {"contains", single, item},
	{"$defs", named, aside}, {"definitions", named, aside}, {"contentSchema", single, aside},
}

// edge leads from a schema to another one.
type edge struct {
	relation relation
	token    string // the key or the pattern
	to       *node
}

// node is one schema.
type node struct {
	id    int
	at    jsontext.Pointer // within the root schema
	obj   map[string]any   // nil for a boolean schema
	never bool             // the schema false
	edges []edge
}

// graph is a root schema with every schema in it and every schema that a local
// reference reaches. It follows references itself because what it answers (which
// names are declared, how long a check may take) the schema library does not.
type graph struct {
	base  jsontext.Pointer // where the root stands in the definition, for messages
	root  any
	nodes []*node
	byAt  map[jsontext.Pointer]*node
	names map[string]jsontext.Pointer // anchors
	fault func(rule string, at jsontext.Pointer, format string, args ...any)
}

// readGraph reads a schema; what is wrong with it goes to fault.
func readGraph(base jsontext.Pointer, root any, fault func(rule string, at jsontext.Pointer, format string, args ...any)) *graph {
	g := &graph{base: base, root: root, byAt: map[jsontext.Pointer]*node{}, names: map[string]jsontext.Pointer{}}
	g.fault = func(rule string, at jsontext.Pointer, format string, args ...any) {
		fault(rule, base+at, format, args...)
	}
	g.read("", root)
	for i := 0; i < len(g.nodes); i++ { // grows as references reach further schemas
		g.references(g.nodes[i])
	}
	return g
}

// read adds the schema v and those inside it. Its depth is bounded by that of
// the definition.
func (g *graph) read(at jsontext.Pointer, v any) *node {
	if n, ok := g.byAt[at]; ok {
		return n
	}
	n := &node{id: len(g.nodes), at: at}
	g.nodes = append(g.nodes, n)
	g.byAt[at] = n
	switch v := v.(type) {
	case bool:
		n.never = !v
	case map[string]any:
		n.obj = v
		g.anchors(n)
		g.bounds(n)
		for _, k := range keywords {
			if held, ok := v[k.name]; ok {
				g.readKeyword(n, k, held)
			}
		}
	default:
		g.fault(LintSchema, at, "is %s, not a schema", typeName(v))
	}
	return n
}

func (g *graph) readKeyword(n *node, k keyword, held any) {
	at := n.at.AppendToken(k.name)
	if items, ok := held.([]any); ok && (k.form == list || k.form == either) {
		for i, v := range items {
			n.edges = append(n.edges, edge{k.relation, "", g.read(at.AppendToken(strconv.Itoa(i)), v)})
		}
		return
	}
	if members, ok := held.(map[string]any); ok && k.form == named {
		for _, key := range slices.Sorted(maps.Keys(members)) {
			if _, names := members[key].([]any); names && k.name == "dependencies" {
				continue // a list of keys
			}
			n.edges = append(n.edges, edge{k.relation, key, g.read(at.AppendToken(key), members[key])})
		}
		return
	}
	if k.form == single || k.form == either {
		n.edges = append(n.edges, edge{k.relation, "", g.read(at, held)})
		return
	}
	g.fault(LintSchema, at, "is %s, which this keyword cannot hold", typeName(held))
}

// anchors notes the names that references may use, and refuses what moves the
// base of references: then "#/$defs/a" would mean another place to the library
// and to whoever reads the schema.
func (g *graph) anchors(n *node) {
	if _, ok := n.obj["$id"]; ok && n.at != "" {
		g.fault(LintRef, n.at+"/$id", "an $id below the root changes what references mean")
	}
	for _, key := range []string{"$anchor", "$dynamicAnchor"} {
		if name, ok := n.obj[key].(string); ok {
			g.names[name] = n.at
		}
	}
}

// maxBound is the largest length or count in a schema: beyond 2^53 readers
// disagree, and the library keeps the low 64 bits only.
const maxBound = 1 << 53

// bounds refuses lengths and counts that the library would misread.
func (g *graph) bounds(n *node) {
	for _, key := range [...]string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"} {
		v, ok := n.obj[key]
		if !ok {
			continue
		}
		if f, err := strconv.ParseFloat(fmt.Sprint(v), 64); err == nil && f > maxBound {
			g.fault(LintSchema, n.at.AppendToken(key), "the bound %v is beyond 2^53", v)
		}
	}
}

// references adds the edges of n's references.
func (g *graph) references(n *node) {
	for _, key := range [...]string{"$ref", "$dynamicRef", "$recursiveRef"} {
		v, ok := n.obj[key]
		if !ok {
			continue
		}
		ref, ok := v.(string)
		if !ok {
			g.fault(LintRef, n.at.AppendToken(key), "is %s, not a string", typeName(v))
			continue
		}
		to, why := g.resolve(ref)
		if why != "" {
			g.fault(LintRef, n.at.AppendToken(key), "%s %s", shown(ref), why)
			continue
		}
		n.edges = append(n.edges, edge{here, "", to})
	}
}

// resolve finds the schema that a local reference names.
func (g *graph) resolve(ref string) (to *node, why string) {
	fragment, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, "leaves the definition: only references that start with # are followed"
	}
	fragment, err := url.PathUnescape(fragment)
	if err != nil {
		return nil, "is not a valid fragment"
	}
	if fragment != "" && fragment[0] != '/' {
		at, ok := g.names[fragment]
		if !ok {
			return nil, "names no anchor"
		}
		return g.byAt[at], ""
	}
	at, v := jsontext.Pointer(""), g.root
	for token := range jsontext.Pointer(fragment).Tokens() {
		if v, ok = child(v, token); !ok {
			return nil, "leads nowhere"
		}
		at = at.AppendToken(token)
	}
	return g.read(at, v), ""
}

// child returns the member or element of v that token names.
func child(v any, token string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		c, ok := v[token]
		return c, ok
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != token {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}
