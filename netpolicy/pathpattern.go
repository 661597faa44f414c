package netpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxStars bounds a pattern; one with more says less than ** does.
const maxStars = 16

// PathPattern says which paths a rule is about: an exact path, with * for one
// segment and at most one ** for any number of segments, none included. The zero
// PathPattern matches nothing.
type PathPattern struct {
	text string
	head []string // the segments before **, or all
	tail []string // the segments behind it
	deep bool     // there is a **
}

// ParsePathPattern reads a path of a rule. It must be written canonically, since
// only canonical paths are held against it.
func ParsePathPattern(s string) (PathPattern, error) {
	if strings.ContainsAny(s, "?#") {
		return PathPattern{}, fmt.Errorf("path %+.64q carries a query or a fragment; rules are about paths only", s)
	}
	canonical, err := CanonicalPath(s)
	switch {
	case s == "":
		return PathPattern{}, errors.New("a path is empty")
	case err != nil:
		return PathPattern{}, fmt.Errorf("path %+.64q: %w", s, err)
	case canonical != s:
		return PathPattern{}, fmt.Errorf("path %+.64q is not canonical; write %q", s, canonical)
	case strings.Count(s, "*") > maxStars:
		return PathPattern{}, fmt.Errorf("path %+.64q has more than %d *; use one **", s, maxStars)
	}
	p := PathPattern{text: s, head: strings.Split(s[1:], "/")}
	for _, seg := range p.head {
		if strings.Contains(seg, "*") && seg != "*" && seg != "**" {
			return PathPattern{}, fmt.Errorf("path %+.64q: a * stands for a whole segment, a ** for any number of them", s)
		}
	}
	if i := slices.Index(p.head, "**"); i >= 0 {
		p.head, p.tail, p.deep = p.head[:i], p.head[i+1:], true
	}
	// With one ** a match is a comparison of both ends; with two it is a search.
	if slices.Contains(p.tail, "**") {
		return PathPattern{}, fmt.Errorf("path %+.64q has more than one **", s)
	}
	return p, nil
}

// Match reports whether the rule is about a canonical path.
func (p PathPattern) Match(canonical string) bool {
	if p.text == "" || !strings.HasPrefix(canonical, "/") {
		return false
	}
	segments := strings.Split(canonical[1:], "/")
	if !p.deep {
		return matchSegments(p.head, segments)
	}
	if len(segments) < len(p.head)+len(p.tail) {
		return false
	}
	return matchSegments(p.head, segments[:len(p.head)]) &&
		matchSegments(p.tail, segments[len(segments)-len(p.tail):])
}

// matchSegments: a * does not stand for the empty segment behind a trailing slash.
func matchSegments(pattern, segments []string) bool {
	return slices.EqualFunc(pattern, segments, func(p, s string) bool { return p == s || p == "*" && s != "" })
}

func (p PathPattern) String() string { return p.text }

// methods are the ones a rule can name. CONNECT opens a tunnel that nobody looks
// into, TRACE echoes the headers with their credentials.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// ParseMethod reads the method of a rule or of a request. Methods are
// case-sensitive (RFC 9110 9.1), and nothing is folded: some servers do.
func ParseMethod(s string) (string, error) {
	upper := strings.ToUpper(s)
	switch {
	case slices.Contains(methods, s):
		return s, nil
	case slices.Contains(methods, upper):
		return "", fmt.Errorf("method %+.64q; write %s", s, upper)
	}
	return "", fmt.Errorf("method %+.64q is not one of %s", s, strings.Join(methods, ", "))
}
