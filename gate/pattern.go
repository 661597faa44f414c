package gate

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// translate compiles an ECMA 262 pattern with Go's engine, which needs linear
// time. ok is false for what it cannot run, above all look-around and
// back-references.
func translate(pattern string) (re *regexp.Regexp, ok bool) {
	re, err := regexp.Compile(goSyntax(pattern))
	return re, err == nil
}

// goSyntax rewrites the escapes that are spelled differently: \uXXXX, \u{X} and
// \cX. All other differences (white space in \s beyond ASCII) are left.
func goSyntax(pattern string) string {
	if !strings.Contains(pattern, `\`) {
		return pattern
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if c != '\\' || i+1 == len(pattern) {
			b.WriteByte(c)
			continue
		}
		i++
		rest := pattern[i+1:]
		switch {
		case pattern[i] == 'u' && strings.HasPrefix(rest, "{"):
			b.WriteString(`\x`)
		case pattern[i] == 'u' && len(rest) >= 4:
			b.WriteString(`\x{` + rest[:4] + `}`)
			i += 4
		case pattern[i] == '/':
			b.WriteByte('/')
		default:
			b.WriteString(`\` + pattern[i:i+1])
		}
	}
	return b.String()
}

// unchecked stands for a pattern that cannot be run. It matches everything; that
// is safe only because a tool with such a pattern is at least high risk.
type unchecked struct{ pattern string }

func (u *unchecked) MatchString(string) bool { return true }
func (u *unchecked) String() string          { return u.pattern }

// engine is what the schema library compiles patterns with.
func engine(pattern string) (jsonschema.Regexp, error) {
	if re, ok := translate(pattern); ok {
		return re, nil
	}
	return &unchecked{pattern}, nil
}

const (
	// maxPattern bounds a pattern: analysing one takes quadratic time.
	maxPattern = 2000
	// maxPatterns bounds the different patterns of a schema: analysing a hostile
	// one takes some tens of milliseconds. Real schemas have under ten.
	maxPatterns = 100
)

// patterns judges every pattern of a schema, those of patternProperties included.
func (l *linter) patterns(g *graph) {
	known := map[string]ambiguity{}
	judge := func(n *node, p string, tokens ...string) {
		at := g.base + n.at
		for _, t := range tokens {
			at = at.AppendToken(t)
		}
		if _, ok := known[p]; !ok && len(known) == maxPatterns {
			l.add(Block, LintPattern, at, "more than %d patterns", maxPatterns)
		} else {
			known[p] = l.pattern(at, p, known)
		}
	}
	for _, n := range g.nodes {
		if p, ok := n.obj["pattern"].(string); ok {
			judge(n, p, "pattern")
		}
		for _, e := range n.edges {
			if e.relation == pattern {
				judge(n, e.token, "patternProperties", e.token)
			}
		}
	}
}

// pattern judges one pattern; known has those that were analysed before.
func (l *linter) pattern(at jsontext.Pointer, p string, known map[string]ambiguity) ambiguity {
	if len(p) > maxPattern {
		l.add(Block, LintPattern, at, "a pattern of %d bytes; at most %d", len(p), maxPattern)
		return cannotTell
	}
	verdict, ok := known[p]
	if !ok {
		verdict = backtracking(p)
		if _, runs := translate(p); !runs && verdict == settles {
			verdict = cannotTell
		}
	}
	switch verdict {
	case runsAway:
		l.add(Block, LintPattern, at, "%s has two ways through one loop: a backtracking matcher tries exponentially many", shown(p))
	case cannotTell:
		l.add(High, LintPatternUnchecked, at, "%s cannot be checked here", shown(p))
	}
	return verdict
}
