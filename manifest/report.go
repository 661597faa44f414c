package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// pos is a place in the file; both count from 1.
type pos struct{ line, col int }

// place is where a key's value stands, and what the key is called there. The
// name can differ from the path: files[1] of the file is files[0] of the value
// if the first entry was the size of /tmp.
type place struct {
	pos
	key string
}

// report collects errors. Checks speak of paths (files[0].to); the decoder has
// said where in the file each path stands.
type report struct {
	errs  []Error
	where map[string]place
	bad   map[string]bool
	keys  keyTable // set by decode

	stopped bool // nothing is left that could be judged
}

func newReport() *report {
	return &report{where: map[string]place{}, bad: map[string]bool{}}
}

// syntax reports an error of the file rather than of a key.
func (r *report) syntax(p pos, what, fix string) {
	r.errs = append(r.errs, Error{Line: p.line, Col: p.col, What: what, Fix: fix})
}

// fail reports what is wrong with the value at path, unless that value or one
// that holds it is already known to be wrong: one mistake, one error.
func (r *report) fail(path, fix, format string, args ...any) {
	for p := path; p != ""; p = parent(p) {
		if r.bad[p] {
			return
		}
	}
	r.bad[path] = true
	at := r.at(path)
	r.errs = append(r.errs, Error{Line: at.line, Col: at.col, Key: at.key, What: fmt.Sprintf(format, args...), Fix: fix})
}

// at finds the place of path or, for a value that is not in the file, of what
// would hold it.
func (r *report) at(path string) place {
	for p := path; p != ""; p = parent(p) {
		if at, ok := r.where[p]; ok {
			return place{at.pos, at.key + path[len(p):]}
		}
	}
	return place{r.where[""].pos, path}
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// list returns the errors as an *ErrorList, or nil if there are none.
func (r *report) list(file string) error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	l := &ErrorList{File: file, Errors: r.errs}
	if len(l.Errors) > MaxErrors {
		l.More = len(l.Errors) - MaxErrors
		l.Errors = l.Errors[:MaxErrors]
	}
	return l
}

// written says whether the file has the key at path.
func (r *report) written(path string) bool {
	_, ok := r.where[path]
	return ok
}
