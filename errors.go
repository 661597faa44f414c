package mcprun

import "strings"

// Class sorts errors by what the one who sees them can do; it maps to exit
// codes and to wire codes.
type Class string

const (
	Failed      Class = "failed"      // it was tried and did not work
	Usage       Class = "usage"       // the request or a file is wrong
	Denied      Class = "denied"      // policy says no
	Unreachable Class = "unreachable" // there is no daemon to ask
)

// ExitCode is the exit code of mcprun for an error of this class; see
// docs/exit-codes.md.
func (c Class) ExitCode() int {
	switch c {
	case Usage:
		return 2
	case Denied:
		return 3
	case Unreachable:
		return 4
	}
	return 1
}

// Error is what people see: what happened, why, and what to type next.
type Error struct {
	Class Class  `json:"class"`
	What  string `json:"what"`           // what was being done, e.g. "starting files"
	Why   string `json:"why,omitempty"`  // the cause
	Hint  string `json:"hint,omitempty"` // a command or an edit that mends it
	Err   error  `json:"-"`              // the chain, for operators
}

func (e *Error) Error() string {
	parts := []string{e.What}
	if e.Why != "" {
		parts = append(parts, e.Why)
	} else if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }
