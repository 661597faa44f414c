package manifest

import (
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

func decodeLabels(o object) []mcprun.Label {
	var out []mcprun.Label
	for _, p := range o.named("labels", "{team: payments}") {
		path := labelPath(p.key.text)
		o.r.where[path] = place{p.value.pos, path}
		var value string
		setAt(o.r, path, p.value, &value, textLike("payments"))
		if !o.r.bad[path] {
			out = append(out, mcprun.Label(p.key.text+"="+value))
		}
	}
	slices.Sort(out)
	return out
}

// checkLabels: a label is part of a file's name and of a command line, and one that two
// people read differently stops the wrong servers.
func checkLabels(s *Server, r *report) {
	if len(s.Labels) > MaxLabels {
		r.fail("labels", "keep those that somebody would stop servers by", "%d labels; at most %d", len(s.Labels), MaxLabels)
	}
	for i, l := range s.Labels {
		key, _, _ := strings.Cut(string(l), "=")
		if _, err := mcprun.ParseLabel(string(l)); err != nil {
			r.fail(labelPath(key), "write e.g. team: payments", "%v", err)
			continue
		}
		if i > 0 && strings.HasPrefix(string(s.Labels[i-1]), key+"=") || i > 0 && s.Labels[i-1] >= l {
			r.fail(labelPath(key), "sort them, each key once", "is out of order or there twice")
		}
	}
}

func marshalLabels(s *Server, line func(string, ...any)) {
	if len(s.Labels) == 0 {
		return
	}
	var parts []string
	for _, l := range s.Labels {
		key, value, _ := strings.Cut(string(l), "=")
		parts = append(parts, quote(key)+": "+quote(value))
	}
	line("labels: {%s}", strings.Join(parts, ", "))
}

func labelPath(key string) string { return "labels." + keyName(key) }
