package words

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// Enum accepts exactly its strings; none accepts nothing.
type Enum []string

// Judge says whether value is one of e, byte for byte.
func (e Enum) Judge(value string) argument.Finding {
	if slices.Contains(e, value) {
		return argument.Passed
	}
	hint := make([]string, 0, maxHint)
	for _, s := range e[:min(len(e), maxHint)] {
		hint = append(hint, argument.Shown(s))
	}
	return refuse("word.enum", "the value is not one of those that are listed", strings.Join(hint, ", "))
}

const (
	// maxExpression bounds what an operator writes; longer ones are generated.
	maxExpression = 2000
	// maxMatched bounds the value that a pattern is held against. RE2 takes linear
	// time with a factor of the pattern's size.
	maxMatched = 64 << 10
)

// Pattern accepts the values that match an expression as a whole. The zero value
// accepts nothing.
type Pattern struct {
	re   *regexp.Regexp
	text string
}

// ParsePattern compiles an RE2 expression. It is anchored at both ends, whatever
// it says itself: an expression that matches somewhere inside is how checks are
// evaded.
func ParsePattern(expression string) (Pattern, error) {
	if expression == "" {
		return Pattern{}, errors.New("a pattern is empty")
	}
	if len(expression) > maxExpression {
		return Pattern{}, fmt.Errorf("a pattern of %d bytes; at most %d", len(expression), maxExpression)
	}
	if _, err := regexp.Compile(expression); err != nil { // before it stands in a group
		return Pattern{}, fmt.Errorf("pattern %+.64q: %w", expression, err)
	}
	re, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %+.64q: %w", expression, err)
	}
	return Pattern{re, expression}, nil
}

// String returns the expression as it was written.
func (p Pattern) String() string { return p.text }

// Judge says whether all of value matches.
func (p Pattern) Judge(value string) argument.Finding {
	switch {
	case len(value) > maxMatched:
		return refuse("word.long", fmt.Sprintf("the value has %d bytes; at most %d can be matched", len(value), maxMatched), "shorten it")
	case p.re == nil || !p.re.MatchString(value):
		return refuse("word.pattern", "the value does not match the pattern", "match "+argument.Shown(p.text))
	}
	return argument.Passed
}
