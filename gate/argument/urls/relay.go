package urls

import (
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// maxNested bounds the URLs inside a URL that are looked at; more is no link.
	maxNested = 16
	// maxDecodes is how often an inner URL is looked for behind escapes: once as the
	// host reads its query, once more for a redirect inside a redirect.
	maxDecodes = 2
)

// judgeRelay holds a URL whose path or query carries another URL to a place that
// this one could not name itself, or a place that cannot be read: the host may
// fetch it from where it stands. An address alone is a search term; the fragment
// never leaves the program.
func judgeRelay(tail string) argument.Finding {
	tail, _, _ = strings.Cut(tail, "#")
	for range maxDecodes + 1 {
		if nests(tail) {
			return argument.Finding{Verdict: argument.Hold, Rule: "url.relay",
				Reason: "the URL carries another URL to a place that is not public, which its host may fetch", Hint: "leave the inner URL out"}
		}
		if !strings.Contains(tail, "%") {
			break
		}
		tail = unescape(tail)
	}
	return argument.Passed
}

// nests reports whether s has a URL to a place that is not public: after :// or,
// without a scheme, after =//.
func nests(s string) bool {
	for n := 0; ; n++ {
		i := strings.Index(s, "//")
		switch {
		case i < 0:
			return false
		case n == maxNested:
			return true
		}
		before := strings.TrimRight(s[:i], "/\\")
		s = strings.TrimLeft(s[i:], "/\\")
		if before != "" && strings.HasSuffix(before, ":") || strings.HasSuffix(before, "=") {
			if isInside(s) {
				return true
			}
		}
	}
}

// isInside reads an inner URL as the most careless program would: whatever does
// not name a public host is a place inside.
func isInside(s string) bool {
	if end := strings.IndexAny(s, `/?#&\,;"'| )]}`); end >= 0 && !strings.HasPrefix(s, "[") {
		s = s[:end]
	} else if end := strings.IndexByte(s, ']'); strings.HasPrefix(s, "[") && end >= 0 {
		s = s[:end+1]
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	if !strings.HasPrefix(s, "[") {
		s, _, _ = strings.Cut(s, ":")
	}
	host, err := netpolicy.ParseHost(strings.TrimSpace(s))
	if err != nil {
		return true
	}
	if judgeKind(host, false).Verdict != argument.Pass {
		return true
	}
	addr, ok := embedded(host.String())
	return ok && judgeAddress(addr, false).Verdict != argument.Pass
}

// unescape decodes what can be decoded and leaves the rest.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if c, ok := unhex(s[i+1:]); ok {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
