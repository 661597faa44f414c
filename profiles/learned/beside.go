package learned

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/netpolicy"
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
	// defaultPort is a rule's own.
	defaultPort = 443
	// maxPaths is how many paths of one host are listed: a longer list is a pattern that a
	// person has to see.
	maxPaths = 16
)

// beside are the lines, without the "# ".
func (s Seen) beside() []string {
	memory := max(leastMemory, (headroom*s.Memory+memoryStep-1)/memoryStep*memoryStep)
	out := []string{fmt.Sprintf("resources: {memory: %dMiB, pids: %d}  # %d times what it used at most", memory>>20, max(leastPids, headroom*s.Pids), headroom)}
	if rules := s.rules(); len(rules) > 0 {
		out = append(append(out, "egress:"), rules...)
	}
	return out
}

// rules are the lines of egress for where it went, and for where it tried to go where a rule
// could let it. Each names what was asked for and nothing wider; in whose calls it was seen
// is a part of a rule where that is sure.
func (s Seen) rules() []string {
	type target struct {
		host, protocol string
		port           uint16
	}
	byTarget := map[target][]Host{}
	reached := map[string]bool{}
	for _, h := range s.Hosts {
		reached[h.Host] = reached[h.Host] || h.Port != 0
	}
	for _, h := range s.Hosts {
		if onlyName := h.Port == 0; (h.Allowed || h.Add != "") && !(onlyName && reached[h.Host]) { // nothing else can be
			t := target{h.Host, h.Protocol, h.Port}
			byTarget[t] = append(byTarget[t], h)
		}
	}
	targets := slices.SortedFunc(maps.Keys(byTarget), func(a, b target) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.protocol, b.protocol))
	})
	var out []string
	for _, t := range targets {
		out = append(out, ruleFor(byTarget[t])...)
	}
	return out
}

// ruleFor is one line for what was asked of one host and port, and a second one where more
// is to be said of it.
func ruleFor(asked []Host) []string {
	first := asked[0]
	host, err := netpolicy.ParsePattern(first.Host)
	r := netpolicy.Rule{Host: host, Port: first.Port, Protocol: netpolicy.TLS}
	if err == nil && first.Port != 0 {
		r.Protocol, err = netpolicy.ParseProtocol(first.Protocol)
	}
	if err != nil {
		return nil // no rule can name it
	}
	var seen Counts
	var paths []string
	for _, h := range asked {
		seen.add(h.Counts)
		r.Grant.Private = r.Grant.Private || h.Grant.Private
		for _, n := range h.Grant.Networks {
			r.Grant.Networks = with(r.Grant.Networks, n)
		}
		if _, err := netpolicy.ParseMethod(h.Method); err == nil && r.Protocol != netpolicy.TCP && plainPath(h.Path) {
			r.Methods, paths = with(r.Methods, h.Method), with(paths, h.Path)
			r.WebSocket = r.WebSocket || h.WebSocket
		}
	}
	r.Inspect = r.Protocol == netpolicy.TLS && len(r.Methods) > 0
	slices.Sort(r.Methods)
	slices.Sort(paths)
	for _, p := range paths[:min(len(paths), maxPaths)] {
		pattern, err := netpolicy.ParsePathPattern(p)
		if err != nil {
			return nil
		}
		r.Paths = append(r.Paths, pattern)
	}
	return written(r, seen, first.Port == 0, len(paths)-maxPaths)
}

// written is a rule with where it was seen, if it is one.
func written(r netpolicy.Rule, seen Counts, onlyName bool, morePaths int) []string {
	if onlyName {
		r.Port = defaultPort
	}
	r.Tools = seen.bound()
	if r.Validate() != nil {
		return nil // as of HTTP of which no request was read
	}
	line := "  - " + r.String() + "  # " + seen.where()
	if onlyName {
		line += "; only its name was asked for, so the port is a guess"
	}
	if morePaths > 0 {
		return []string{line, fmt.Sprintf("  # and %d more paths of it: is there a pattern?", morePaths)}
	}
	return []string{line}
}

// plainPath is one that means itself in a rule.
func plainPath(p string) bool {
	return strings.HasPrefix(p, "/") && clean(p) == p && !strings.ContainsAny(p, "*\"\\ ")
}

func with[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
