package gate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// Propose suggests a risk class for server.yaml and says why. It goes by the
// words of the name, which say more than a server's own hints: those raise the
// class, and count for less risk only where the name says nothing. A person
// decides.
func Propose(def jsontext.Value) (risk mcprun.Risk, reason string) {
	l := judge(def)
	if err := l.blocked(); err != nil {
		return mcprun.Block, err.Error()
	}
	obj := l.obj
	risk, reason = byName(words(nameOf(def)))
	if risk == mcprun.Block { // the name says nothing
		risk, reason = mcprun.High, "nothing says what it does"
		if reads, _ := hint(obj, "readOnlyHint"); reads {
			risk, reason = mcprun.Medium, "only the server says that it just reads"
		}
	}
	for _, r := range raises(obj) {
		if s := mcprun.Stricter(risk, r.risk); s != risk {
			risk, reason = s, r.reason
		}
	}
	if s, why := raise(risk, obj, l.found); s != risk {
		risk, reason = s, why
	}
	return risk, reason
}

// The words of names, by what they stand for.
const (
	// sends, destroys, runs, pays, unlocks, or names a secret
	highWords = "send publish tweet notify reply forward upload submit push deploy " +
		"delete remove drop destroy purge wipe truncate erase clean clear reset revert discard prune uninstall terminate kill stop shutdown reboot restart " +
		"exec execute eval evaluate shell bash invoke spawn install sudo " +
		"pay refund transfer purchase buy withdraw " +
		"secret secrets password passwords token tokens credential credentials env vault apikey " +
		"grant revoke invite chmod chown impersonate login authenticate"
	// the same as verbs, but after a verb that looks they are what is looked at: list_orders, get_post
	highVerbs = "email mail post message share release run command cmd script sql charge order trade fill click type navigate drag press"
	// changes something that can be changed back, or fetches from outside
	mediumWords = "create add update edit write set insert upsert save store move rename copy put patch modify change append replace " +
		"commit checkout merge rebase init stash clone pull fetch subscribe unsubscribe toggle enable disable start open close resize hover emulate " +
		"assign import export generate upgrade apply restore mark sync download browse crawl scrape"
	// only looks
	lowWords = "get list read search find show describe status log logs diff view count query lookup look check inspect info stat tree blame reflog " +
		"head tail cat ls grep glob exists validate verify ping echo help version summarize summary explain compare preview resolve schema snapshot"
)

// byName returns what the words of a name say, Block if nothing. The riskiest
// word decides.
func byName(words []string) (risk mcprun.Risk, reason string) {
	class := map[string]mcprun.Risk{}
	for _, w := range strings.Fields(lowWords) {
		class[w] = mcprun.Low
	}
	for _, w := range strings.Fields(mediumWords) {
		class[w] = mcprun.Medium
	}
	for _, w := range strings.Fields(highWords) {
		class[w] = mcprun.High
	}
	looks := false
	for _, w := range words {
		c, known := class[w]
		if !looks && slices.Contains(strings.Fields(highVerbs), w) {
			c, known = mcprun.High, true
		}
		if !known {
			continue
		}
		looks = looks || c == mcprun.Low
		if risk == mcprun.Block || c < risk {
			risk, reason = c, fmt.Sprintf("its name says %q", w)
		}
	}
	return risk, reason
}

// Words splits a name at separators and at the humps of camelCase, in lower case.
func Words(name string) []string { return words(name) }

// words splits a name at separators and at the humps of camelCase.
func words(name string) []string {
	var out []string
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("_-.", r) }) {
		start := 0
		for i := 1; i < len(part); i++ {
			up, was := unicode.IsUpper(rune(part[i])), unicode.IsUpper(rune(part[i-1]))
			next := i+1 < len(part) && unicode.IsLower(rune(part[i+1]))
			if up && (!was || next) {
				out = append(out, strings.ToLower(part[start:i]))
				start = i
			}
		}
		out = append(out, strings.ToLower(part[start:]))
	}
	return out
}

type raised struct {
	risk   mcprun.Risk
	reason string
}

// raises returns what hints and arguments add to what the name says.
func raises(obj map[string]any) []raised {
	var out []raised
	reads, said := hint(obj, "readOnlyHint")
	if destroys, _ := hint(obj, "destructiveHint"); destroys && !reads {
		out = append(out, raised{mcprun.High, "the server says it may destroy"})
	}
	if open, _ := hint(obj, "openWorldHint"); open {
		if said && !reads {
			out = append(out, raised{mcprun.High, "the server says it reaches outside and does not only read"})
		}
		out = append(out, raised{mcprun.Medium, "the server says it reaches outside"})
	}
	input, _ := obj["inputSchema"].(map[string]any)
	properties, _ := input["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		switch strings.ToLower(name) {
		case "command", "cmd", "shell", "script", "sql", "code", "password", "secret":
			out = append(out, raised{mcprun.High, fmt.Sprintf("it takes a %q", name)})
		case "url", "uri", "webhook", "recipient", "recipients":
			out = append(out, raised{mcprun.Medium, fmt.Sprintf("it takes a %q, so it may reach outside", name)})
		}
	}
	return out
}
