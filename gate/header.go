package gate

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// headers checks the x-mcp-header annotations of one schema: each becomes the
// name of an HTTP header, so it must be one token (RFC 9110, 5.6.2), on a value
// that fits into a header, and no other one may be the same to HTTP.
func (l *linter) headers(g *graph) {
	seen := map[string]jsontext.Pointer{}
	for _, n := range g.nodes {
		v, ok := n.obj["x-mcp-header"]
		if !ok {
			continue
		}
		at := g.base + n.at + "/x-mcp-header"
		name, ok := v.(string)
		if !ok || !token(name) {
			l.add(Block, LintHeader, at, "is not one HTTP token")
			continue
		}
		if t, ok := n.obj["type"].(string); ok && (t == "object" || t == "array" || t == "null") {
			l.add(Block, LintHeader, at, "on a value of type %s, which is no header's", t)
		}
		if first, ok := seen[strings.ToLower(name)]; ok {
			l.add(Block, LintHeader, at, "the same header as at %s", visible(string(first)))
			continue
		}
		seen[strings.ToLower(name)] = at
	}
}

func token(s string) bool {
	for _, r := range s {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)) {
			return false
		}
	}
	return s != ""
}
