package mcprun

import (
	"fmt"
	"regexp"
	"strings"
)

// MaxLabel is the longest label: a key and a value that still read as words.
const MaxLabel = 100

// Label is one key=value that a server.yaml gives its server, e.g. "team=payments": what
// several servers have in common, for one who stops them together.
type Label string

var (
	labelKey   = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// ParseLabel checks s, written key=value, and returns it as a Label.
func ParseLabel(s string) (Label, error) {
	key, value, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return "", fmt.Errorf("label %.120q: write key=value, e.g. team=payments", s)
	case len(s) > MaxLabel:
		return "", fmt.Errorf("a label of %d bytes; at most %d", len(s), MaxLabel)
	case !labelKey.MatchString(key):
		return "", fmt.Errorf("label %q: the key is a-z, 0-9 and hyphens, starting with a letter", s)
	case !labelValue.MatchString(value):
		return "", fmt.Errorf("label %q: the value is A-Z a-z 0-9 . _ -, starting with a letter or digit", s)
	}
	return Label(s), nil
}

// MaxPrincipal is the longest principal: a kind and the name of one.
const MaxPrincipal = 100

var principalForm = regexp.MustCompile(`^[a-z]+:[A-Za-z0-9][A-Za-z0-9._-]*$`)

// ParsePrincipal checks what somebody wrote for a principal. That it has the form says
// nothing of who is meant: a principal that counts is made from what the kernel says.
func ParsePrincipal(s string) (Principal, error) {
	if len(s) > MaxPrincipal || !principalForm.MatchString(s) {
		return "", fmt.Errorf("principal %.120q: write the kind and the name, e.g. uid:1000", s)
	}
	return Principal(s), nil
}
