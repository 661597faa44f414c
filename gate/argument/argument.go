// Package argument has what every typed check of a tool's argument says of a
// value. The checks themselves are packages below it: paths, URLs, shell
// commands, SQL, and words that tools take options from.
//
// A check is pure: the same value under the same rule always gets the same
// finding. It judges what a value says, not what the tool makes of it; a tool that
// reads a path as something else is held by its sandbox.
package argument

// Verdict is what one check says of one value. The zero value refuses.
type Verdict uint8

const (
	Refuse Verdict = iota
	Hold           // a human has to look at it
	Pass
)

func (v Verdict) String() string {
	switch v {
	case Hold:
		return "hold"
	case Pass:
		return "pass"
	}
	return "refuse"
}

// Finding is a verdict with its reasons. The zero value refuses.
type Finding struct {
	Verdict Verdict
	Rule    string // which part of the check, as "path.outside"
	Reason  string // one sentence without the value itself, or with no more of it than was quoted by Shown
	Hint    string // what would be accepted; may be empty
}

// Passed is the finding of a value with which nothing is wrong.
var Passed = Finding{Verdict: Pass}

// Worse returns the stricter of two findings, the first if they are alike.
func Worse(a, b Finding) Finding {
	if b.Verdict < a.Verdict {
		return b
	}
	return a
}

// Check judges one value of a call's arguments as text. It must be pure.
type Check interface {
	Judge(text string) Finding
}

// ListCheck is a Check that judges a list of texts as one value, as a program with
// its arguments.
type ListCheck interface {
	Check
	JudgeArgs(list []string) Finding
}

// Attached is a check tied to the values that it is for.
type Attached struct {
	At    Pointer // the zero Pointer: all of a call's arguments
	Check Check
}

// Unchecked is a check that lets everything pass: the operator's word that they know
// what an argument is.
type Unchecked struct{ Reason string }

// Judge lets everything pass.
func (Unchecked) Judge(string) Finding { return Passed }
