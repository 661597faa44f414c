package manifest

import (
	"fmt"
	"strings"
)

// Glob is a pattern of names in which * stands for any number of characters. Case
// does not matter: deleteFile and DELETE_FILE are both for *delete*.
type Glob string

// maxGlob is a tool name with a star at each end.
const maxGlob = 130

// ParseGlob checks a pattern of names of tools or servers.
func ParseGlob(s string) (Glob, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("a pattern is empty")
	case len(s) > maxGlob:
		return "", fmt.Errorf("pattern of %d bytes; at most %d", len(s), maxGlob)
	}
	for _, r := range s {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-.*", r)) {
			return "", fmt.Errorf("pattern %+q: %+q is neither * nor in a name (A-Z a-z 0-9 _ - .)", s, r)
		}
	}
	return Glob(s), nil
}

// Match reports whether the whole name is as the pattern says. It takes time in
// proportion to the lengths multiplied.
func (g Glob) Match(name string) bool {
	parts := strings.Split(strings.ToLower(string(g)), "*")
	name = strings.ToLower(name)
	if len(parts) == 1 {
		return name == parts[0] && name != ""
	}
	first, last := parts[0], parts[len(parts)-1]
	rest, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, last)
}
