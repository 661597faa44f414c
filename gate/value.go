package gate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/lock"
)

// maxExponent bounds the exponent of a number. Doubles end at 308; beyond a
// million the exact arithmetic of the schema library gives up in a panic, and
// before that it writes out every zero.
const maxExponent = 400

// size is what bounds the work of judging a decoded value.
type size struct {
	values int
	depth  int // of a scalar 0
	fault  error
}

// measure counts a decoded value and finds numbers that must not be computed with.
func measure(v any) size {
	s := size{values: 1}
	switch v := v.(type) {
	case json.Number:
		s.fault = checkExponent(string(v))
	case []any:
		for _, item := range v {
			s.nest(measure(item))
		}
		s.depth++
	case map[string]any:
		for _, item := range v {
			s.nest(measure(item))
		}
		s.depth++
	}
	return s
}

func (s *size) nest(inner size) {
	s.values += inner.values
	s.depth = max(s.depth, inner.depth)
	if s.fault == nil || inner.fault != nil && inner.fault.Error() < s.fault.Error() {
		s.fault = inner.fault // the same one whatever the order of a map
	}
}

func checkExponent(number string) error {
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return nil
	}
	exp, err := strconv.Atoi(strings.TrimPrefix(number[i+1:], "+"))
	if err != nil || exp > maxExponent || exp < -maxExponent {
		return fmt.Errorf("number %s has an exponent beyond %d", shown(number), maxExponent)
	}
	return nil
}

// typeName is the JSON type of v with its article.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}

// kindName is typeName of a value that was not decoded.
func kindName(v jsontext.Value) string {
	switch v.Kind() {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return "an object"
}

// visible shows server text in a message.
func visible(s string) string { return lock.Visible(s) }
