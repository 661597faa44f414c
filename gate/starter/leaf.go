package starter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/strictjson"
)

const (
	// maxLeaves bounds the arguments of one tool that get a check of their own:
	// server.yaml takes 128 checks, and nobody reads more.
	maxLeaves = 100
	// maxDeep bounds how deep a schema is followed; real ones stop at five.
	maxDeep = 10
)

// leaf is a place in the arguments where a tool takes text.
type leaf struct {
	at     string   // as server.yaml has it: a name or a pointer
	top    string   // the argument that it is in
	name   []string // the words of its own name
	about  string   // its description
	format string
	value  string // the first default or example
	packed bool   // holds bytes, as base64
	open   bool   // an object or a list that may hold anything
}

// last is the word of a name that says what it is: a file in outputFile.
func (l leaf) last() string {
	if len(l.name) == 0 {
		return ""
	}
	w := l.name[len(l.name)-1]
	if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
		w = strings.TrimSuffix(w, "s")
	}
	return w
}

// is reports whether the name ends in one of the words.
func (l leaf) is(list string) bool { return has(list, l.last()) }

func has(list, word string) bool { return word != "" && slices.Contains(strings.Fields(list), word) }

// hasAny returns the first word of a name that is in the list.
func hasAny(name []string, list string) string {
	for _, w := range name {
		if has(list, w) {
			return w
		}
	}
	return ""
}

// decode reads a definition that the gate has judged.
func decode(def jsontext.Value) map[string]any {
	v, err := strictjson.Decode(def)
	if err != nil {
		return nil
	}
	obj, _ := v.(map[string]any)
	return obj
}

// leaves finds the places where text is taken, in the order of their names; whole is
// false if there are more than are looked at.
func leaves(def map[string]any) (out []leaf, whole bool) {
	input, _ := def["inputSchema"].(map[string]any)
	w := walker{root: input, seen: map[string]bool{}, whole: true}
	w.walk(input, nil, 0)
	return w.found, w.whole
}

type walker struct {
	root  map[string]any
	seen  map[string]bool
	found []leaf
	whole bool
}

func (w *walker) walk(s map[string]any, at []string, depth int) {
	if s == nil {
		return
	}
	if depth > maxDeep || len(w.found) >= maxLeaves {
		w.whole = false
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		w.walk(w.resolve(ref), at, depth+1)
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := s[key].([]any)
		for _, one := range list {
			branch, _ := one.(map[string]any)
			w.walk(inherit(branch, s), at, depth+1)
		}
	}
	for _, key := range []string{"then", "else"} {
		branch, _ := s[key].(map[string]any)
		w.walk(branch, at, depth+1)
	}
	if len(at) > 0 {
		w.note(s, at)
	}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		below, _ := properties[name].(map[string]any)
		w.walk(below, append(slices.Clone(at), name), depth+1)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if below, ok := s[key].(map[string]any); ok && len(at) > 0 {
			w.walk(inherit(below, s), append(slices.Clone(at), "*"), depth+1)
		}
	}
	list, _ := s["prefixItems"].([]any)
	for _, one := range list {
		below, _ := one.(map[string]any)
		w.walk(inherit(below, s), append(slices.Clone(at), "*"), depth+1)
	}
}

// inherit adds to a description that of what it is a part of.
func inherit(s, of map[string]any) map[string]any {
	above, _ := of["description"].(string)
	if s == nil || above == "" {
		return s
	}
	own, _ := s["description"].(string)
	out := maps.Clone(s)
	out["description"] = strings.TrimSpace(own + " " + above)
	return out
}

// resolve follows a reference inside the schema.
func (w *walker) resolve(ref string) map[string]any {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	var at any = w.root
	for token := range jsontext.Pointer(rest).Tokens() {
		obj, _ := at.(map[string]any)
		at = obj[token]
	}
	obj, _ := at.(map[string]any)
	return obj
}

// note keeps a schema that takes text of its own choice.
func (w *walker) note(s map[string]any, at []string) {
	_, chosen := s["enum"]
	_, fixed := s["const"]
	takes := types(s)
	open := slices.Contains(takes, "object") && s["properties"] == nil || slices.Contains(takes, "array") && s["items"] == nil && s["prefixItems"] == nil
	if chosen || fixed || !open && !slices.Contains(takes, "string") {
		return
	}
	l := leaf{at: pointer(at), top: at[0], open: open}
	if w.seen[l.at] {
		return
	}
	w.seen[l.at] = true
	for _, token := range slices.Backward(at) {
		if token != "*" {
			l.name = gate.Words(token)
			break
		}
	}
	l.about, _ = s["description"].(string)
	l.format, _ = s["format"].(string)
	_, l.packed = s["contentEncoding"]
	l.value, _ = s["default"].(string)
	if examples, ok := s["examples"].([]any); ok && l.value == "" && len(examples) > 0 {
		l.value, _ = examples[0].(string)
	}
	w.found = append(w.found, l)
}

// types are the kinds of values that a schema takes by its own word; one that says
// nothing and has no parts takes anything, text too.
func types(s map[string]any) []string {
	switch t := s["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var out []string
		for _, one := range t {
			out = append(out, fmt.Sprint(one))
		}
		return out
	}
	for _, key := range []string{"$ref", "anyOf", "oneOf", "allOf", "properties", "items", "not", "if"} {
		if _, parts := s[key]; parts {
			return nil
		}
	}
	return []string{"string"}
}

// pointer is a name where that is enough.
func pointer(at []string) string {
	if len(at) == 1 && at[0] != "" && at[0][0] != '/' && at[0] != "*" {
		return at[0]
	}
	var p jsontext.Pointer
	for _, token := range at {
		p = p.AppendToken(token)
	}
	return string(p)
}
