package sql

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// The parser's tree is JSON: a node of any type is an object of one member, the
// type's name, which begins with a capital ({"RangeVar":{…}}); a node where only
// one type can stand is its fields alone.

// value is a part of the tree: an object, a list, or a word.
type value struct {
	fields []field
	list   []value
	word   string
	kind   byte // '{', '[', '"' of a string, 0 of anything else
}

type field struct {
	name string
	value
}

// maxNodes bounds the values of one tree: some ten a byte of the longest text is
// more than any statement makes.
const maxNodes = 400_000

// maxNesting bounds the depth of the tree, which is walked by recursion. JSON
// itself ends at 10 000 with this decoder.
const maxNesting = 9_000

var errTree = errors.New("the tree is too large")

type treeReader struct {
	dec  *jsontext.Decoder
	left int
}

// readTree decodes strictly: two equal names in one object, or bytes that are no
// UTF-8, are errors.
func readTree(text []byte) (value, error) {
	r := treeReader{dec: jsontext.NewDecoder(bytes.NewBuffer(text)), left: maxNodes}
	v, err := r.value()
	if err != nil {
		return value{}, err
	}
	if r.dec.InputOffset() != int64(len(text)) {
		return value{}, errors.New("there is more after the tree")
	}
	return v, nil
}

func (r *treeReader) value() (value, error) {
	if r.left--; r.left < 0 || r.dec.StackDepth() > maxNesting {
		return value{}, errTree
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		return value{}, fmt.Errorf("reading the tree: %w", err)
	}
	switch t.Kind() {
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		return value{word: t.String(), kind: '"'}, nil
	}
	return value{word: t.String()}, nil
}

func (r *treeReader) object() (value, error) {
	v := value{kind: '{'}
	for r.dec.PeekKind() != '}' {
		t, err := r.dec.ReadToken()
		if err != nil {
			return value{}, fmt.Errorf("reading the tree: %w", err)
		}
		name := t.String() // before the next token, which reuses its bytes
		inner, err := r.value()
		if err != nil {
			return value{}, err
		}
		if name != "location" && name != "stmt_location" && name != "stmt_len" {
			v.fields = append(v.fields, field{name, inner})
		}
	}
	_, err := r.dec.ReadToken()
	return v, err
}

func (r *treeReader) array() (value, error) {
	v := value{kind: '['}
	for r.dec.PeekKind() != ']' {
		inner, err := r.value()
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, inner)
	}
	_, err := r.dec.ReadToken()
	return v, err
}

// get is the field of that name, or nothing.
func (v value) get(name string) value {
	for _, f := range v.fields {
		if f.name == name {
			return f.value
		}
	}
	return value{}
}

func (v value) has(name string) bool {
	for _, f := range v.fields {
		if f.name == name {
			return true
		}
	}
	return false
}

// node is the type and the fields of a node of any type.
func (v value) node() (kind string, fields value) {
	if len(v.fields) == 1 && isNode(v.fields[0].name) {
		return v.fields[0].name, v.fields[0].value
	}
	return "", value{}
}

// names are the words of a list of String nodes, as the parts of a name.
func (v value) names() []string {
	var words []string
	for _, e := range v.list {
		if kind, s := e.node(); kind == "String" {
			words = append(words, s.get("sval").word)
		}
	}
	return words
}

func isNode(name string) bool { return name != "" && 'A' <= name[0] && name[0] <= 'Z' }
