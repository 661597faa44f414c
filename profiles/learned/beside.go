package learned

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What a server used beside system calls is written below its profile as lines that a
// profile can have, each behind "# ": none is in force before a person took that away.

const (
	// headroom is how many times its peak a server is proposed: other inputs than those
	// that were watched are larger.
	headroom = 2
	// memoryStep and least are what a proposal is rounded up to, so that two runs that
	// differ by a page are one line; leastPids is server.yaml's own.
	memoryStep, leastMemory, leastPids = 16 << 20, 32 << 20, 16
	// maxPaths is how many paths of one host are listed: a longer list is a pattern that a
	// person has to see.
	maxPaths = 16
)

// requestMethods are those that a rule can name.
var requestMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// beside are the lines, without the "# ".
func (s Seen) beside() []string {
	memory := max(leastMemory, (headroom*s.Memory+memoryStep-1)/memoryStep*memoryStep)
	out := []string{fmt.Sprintf("resources: {memory: %dMiB, pids: %d}  # %d times what it used at most", memory>>20, max(leastPids, headroom*s.Pids), headroom)}
	if rules := s.rules(); len(rules) > 0 {
		out = append(append(out, "egress:"), rules...)
	}
	return out
}

type place struct {
	host, protocol string
	port           uint16
}

// rules are the lines of egress for what was asked of a fake internet or refused by the
// real one; what was allowed has its rule.
func (s Seen) rules() []string {
	methods, paths := map[place][]string{}, map[place][]string{}
	var places []place
	for _, h := range s.Hosts {
		if h.Allowed || h.Host == "" || clean(h.Host) != h.Host || strings.ContainsAny(h.Host, "\"\\") {
			continue
		}
		p := place{h.Host, cmp.Or(h.Protocol, "tls"), h.Port}
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
		if slices.Contains(requestMethods, h.Method) && plainPath(h.Path) {
			methods[p], paths[p] = with(methods[p], h.Method), with(paths[p], h.Path)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.protocol, b.protocol))
	})
	var out []string
	for _, p := range places {
		out = append(out, p.rule(methods[p], paths[p])...)
	}
	return out
}

// rule is one line, and a second one where not all paths are on it.
func (p place) rule(methods, paths []string) []string {
	line := fmt.Sprintf("  - {host: %q, port: %d", p.host, p.port)
	switch {
	case p.protocol == "tcp":
		return []string{line + ", protocol: tcp}"}
	case p.protocol == "http" && len(methods) == 0:
		return nil // such a rule names its requests, and none was read
	case p.protocol == "http":
		line += ", protocol: http"
	case len(methods) == 0:
		return []string{line + "}"}
	default:
		line += ", inspect: true"
	}
	slices.Sort(methods)
	slices.Sort(paths)
	more := len(paths) - maxPaths
	listed := paths[:min(len(paths), maxPaths)]
	line += fmt.Sprintf(", methods: [%s], paths: [%s]}", strings.Join(methods, ", "), quotedList(listed))
	if more > 0 {
		return []string{line, fmt.Sprintf("  # and %d more paths of it: is there a pattern?", more)}
	}
	return []string{line}
}

func quotedList(list []string) string {
	quoted := make([]string, len(list))
	for i, v := range list {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, ", ")
}

// plainPath is one that means itself in a rule.
func plainPath(p string) bool {
	return strings.HasPrefix(p, "/") && clean(p) == p && !strings.ContainsAny(p, "*\"\\ ")
}

func with(list []string, v string) []string {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
