package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// object is a mapping whose keys the schema knows. Its methods set a field if the
// key is there and readable, and report what is not.
type object struct {
	r      *report
	path   string
	fields map[string]node
}

// openObject checks the keys of n against the schema at schemaPath.
func openObject(r *report, schemaPath, path string, n node) object {
	o := object{r, path, map[string]node{}}
	switch n.kind {
	case badKind:
		r.bad[path] = true
		return o
	case mapKind:
	default:
		p := wrongKind(n, "a mapping of keys to values", r.keys.known[schemaPath][0]+": …")
		r.fail(path, p.fix, "%s", p.what)
		return o
	}
	known := r.keys.known[schemaPath]
	for _, p := range n.pairs {
		full, name := join(schemaPath, p.key.text), join(path, keyName(p.key.text))
		r.where[name] = place{p.key.pos, join(r.at(path).key, keyName(p.key.text))}
		if fix, ok := r.keys.later[full]; ok {
			r.fail(name, fix, "is not supported yet")
			openLater(r, full, name, p.value)
			continue
		}
		if !slices.Contains(known, p.key.text) {
			reportUnknown(r, name, p.key.text, known)
			continue
		}
		r.where[name] = place{p.value.pos, r.where[name].key}
		o.fields[p.key.text] = p.value
	}
	return o
}

// openLater names the parts of a key that is not built, so that each is an error
// of its own.
func openLater(r *report, schemaPath, path string, n node) {
	for _, p := range n.pairs {
		fix, ok := r.keys.later[join(schemaPath, p.key.text)]
		if !ok {
			continue
		}
		name := join(path, p.key.text)
		r.errs = append(r.errs, Error{Line: p.key.line, Col: p.key.col, Key: name, What: "is not supported yet", Fix: fix})
	}
}

func reportUnknown(r *report, path, name string, known []string) {
	fix := "take it out; known here: " + strings.Join(known, ", ")
	if meant := suggest(name, known); meant != "" {
		fix = fmt.Sprintf("did you mean %s?", meant)
	}
	r.fail(path, fix, "unknown key")
}

var simpleName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// keyName is a key as part of a path: quoted if it could be mistaken for more
// than one part, or would not print.
func keyName(s string) string {
	if simpleName.MatchString(s) {
		return s
	}
	return show(s)
}

// take returns the value of a key and the path to report under.
func (o object) take(name string) (n node, path string, ok bool) {
	n, ok = o.fields[name]
	path = join(o.path, name)
	if ok && n.kind == badKind {
		o.r.bad[path] = true
		return n, path, false
	}
	return n, path, ok
}

// need reports that a key is missing.
func (o object) need(name, fix string) {
	if _, ok := o.fields[name]; !ok {
		o.r.fail(join(o.path, name), fix, "is missing")
	}
}

// set reads the scalar under a key with read and keeps it in dst.
func set[T any](o object, name string, dst *T, read func(node) (T, problem)) {
	if n, path, ok := o.take(name); ok {
		setAt(o.r, path, n, dst, read)
	}
}

func setAt[T any](r *report, path string, n node, dst *T, read func(node) (T, problem)) {
	if n.kind == badKind {
		r.bad[path] = true
		return
	}
	v, p := read(n)
	if !p.none() {
		r.fail(path, p.fix, "%s", p.what)
		return
	}
	*dst = v
}

func textLike(example string) func(node) (string, problem) {
	return func(n node) (string, problem) { return readText(n, example) }
}

func intLike(example string) func(node) (int64, problem) {
	return func(n node) (int64, problem) { return readInt(n, example) }
}

func (o object) text(name, example string, dst *string)   { set(o, name, dst, textLike(example)) }
func (o object) number(name, example string, dst *int64)  { set(o, name, dst, intLike(example)) }
func (o object) size(name string, dst *int64)             { set(o, name, dst, readSize) }
func (o object) duration(name string, dst *time.Duration) { set(o, name, dst, readDuration) }
func (o object) bool(name string, dst *bool)              { set(o, name, dst, readBool) }

// object opens the mapping under a key; without one it is empty.
func (o object) object(name string) object {
	n, path, ok := o.take(name)
	if !ok {
		return object{o.r, path, nil}
	}
	return openObject(o.r, path, path, n)
}

// list returns the entries of the list under a key.
func (o object) list(name, example string) []node {
	n, path, ok := o.take(name)
	if !ok {
		return nil
	}
	if n.kind != listKind {
		p := wrongKind(n, "a list", example)
		o.r.fail(path, p.fix, "%s", p.what)
	}
	return n.items
}

// named returns the entries of a mapping whose keys the file chooses.
func (o object) named(name, example string) []pair {
	n, path, ok := o.take(name)
	if !ok {
		return nil
	}
	if n.kind != mapKind {
		p := wrongKind(n, "a mapping", example)
		o.r.fail(path, p.fix, "%s", p.what)
	}
	return n.pairs
}
