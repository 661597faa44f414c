package argument

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Pointer says which values of a call's arguments a check is for: the name of one,
// or a JSON Pointer (RFC 6901) in which * is every item of an array. The zero
// Pointer is for all of them.
type Pointer struct {
	text  string
	steps []string
}

// maxPointer bounds a pointer: deeper arguments than any server has.
const maxPointer = 16

// ParsePointer reads a name, or a pointer that begins with a slash.
func ParsePointer(s string) (Pointer, error) {
	if s == "" {
		return Pointer{}, fmt.Errorf("a pointer is empty; write the argument's name")
	}
	if !strings.HasPrefix(s, "/") {
		return Pointer{s, []string{s}}, nil
	}
	var steps []string
	for step := range jsontext.Pointer(s).Tokens() {
		steps = append(steps, step)
	}
	if !jsontext.Pointer(s).IsValid() || len(steps) == 0 {
		return Pointer{}, fmt.Errorf("%q is no JSON Pointer: write / and a name, with ~1 for / and ~0 for ~", s)
	}
	if len(steps) > maxPointer {
		return Pointer{}, fmt.Errorf("a pointer of %d steps; at most %d", len(steps), maxPointer)
	}
	return Pointer{s, steps}, nil
}

// Covers reports whether the pointer leads to or into the argument with that name.
func (p Pointer) Covers(name string) bool {
	return len(p.steps) == 0 || p.steps[0] == name || p.steps[0] == "*"
}

// All reports whether the pointer leads to every argument.
func (p Pointer) All() bool { return len(p.steps) == 0 || len(p.steps) == 1 && p.steps[0] == "*" }

// Steps are the names on the way, * for every one.
func (p Pointer) Steps() []string { return slices.Clone(p.steps) }

func (p Pointer) String() string { return p.text }

// Values returns what stands in args where the pointer leads. Where a value ends the
// way early, it is what the tool will take for the rest, and is returned itself.
func (p Pointer) Values(args map[string]any) []any {
	values := []any{args}
	for _, step := range p.steps {
		var next []any
		for _, v := range values {
			next = append(next, descend(v, step)...)
		}
		values = next
	}
	return values
}

func descend(v any, step string) []any {
	switch v := v.(type) {
	case map[string]any:
		if step == "*" {
			var all []any
			for _, name := range slices.Sorted(maps.Keys(v)) {
				all = append(all, v[name])
			}
			return all
		}
		if item, ok := v[step]; ok {
			return []any{item}
		}
		return nil
	case []any:
		if step == "*" {
			return v
		}
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(v) {
			return v[i : i+1]
		}
		return v // an array where one value was expected: each of its items counts
	}
	return []any{v}
}
