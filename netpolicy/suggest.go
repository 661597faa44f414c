package netpolicy

import (
	"fmt"
	"slices"
	"strings"
)

// openable are the reasons that a line in server.yaml can take away. Of the others
// some are never to be opened (metadata, loopback), some are the client's fault
// (sni, authority), and some are not about rules (limit, killed).
var openable = []Reason{ReasonName, ReasonHost, ReasonPort, ReasonTool, ReasonLiteral, ReasonAddress, ReasonPrivate, ReasonOwn,
	ReasonProtocol, ReasonMethod, ReasonPath, ReasonWebSocket}

// Suggest returns the lines of server.yaml that would allow what was denied for
// reason, and as little as possible beside it. It returns "" where nothing would;
// Reason.Sentence says why.
//
// spoken is the protocol, if it is known; method and path are those of the request
// where one was read. A name of which only a DNS question was seen has no port
// yet: the line is then about TLS on port 443.
//
// It knows no policy, so the lines may contradict rules that are there:
// Policy.Suggest does not have that flaw.
func Suggest(d Dest, reason Reason, spoken Protocol, method, path string) string {
	return Policy{}.Suggest(d, reason, spoken, method, path)
}

// Suggest is the function of that name, held against the rules that are there: what
// must agree with them does, and a line that has to replace one says so in a comment.
func (p Policy) Suggest(d Dest, reason Reason, spoken Protocol, method, path string) string {
	if !slices.Contains(openable, reason) {
		return ""
	}
	var lines []string
	for _, s := range p.suggestions(d, reason, spoken, method, path) {
		if s.rule.Validate() != nil {
			return ""
		}
		line := "  - " + s.rule.String()
		if s.replaces >= 0 {
			line += fmt.Sprintf("  # in place of egress[%d]", s.replaces)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	return "egress:\n" + strings.Join(lines, "\n")
}

// suggested is one rule to add, or to put in the place of another.
type suggested struct {
	rule     Rule
	replaces int // -1: none
}

func (p Policy) suggestions(d Dest, reason Reason, spoken Protocol, method, path string) []suggested {
	there := p.about(d)
	switch {
	case len(there) == 0:
		r, ok := fresh(d, reason, spoken)
		if !ok {
			return nil
		}
		return []suggested{{asks(r, reason, method, path), -1}}
	case slices.Contains([]Reason{ReasonPrivate, ReasonOwn, ReasonAddress, ReasonProtocol}, reason):
		// Rules about the same host and port have to agree here, so all of them change.
		var all []suggested
		for _, i := range there {
			r, ok := changed(p.rules[i], d, reason, spoken, method, path)
			if !ok {
				return nil
			}
			all = append(all, suggested{r, i})
		}
		return all
	}
	r := p.rules[there[0]]
	if reason == ReasonTool {
		r.Tools = slices.Compact(slices.Sorted(slices.Values(d.InFlight)))
		return []suggested{{r, -1}}
	}
	r.Host, r.Methods, r.Paths, r.WebSocket, r.Limits = Pattern{host: d.Host}, nil, nil, false, Limits{}
	return []suggested{{asks(r, reason, method, path), -1}}
}

// about returns the rules about d's host and port, those for tools in flight first.
func (p Policy) about(d Dest) []int {
	var bound, rest []int
	for i, r := range p.rules {
		switch steps, _ := r.connect(d); {
		case steps > 2:
			bound = append(bound, i)
		case steps == 2:
			rest = append(rest, i)
		}
	}
	return append(bound, rest...)
}

// fresh is a rule about d with no request in it yet. There is none where nothing
// opens the address, and none where the address was the reason and is not known.
func fresh(d Dest, reason Reason, spoken Protocol) (Rule, bool) {
	r := Rule{Host: Pattern{host: d.Host}, Port: d.Port, Protocol: spoken}
	addr := d.addr()
	if addr.IsValid() {
		r.Grant = grantFor(addr)
	}
	r.Grant.Private = r.Grant.Private || reason == ReasonPrivate || reason == ReasonOwn
	if r.Protocol == 0 {
		r.Protocol = TLS
	}
	if r.Port == 0 {
		r.Port = r.Protocol.defaultPort()
	}
	if reason == ReasonTool {
		r.Tools = slices.Compact(slices.Sorted(slices.Values(d.InFlight)))
	}
	if !addr.IsValid() {
		return r, reason != ReasonAddress
	}
	return r, !Classify(addr).never()
}

// asks adds to the rule what it has to say about a request.
func asks(r Rule, reason Reason, method, path string) Rule {
	r.Inspect = r.Protocol == TLS && (r.Inspect || method != "")
	if !r.ReadsRequests() {
		return r
	}
	r.WebSocket = reason == ReasonWebSocket
	r.Methods, r.Paths = requestOf(method, path)
	return r
}

// changed is a rule that is there, opened in the one way that was missing.
func changed(r Rule, d Dest, reason Reason, spoken Protocol, method, path string) (Rule, bool) {
	if reason == ReasonProtocol {
		if spoken != 0 {
			r.Protocol = spoken
		}
		r.Methods, r.Paths, r.WebSocket = nil, nil, false
		return asks(r, reason, method, path), true
	}
	f, ok := fresh(d, reason, r.Protocol)
	r.Grant.Private = r.Grant.Private || f.Grant.Private
	r.Grant.Networks = slices.Concat(r.Grant.Networks, f.Grant.Networks)
	return r, ok
}

// requestOf is what a rule says to allow a request. Where none was read yet, it is
// the least that reads anything.
func requestOf(method, path string) ([]string, []PathPattern) {
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/**"
	}
	p, err := ParsePathPattern(starred(path))
	if err != nil {
		return []string{method}, nil
	}
	return []string{method}, []PathPattern{p}
}

// starred makes a pattern of a path that has a * of its own. A pattern cannot say
// a literal *, so the whole segment becomes one.
func starred(path string) string {
	if path == "/**" || !strings.Contains(path, "*") {
		return path
	}
	segments := strings.Split(path, "/")
	stars := 0
	for i, s := range segments {
		if strings.Contains(s, "*") {
			segments[i] = "*"
			stars++
		}
	}
	if stars > maxStars {
		return "/**"
	}
	return strings.Join(segments, "/")
}
