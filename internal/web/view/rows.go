package view

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxDepth and maxRows are how far arguments are taken apart; what is deeper, or
	// comes after, is shown as JSON.
	maxDepth, maxRows = 4, 200
)

// Row is one argument, or one value inside of one.
type Row struct {
	Name  []Piece `json:"name"`
	Lines []Line  `json:"lines"`
	Edit  bool    `json:"edit,omitzero"` // the lines are a diff of two arguments
	Note  string  `json:"note,omitzero"`
}

// leaf is one value with the path to it.
type leaf struct {
	path, text string
	old        string // of an edit
	edit       bool
}

// pairs are the names under which tools take an edit: what is there, and what is to
// stand there instead.
var pairs = [][2]string{
	{"oldText", "newText"}, {"old_text", "new_text"}, {"old_string", "new_string"}, {"oldString", "newString"},
	{"old_str", "new_str"}, {"old", "new"}, {"search", "replace"}, {"before", "after"}, {"original", "replacement"},
}

// rows takes arguments apart in their own order.
func rows(args jsontext.Value) []Row {
	var out []Row
	for _, l := range leaves(nil, "", args, 0) {
		r := Row{Name: name(l.path)}
		switch {
		case l.edit:
			r.Edit, r.Lines = true, Diff(l.old, l.text)
		default:
			r.Lines = Text(l.text)
			if len(r.Lines) > 1 {
				r.Note = size(l.text)
			}
		}
		out = append(out, r)
	}
	return out
}

// leaves appends the values in v, the path to each with its own.
func leaves(dst []leaf, path string, v jsontext.Value, depth int) []leaf {
	switch {
	case len(v) == 0:
		return dst
	case v.Kind() == '"':
		return append(dst, leaf{path: path, text: text(v)})
	case depth > 0 && (depth >= maxDepth || len(dst) >= maxRows) || v.Kind() != '{' && v.Kind() != '[' || empty(v):
		return append(dst, leaf{path: path, text: pretty(v)})
	case v.Kind() == '[':
		for i, one := range elements(v) {
			dst = leaves(dst, path+"["+strconv.Itoa(i)+"]", one, depth+1)
		}
		return dst
	}
	all := members(v)
	if all == nil {
		return append(dst, leaf{path: path, text: string(v)})
	}
	p, paired := pair(all)
	for _, m := range all {
		switch {
		case paired && m.name == all[p.old].name:
			dst = append(dst, leaf{path: join(path, m.name) + " → " + all[p.new].name, old: text(m.value), text: text(all[p.new].value), edit: true})
		case paired && m.name == all[p.new].name:
		default:
			dst = leaves(dst, join(path, m.name), m.value, depth+1)
		}
	}
	return dst
}

type member struct {
	name  string
	value jsontext.Value
}

// members returns those of an object in its own order; nil where it is not to be
// read as one.
func members(object jsontext.Value) []member {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
		return nil
	}
	out := []member{}
	for d.PeekKind() == jsontext.KindString {
		t, err := d.ReadToken()
		if err != nil {
			return nil
		}
		m := member{name: t.String()}
		v, err := d.ReadValue()
		if err != nil {
			return nil
		}
		m.value = v.Clone()
		out = append(out, m)
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindEndObject {
		return nil
	}
	return out
}

type edit struct{ old, new int }

// pair finds the two members of an object that are an edit.
func pair(all []member) (edit, bool) {
	find := func(name string) int {
		return slices.IndexFunc(all, func(m member) bool { return m.name == name && m.value.Kind() == '"' })
	}
	for _, p := range pairs {
		if e := (edit{find(p[0]), find(p[1])}); e.old >= 0 && e.new >= 0 {
			return e, true
		}
	}
	return edit{}, false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func text(v jsontext.Value) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return string(v) // as it stands: it must be seen
	}
	return s
}

func pretty(v jsontext.Value) string {
	out := v.Clone()
	if out.Indent() != nil {
		return string(v)
	}
	return string(out)
}

func empty(v jsontext.Value) bool {
	return len(strings.Trim(string(v), "{}[] \t\r\n")) == 0
}

func elements(array jsontext.Value) []jsontext.Value {
	var out []jsontext.Value
	if json.Unmarshal(array, &out) != nil {
		return []jsontext.Value{array}
	}
	return out
}

// plain is all arguments as one text, for a diff of two calls.
func plain(args jsontext.Value) string {
	var b strings.Builder
	for _, l := range leaves(nil, "", args, 0) {
		if l.edit {
			plainLeaf(&b, l.path+" (old)", l.old)
			plainLeaf(&b, l.path+" (new)", l.text)
			continue
		}
		plainLeaf(&b, l.path, l.text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func plainLeaf(b *strings.Builder, path, text string) {
	b.WriteString(path)
	if strings.Contains(text, "\n") {
		b.WriteString(":\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n")
		return
	}
	b.WriteString(": " + text + "\n")
}
