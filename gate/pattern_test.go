package gate

import (
	"strings"
	"testing"
)

func TestBacktracking(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		want    ambiguity
		why     string
	}{
		{`^(a+)+$`, runsAway, "a loop in a loop"},
		{`^(?:a+)+$`, runsAway, "the same without a capture, which Go's parser folds to a+"},
		{`^(a*)*$`, runsAway, "star of star"},
		{`(a|a)*$`, runsAway, "equal alternatives, which Go's parser joins"},
		{`^(\w|\d)+$`, runsAway, "alternatives that overlap"},
		{`^(a|aa)+$`, runsAway, "alternatives of different length"},
		{`^([a-z]+)*@`, runsAway, "unanchored end"},
		{`(.*)*x`, runsAway, "any character"},
		{`^(a*b?)*$`, runsAway, "an optional separator is none"},
		{`^([a-z]+-?)*$`, runsAway, "the same, as people write it"},
		{`^(([a-z])+.)+[A-Z]([a-z])+$`, runsAway, "OWASP's class name"},
		{`^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$`, runsAway, "OWASP's e-mail address"},
		{`(x+x+)+y`, runsAway, "two loops in a loop"},
		{`^(a{1,10}){1,10}$`, runsAway, "counted loops"},
		{`^(a+){10}$`, runsAway, "a loop copied ten times"},
		{`(?=(a+)+$)a`, runsAway, "in look-ahead"},
		{`^(\u0061+)+$`, runsAway, "escaped"},
		{`^[a-z]+(-[a-z]+)*$`, settles, "a separator makes it one way"},
		{`^[a-zA-Z0-9._]+(?:[-._a-zA-Z0-9]*)$`, settles, "quadratic; of a real server"},
		{`^\s*\S+\s*$`, settles, "trimmed"},
		{`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`, settles, "host name"},
		{`^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2})$`, settles, "MAC address"},
		{`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`, settles, "UUID"},
		{`^([0-9]{4}){4}$`, settles, "fixed counts"},
		{`^(\d{1,3}\.){3}\d{1,3}$`, settles, "IPv4"},
		{`^[a-f0-9]{64}$`, settles, "a digest"},
		{`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$`, settles, "semver.org's pattern"},
		{`^(https?|ftp)://[^\s/$.?#].[^\s]*$`, settles, "URL"},
		{`^(/[^/]+)*/?$`, settles, "path"},
		{`^[\w.+-]+@[\w-]+\.[\w.-]+$`, settles, "e-mail"},
		{`^"(?:[^"\\]|\\.)*"$`, settles, "quoted string"},
		{`[(?:a+)+]`, settles, "group signs in a class"},
		{`^.{1,500}$`, settles, "length"},
		{``, settles, "empty"},
		{`^(?!evil).*$`, cannotTell, "look-ahead"},
		{`(a)\1`, cannotTell, "back-reference"},
		{`(`, cannotTell, "no pattern"},
		{`[`, cannotTell, "no pattern"},
		{`)(`, cannotTell, "no pattern"},
		{`(?`, cannotTell, "no pattern"},
		{strings.Repeat("(a|b|c|d)*", 150), cannotTell, "too large"},
	} {
		if got := backtracking(tt.pattern); got != tt.want {
			t.Errorf("%s: backtracking(%.80s) = %d, want %d", tt.why, tt.pattern, got, tt.want)
		}
	}
}

func TestTranslate(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		match, ok     bool
	}{
		{`^\u00e9$`, "é", true, true},
		{`^\u{1F600}$`, "😀", true, true},
		{`^a\/b$`, "a/b", true, true},
		{`^\\u0061$`, `\u0061`, true, true},
		{`^(?<year>\d{4})$`, "2026", true, true},
		{`^(?!x)`, "a", false, false},
		{`\u00`, "a", false, false},
	} {
		re, ok := translate(tt.pattern)
		if ok != tt.ok || ok && re.MatchString(tt.text) != tt.match {
			t.Errorf("translate(%s) on %s: ok %v, want %v and match %v", tt.pattern, tt.text, ok, tt.ok, tt.match)
		}
	}
}

// A group around all of a pattern changes nothing.
func FuzzBacktracking(f *testing.F) {
	f.Add(`^(a+)+$`)
	f.Add(`(?:(?<x>[^\]]|\u0061){2,}|b?)*`)
	f.Add(strings.Repeat(`(a|[a-z]?)*`, 30))
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > maxPattern {
			return
		}
		plain := backtracking(pattern)
		if plain == cannotTell {
			return
		}
		if grouped := backtracking("(?:" + pattern + ")"); grouped != plain {
			t.Fatalf("%q is %d, in a group %d", pattern, plain, grouped)
		}
	})
}
