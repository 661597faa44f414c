package gate

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/risk"
)

const (
	// maxHosts bounds the new destinations of one call that are named: more are as
	// telling as these.
	maxHosts = 4
	// maxHost is the longest name that DNS has.
	maxHost = 253
	// maxLooks bounds the texts of one call that are looked at.
	maxLooks = 4096
)

// look goes through the texts of a call's arguments, in the order of their names.
type look struct {
	search       bool // for secrets
	known        func(string) bool
	destinations bool // whether hosts matter

	seen    int
	secret  string
	encoded string
	hosts   []string
}

func (l *look) value(v any) {
	switch v := v.(type) {
	case string:
		if l.seen++; l.seen <= maxLooks {
			l.text(v)
		}
	case []any:
		for _, item := range v {
			l.value(item)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			l.value(v[name])
		}
	}
}

func (l *look) text(s string) {
	if l.search && l.secret == "" {
		// What is too long to be searched says nothing.
		if f := secrets.Judge(s); f.Verdict != argument.Pass && f.Rule != "secret.size" {
			l.secret = f.Reason
		}
	}
	if l.encoded == "" {
		l.encoded = risk.EncodedText(s)
	}
	if l.destinations {
		l.destinationsIn(s)
	}
}

// destinationsIn notes the hosts of addresses in s, of the web and of mail, that are
// not known. It is a hint: an address that is written so that this does not see it
// is for the checks of arguments, and for egress.
func (l *look) destinationsIn(s string) {
	for rest := s; len(l.hosts) < maxHosts; {
		i := strings.Index(rest, "://")
		if i < 0 {
			break
		}
		rest = rest[i+len("://"):]
		end := strings.IndexAny(rest, " \t\r\n\"'<>()[]{},;\\`|")
		if end < 0 {
			end = len(rest)
		}
		if u, err := url.Parse("x://" + rest[:end]); err == nil {
			l.host(u.Hostname())
		}
	}
	if _, domain, ok := strings.Cut(s, "@"); ok && !strings.ContainsAny(s, " \t\r\n/:") && len(l.hosts) < maxHosts {
		l.host(domain)
	}
}

func (l *look) host(h string) {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if h == "" || len(h) > maxHost || slices.Contains(l.hosts, h) || l.known != nil && l.known(h) {
		return
	}
	l.hosts = append(l.hosts, h)
}
