package mcpwire

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

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
	for n, v := range strictjson.Members(object) {
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
