package profiles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// Rule says what happens to one call.
type Rule struct {
	Call    string
	Arch    string         // the only GOARCH that has the call; empty for all
	Verdict mcprun.Verdict // Deny: the call answers Answer, not EPERM
	Answer  Answer         // what programs take for a reason to do without
	Where   []Condition    // all must hold; none means always
	Reason  string
	Profile string // the file that the rule stands in
	Line    int    // in it; 0 if not known
}

// Answer is the error that a call gets in place of EPERM, where EPERM would stop
// a program that could go on. The zero value is for calls that are allowed.
type Answer string

const (
	ENOSYS     Answer = "ENOSYS"     // as on an older kernel
	EOPNOTSUPP Answer = "EOPNOTSUPP" // as on a file system that cannot do it
)

// Errno is the number of the answer, the same on both architectures
// (asm-generic/errno.h); 0 for anything that is not an answer.
func (a Answer) Errno() uint {
	switch a {
	case ENOSYS:
		return 38
	case EOPNOTSUPP:
		return 95
	}
	return 0
}

// Condition holds when the low 32 bits of an argument, masked, are one of Any.
//
// All arguments judged are C ints or flags of which the kernel itself reads the
// low 32 bits; looking at more would let a program slip past, or trip over, the
// bits that the kernel drops.
type Condition struct {
	Arg  uint
	Mask uint32
	Any  []Value
}

// Value is a number with the name that manual pages call it.
type Value struct {
	Name  string
	Value uint32
}

// wholeArg is the mask of a condition that states none.
const wholeArg = 0xffffffff

func (r Rule) on(goarch string) bool { return r.Arch == "" || r.Arch == goarch }

func (r Rule) clone() Rule {
	r.Where = slices.Clone(r.Where)
	for i := range r.Where {
		r.Where[i].Any = slices.Clone(r.Where[i].Any)
	}
	return r
}

// String is the rule on one line, without its reason.
func (r Rule) String() string {
	s := r.Verdict.String() + " " + r.Call
	if r.Verdict == mcprun.Deny && r.Answer != "" {
		s = string(r.Answer) + " " + r.Call
	}
	if r.Arch != "" {
		s += " on " + r.Arch
	}
	if len(r.Where) > 0 {
		s += " where " + r.WhereText()
	}
	return s
}

// WhereText is the conditions on one line; nothing if there are none.
func (r Rule) WhereText() string {
	parts := make([]string, len(r.Where))
	for i, c := range r.Where {
		parts[i] = c.String()
	}
	return strings.Join(parts, " and ")
}

func (c Condition) String() string {
	names := make([]string, len(c.Any))
	for i, v := range c.Any {
		names[i] = v.Name
	}
	s := fmt.Sprintf("argument %d", c.Arg)
	if c.Mask != wholeArg {
		s += fmt.Sprintf(" & %#x", c.Mask)
	}
	return s + " is " + strings.Join(names, " or ")
}
