package manifest

import (
	"fmt"
	"strings"
)

// Error is one thing that is wrong in a server.yaml.
type Error struct {
	Line, Col int    // from 1; 0 when the value did not come from a file
	Key       string // which key, e.g. files[2].to; empty for the file as a whole
	What      string
	Fix       string
}

func (e Error) Error() string {
	if e.Key == "" {
		return e.What
	}
	return e.Key + ": " + e.What
}

// ErrorList holds all errors of one server.yaml, sorted by position.
type ErrorList struct {
	File   string
	Errors []Error
	More   int // how many errors beyond MaxErrors are not listed
}

// Error prints each error as file:line:col: what, and below it the fix.
func (l *ErrorList) Error() string {
	var b strings.Builder
	for i, e := range l.Errors {
		if i > 0 {
			b.WriteByte('\n')
		}
		if e.Line > 0 {
			fmt.Fprintf(&b, "%s:%d:%d: ", l.File, e.Line, e.Col)
		}
		b.WriteString(e.Error())
		if e.Fix != "" {
			b.WriteString("\n    fix: " + e.Fix)
		}
	}
	if l.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", l.More)
	}
	return b.String()
}

// Unwrap gives the single errors to errors.As.
func (l *ErrorList) Unwrap() []error {
	errs := make([]error, len(l.Errors))
	for i, e := range l.Errors {
		errs[i] = e
	}
	return errs
}

// Note is something that is allowed and still worth a look.
type Note struct {
	Line, Col int
	Text      string
}
