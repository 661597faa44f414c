package result

import (
	"bytes"
	"errors"
)

// What follows walks over text that strictjson wrote: no white space, one
// spelling of each string, no duplicates. It works with places in the text, so
// that a string can be replaced and all else stays as it is.

// errNotStrict is a bug of the caller's: the text did not come from strictjson.
var errNotStrict = errors.New("the result was not read by strictjson")

// span is a value, or the inside of a name, in the raw text.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

// members calls do for each member of the object at v, with the span of its name
// without quotes.
func members(b []byte, v span, do func(name, value span) error) error {
	i := v.from + 1
	if v.to-v.from < 2 || b[v.from] != '{' || b[v.to-1] != '}' {
		return errNotStrict
	}
	for first := true; i < v.to-1; first = false {
		if !first {
			if b[i] != ',' {
				return errNotStrict
			}
			i++
		}
		colon := stringEnd(b, i)
		if b[i] != '"' || colon >= v.to-1 || b[colon] != ':' {
			return errNotStrict
		}
		end := valueEnd(b, colon+1)
		if end > v.to-1 || end == colon+1 {
			return errNotStrict
		}
		if err := do(span{i + 1, colon - 1}, span{colon + 1, end}); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// elements calls do for each element of the array at v.
func elements(b []byte, v span, do func(value span) error) error {
	i := v.from + 1
	if v.to-v.from < 2 || b[v.from] != '[' || b[v.to-1] != ']' {
		return errNotStrict
	}
	for first := true; i < v.to-1; first = false {
		if !first {
			if b[i] != ',' {
				return errNotStrict
			}
			i++
		}
		end := valueEnd(b, i)
		if end > v.to-1 || end == i {
			return errNotStrict
		}
		if err := do(span{i, end}); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// valueEnd returns the index behind the value that starts at b[i].
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// stringEnd returns the index behind the string that starts at b[i].
func stringEnd(b []byte, i int) int {
	for j := i + 1; j <= len(b); j++ {
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
	return len(b)
}

// kind is the first byte of a value, with one for all numbers; 0 is no value.
func kind(b []byte, v span) byte {
	if v.from >= v.to {
		return 0
	}
	c := b[v.from]
	if c == '-' || '0' <= c && c <= '9' {
		return '0'
	}
	return c
}
