package mcpwire

import (
	"bytes"
	"iter"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// members walks over the members of an object that strictjson wrote: no white
// space, no duplicates, one spelling of each name. Names come without their
// quotes and still escaped; no name that MCP knows needs an escape. Nothing is
// copied. It ends early at anything else, so that a value from elsewhere lacks
// members rather than gains them.
func members(object []byte) iter.Seq2[[]byte, jsontext.Value] {
	return func(yield func([]byte, jsontext.Value) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for i := 1; i < len(object) && object[i] == '"'; i++ {
			colon := stringEnd(object, i)
			if colon >= len(object) || object[colon] != ':' {
				return
			}
			end := valueEnd(object, colon+1)
			if end >= len(object) || !yield(object[i+1:colon-1], jsontext.Value(object[colon+1:end:end])) {
				return
			}
			if i = end; object[i] != ',' {
				return
			}
		}
	}
}

// valueEnd returns the index behind the value that starts at b[i].
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
		case ',':
			if depth == 0 {
				return i
			}
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		}
		i++
	}
	return i
}

// stringEnd returns the index behind the string that starts at b[i].
func stringEnd(b []byte, i int) int {
	for j := i + 1; ; j++ {
		n := bytes.IndexByte(b[j:], '"')
		if n < 0 {
			return len(b)
		}
		j += n
		escapes := 0
		for b[j-1-escapes] == '\\' { // ends at the opening quote at the latest
			escapes++
		}
		if escapes%2 == 0 {
			return j + 1
		}
	}
}

// member returns the member called name, nil if there is none.
func member(object []byte, name string) jsontext.Value {
	for n, v := range members(object) {
		if string(n) == name {
			return v
		}
	}
	return nil
}

// withMember returns a copy of object in which the member called name has the
// given value, or is gone if value is nil. Members whose names differ from it
// only in case go as well: some readers take them for it. What is no object is
// taken for an empty one.
func withMember(object jsontext.Value, name string, value jsontext.Value) jsontext.Value {
	out := append(make([]byte, 0, len(object)+len(name)+len(value)+len(`{"":,}`)), '{')
	add := func(n []byte, v jsontext.Value) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), n...), `":`...)
		out = append(out, v...)
	}
	for n, v := range members(object) {
		if !strings.EqualFold(string(n), name) {
			add(n, v)
		}
	}
	if value != nil {
		add([]byte(name), value)
	}
	return append(out, '}')
}

// unquote returns what a JSON string says.
func unquote(v jsontext.Value) string {
	if bytes.IndexByte(v, '\\') < 0 && len(v) >= 2 {
		return string(v[1 : len(v)-1])
	}
	s, _ := jsontext.AppendUnquote(nil, v) // strictjson has checked it
	return string(s)
}

// maxShown bounds how much of a sender's own text an error repeats.
const maxShown = 64

// shown is a member name as errors print it.
func shown(name []byte) string {
	s := unquote([]byte(`"` + string(name) + `"`))
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}
