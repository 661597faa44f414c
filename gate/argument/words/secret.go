package words

import (
	"fmt"

	"github.com/mcprun/mcprun/gate/argument"
)

// maxSecretScan bounds the text that is searched. What is longer is refused: a
// secret could stand behind the end of the search.
const maxSecretScan = 4 << 20

// Secrets refuses text that carries a secret. The zero value knows only shapes.
type Secrets struct {
	// Known reports whether a text contains a secret of the daemon's own. It is asked
	// about the value and about each text that is decoded from it. It must be fast and
	// safe for concurrent use.
	Known func(text string) bool
}

// Judge says whether value is free of secrets, in each of the spellings that
// [Secrets] is documented to see. No finding repeats any of the value.
func (s Secrets) Judge(value string) argument.Finding {
	if len(value) > maxSecretScan {
		return refuse("secret.size", fmt.Sprintf("the text has %d bytes; at most %d are searched for secrets", len(value), maxSecretScan), "send less at once")
	}
	worst := argument.Passed
	for text := range spellings(value) {
		if s.Known != nil && s.Known(text.plain) {
			return refuse("secret.known", "the text carries a secret that is kept for a server"+text.how.said(), secretHint)
		}
		hit := scan(text)
		if hit == nil {
			continue
		}
		worst = argument.Worse(worst, argument.Finding{Verdict: hit.verdict, Rule: hit.rule, Reason: "the text carries " + hit.what + text.how.said(), Hint: secretHint})
		if worst.Verdict == argument.Refuse {
			return worst
		}
	}
	return worst
}

const secretHint = "leave the secret out"

// text is one spelling of a value.
type text struct {
	plain string
	how   spelling
	// gap tells, for a text from which something was taken out, before which bytes.
	gap []bool
}

// gapBetween reports whether something was taken out between two bytes of
// plain[from:to].
func (t text) gapBetween(from, to int) bool {
	for i := from + 1; i < to; i++ {
		if t.gap[i] {
			return true
		}
	}
	return false
}

// beginsWord reports whether no letter or digit stands before plain[at].
func (t text) beginsWord(at int) bool {
	return at == 0 || !isAlnum(t.plain[at-1]) || t.gap != nil && t.gap[at]
}

// scan returns the worst shape in t, or nil.
func scan(t text) *shape {
	var held *shape
	s := t.plain
	for i := 0; i+1 < len(s); i++ {
		if !opens(s[i], s[i+1]) {
			continue
		}
		for _, c := range table.byFirst[s[i]] {
			if !c.at(t, i) {
				continue
			}
			if c.verdict == argument.Refuse {
				return c
			}
			held = c
		}
	}
	return held
}

// at reports whether a secret of the shape begins at t.plain[i].
func (c *shape) at(t text, i int) bool {
	rest := t.plain[i:]
	if len(rest) < len(c.prefix) || rest[:len(c.prefix)] != c.prefix {
		return false
	}
	if c.word && !t.beginsWord(i) {
		return false
	}
	if c.find != nil && t.gap != nil {
		return c.joins && t.gapBetween(i, min(i+near, len(t.plain))) && c.find(t.plain, i)
	}
	if c.find != nil {
		return c.find(t.plain, i)
	}
	n, ok := c.body.match(rest[len(c.prefix):], t.gap != nil)
	// What nothing was taken out of was seen in the value itself.
	return ok && (t.gap == nil || t.gapBetween(i, i+len(c.prefix)+n))
}
