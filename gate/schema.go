package gate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is a compiled input or output schema. It is safe for concurrent use.
type schema struct {
	compiled *jsonschema.Schema
	names    *place // nil for an output schema: a result may say more than declared
	cost     cost
}

// dialectOf returns the draft that a root schema is written in. A missing
// $schema means 2020-12 (MCP 2025-11-25, basic: "JSON Schema usage").
func dialectOf(root map[string]any) (*jsonschema.Draft, bool) {
	v, ok := root["$schema"]
	if !ok {
		return jsonschema.Draft2020, true
	}
	name, ok := v.(string)
	if !ok {
		return nil, false
	}
	name = strings.TrimSuffix(name, "#")
	for _, scheme := range []string{"http://", "https://"} {
		switch strings.TrimPrefix(name, scheme) {
		case "json-schema.org/draft-07/schema":
			return jsonschema.Draft7, true
		case "json-schema.org/draft/2019-09/schema":
			return jsonschema.Draft2019, true
		case "json-schema.org/draft/2020-12/schema":
			return jsonschema.Draft2020, true
		}
	}
	return nil, false
}

// inputSchema judges the schema of the arguments.
func (l *linter) inputSchema(def map[string]any) {
	v, ok := def["inputSchema"]
	if !ok {
		l.add(Block, LintSchema, "/inputSchema", "is missing")
		return
	}
	root, ok := v.(map[string]any)
	if !ok {
		l.add(Block, LintSchema, "/inputSchema", "is %s, not an object", typeName(v))
		return
	}
	if root["type"] != "object" {
		l.add(Block, LintSchema, "/inputSchema/type", `is not "object"`)
		return
	}
	l.input = l.schema("/inputSchema", root, true)
}

// outputSchema judges the schema of the structured result, if there is one.
func (l *linter) outputSchema(def map[string]any) {
	v, ok := def["outputSchema"]
	if !ok || v == nil {
		return
	}
	root, ok := v.(map[string]any)
	if !ok {
		l.add(Block, LintSchema, "/outputSchema", "is %s, not an object", typeName(v))
		return
	}
	l.output = l.schema("/outputSchema", root, false)
}

// schema judges one root schema and compiles it; nil if it is unfit.
func (l *linter) schema(base jsontext.Pointer, root map[string]any, input bool) *schema {
	before := len(l.found)
	draft, ok := dialectOf(root)
	if !ok {
		l.add(Block, LintDialect, base+"/$schema", "this dialect is not known; use draft-07, 2019-09 or 2020-12")
		return nil
	}
	g := readGraph(base, root, func(rule string, at jsontext.Pointer, format string, args ...any) {
		l.add(Block, rule, at, format, args...)
	})
	l.dialects(g, draft)
	l.headers(g)
	l.patterns(g)
	if _, bad := blocking(l.found[before:]); bad {
		return nil
	}
	s, err := compile(g, root, draft, input)
	if err != nil {
		l.add(Block, LintSchema, base, "%v", err)
		return nil
	}
	return s
}

// dialects refuses a schema that switches dialect inside: the library stays with
// the root's.
func (l *linter) dialects(g *graph, draft *jsonschema.Draft) {
	for _, n := range g.nodes {
		if _, ok := n.obj["$schema"]; !ok || n.at == "" {
			continue
		}
		if d, ok := dialectOf(n.obj); !ok || d != draft {
			l.add(Block, LintDialect, g.base+n.at+"/$schema", "differs from the dialect of the whole schema")
		}
	}
}

// compile makes a schema of a graph in which nothing was wrong.
func compile(g *graph, root map[string]any, draft *jsonschema.Draft, input bool) (*schema, error) {
	s := new(schema)
	var why string
	if s.cost, why = costOf(g); why != "" {
		return nil, errors.New(why)
	}
	if input {
		if s.names, why = declared(g); why != "" {
			return nil, errors.New(why)
		}
	}
	doc := maps.Clone(root)
	delete(doc, "$schema") // the draft is set below
	delete(doc, "$id")     // no reference may use it, and a hostile one names a meta-schema
	if draft == jsonschema.Draft7 {
		doc = refSiblings(doc).(map[string]any)
	}
	var err error
	s.compiled, err = compileLibrary(doc, draft)
	return s, err
}

// rootURL names the one document of a compiler; nothing is loaded from it.
const rootURL = "urn:mcprun:schema"

// compileLibrary turns a panic into an error: definitions come from strangers,
// and a fault in the library must withhold one tool, not end the daemon.
func compileLibrary(doc map[string]any, draft *jsonschema.Draft) (compiled *jsonschema.Schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			compiled, err = nil, fmt.Errorf("compiling the schema: %v", r)
		}
	}()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(draft)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(engine)
	c.AssertFormat()
	for _, name := range annotationFormats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	if err := c.AddResource(rootURL, doc); err != nil {
		return nil, fmt.Errorf("compiling the schema: %w", err)
	}
	compiled, err = c.Compile(rootURL)
	if err != nil {
		return nil, explainCompile(err)
	}
	return compiled, nil
}

// noLoader refuses every reference to another document.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is another document; nothing is loaded", shown(url))
}

// annotationFormats are the formats that are not asserted. Of all formats only
// date, uuid, ipv4 and ipv6 are: all readers agree on these. For the others
// servers take more than the standards say (a time without a zone, a bare host
// name for a URL), and a refusal here would be of calls that work.
var annotationFormats = [...]string{"json-pointer", "relative-json-pointer", "duration", "period", "hostname", "email", "time", "date-time",
	"uri", "iri", "uri-reference", "iri-reference", "uri-template", "semver"}

// refSiblings rewrites {"$ref": r, …} to {"allOf": [{"$ref": r}], …} wherever
// something stands beside a $ref. Draft-07 says to ignore it; authors and the
// common JavaScript validator do not.
func refSiblings(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = refSiblings(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			if key == "enum" || key == "const" || key == "default" || key == "examples" {
				out[key] = inner // values, not schemas
			} else {
				out[key] = refSiblings(inner)
			}
		}
		ref, isRef := v["$ref"].(string)
		if all, ok := out["allOf"].([]any); isRef && len(v) > 1 && (ok || out["allOf"] == nil) {
			delete(out, "$ref")
			out["allOf"] = append(slices.Clip(all), map[string]any{"$ref": ref}) // at the end: indices stay
		}
		return out
	}
	return v
}

// check holds v against the schema; nil is no fault.
func (s *schema) check(v any) *violation {
	size := measure(v)
	if size.fault != nil {
		return &violation{rule: RuleSchemaInvalid, reason: size.fault.Error(), hint: "write the number out"}
	}
	if !s.cost.within(size) {
		return &violation{rule: RuleTooCostly, reason: fmt.Sprintf("%d values nested %d deep take too long to hold against this schema", size.values, size.depth), hint: "send less, or nest it less deeply"}
	}
	if at, known, found := s.names.undeclared(v); found {
		return undeclaredAt(at, known)
	}
	return s.validate(v)
}

// faults are what the library finds, each at its place; none if it fails.
func (s *schema) faults(v any) (out []fault) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	var bad *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(v), &bad) {
		return nil
	}
	return leaves(bad, v)
}

// validate runs the library; a panic in it refuses the value.
func (s *schema) validate(v any) (out *violation) {
	defer func() {
		if r := recover(); r != nil {
			out = &violation{rule: RuleSchemaInvalid, reason: "the value could not be held against the schema"}
		}
	}()
	err := s.compiled.Validate(v)
	if err == nil {
		return nil
	}
	var fault *jsonschema.ValidationError
	if !errors.As(err, &fault) {
		return &violation{rule: RuleSchemaInvalid, reason: err.Error()}
	}
	return explain(fault, v)
}
