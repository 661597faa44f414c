// Package sql judges arguments that hold SQL: (text, [Spec]) → finding. It parses
// the text as the database will, with PostgreSQL's own parser or with one that
// follows SQLite's grammar rule by rule, and judges the tree: what kind of
// statement it is, which tables and functions it names, and whether something
// else hides inside. What does not parse is refused, and so is a construct that
// this package does not know.
//
// It protects against text that says more than it seems to: stacked statements,
// data changes in a WITH, SELECT INTO, functions that read files or run SQL of
// their own, PRAGMA, ATTACH, COPY, and all of it behind comments, quoting and
// odd characters.
//
// What it does not protect:
//   - A view, a trigger, a rule, an operator, a cast or a function of the database
//     can do more than its name says, and one of the database's own can carry the
//     name of a harmless built-in. In PostgreSQL a function of one argument can
//     also be called as if it were a column; the dangerous built-ins are found
//     there, the database's own are not.
//   - A read can be slow or large: there is no bound on what a query costs.
//   - A PostgreSQL server with standard_conforming_strings off reads backslashes
//     in strings differently; it has been on by default since 9.1.
//   - A tool that changes the text before it sends it, or speaks another dialect.
//
// The rights of the database's own user are the second fence: give a reading tool
// a reading user.
package sql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// Dialect is whose SQL it is. The zero value is none.
type Dialect uint8

const (
	Postgres Dialect = iota + 1
	SQLite
)

func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return "no dialect"
}

// Class is what a statement does. A statement can be of several, as an INSERT
// that updates on conflict.
type Class uint8

const (
	Read        Class = iota + 1 // SELECT, VALUES, TABLE, SHOW, EXPLAIN, PRAGMAs that only tell
	Lock                         // SELECT … FOR UPDATE and its kin, LOCK
	Insert                       // INSERT, MERGE; nextval
	Update                       // UPDATE, MERGE, INSERT that updates; setval
	Delete                       // DELETE, MERGE, REPLACE
	Transaction                  // BEGIN to ROLLBACK, savepoints, cursors
	Schema                       // CREATE, ALTER, DROP, TRUNCATE, SELECT INTO, temporary tables too
	Admin                        // all else: COPY, DO, CALL, SET, EXECUTE, LISTEN, GRANT, ATTACH, PRAGMA, VACUUM …
)

var classNames = [...]string{Read: "read", Lock: "lock", Insert: "insert", Update: "update", Delete: "delete",
	Transaction: "transaction", Schema: "schema", Admin: "admin"}

func (c Class) String() string {
	if !c.valid() {
		return "no class"
	}
	return classNames[c]
}

func (c Class) valid() bool { return Read <= c && c <= Admin }

// Spec is what an argument's SQL may be. The zero value is invalid and refuses
// everything.
type Spec struct {
	Dialect Dialect

	// Classes says what becomes of a statement of each class; a class that is
	// absent is refused. A data change inside another statement, as a DELETE in a
	// WITH, needs Pass: nobody who is asked about a SELECT expects it, so where
	// its class is held it is refused.
	Classes map[Class]argument.Verdict

	// Tables, if set, are the only tables, as the database stores their names:
	// "table" or "schema.table". An entry without a schema is the table without
	// one (in SQLite also main's), and no other schema's. PostgreSQL compares
	// letter by letter, after folding what the statement does not quote; SQLite
	// takes ASCII letters of either case as equal.
	Tables []string

	// Functions may be called besides the built-in ones that are known to be
	// harmless, as "name" or "schema.name". Any other function is held. The
	// dangerous ones cannot be allowed.
	Functions []string

	// Many allows more than one statement.
	Many bool
}

// ReadOnly lets reads pass, holds INSERT, UPDATE and DELETE, and refuses the rest.
func ReadOnly(d Dialect) Spec {
	return Spec{Dialect: d, Classes: map[Class]argument.Verdict{
		Read: argument.Pass, Insert: argument.Hold, Update: argument.Hold, Delete: argument.Hold,
	}}
}

// Validate says everything that is wrong with s.
func (s Spec) Validate() error {
	var errs []error
	if s.Dialect != Postgres && s.Dialect != SQLite {
		errs = append(errs, errors.New("the dialect is neither PostgreSQL nor SQLite"))
	}
	var classes []Class
	for c := range s.Classes {
		classes = append(classes, c)
	}
	slices.Sort(classes)
	for _, c := range classes {
		if v := s.Classes[c]; !c.valid() || v > argument.Pass {
			errs = append(errs, fmt.Errorf("class %d with verdict %d: no such class or verdict", c, v))
		}
	}
	for _, t := range s.Tables {
		if !validName(t) {
			errs = append(errs, fmt.Errorf("table %s is neither a name nor schema.name", argument.Shown(t)))
		}
	}
	for _, f := range s.Functions {
		if !validName(f) {
			errs = append(errs, fmt.Errorf("function %s is neither a name nor schema.name", argument.Shown(f)))
		} else if _, name := splitName(f); dangerous(s.Dialect, s.fold(name)) {
			errs = append(errs, fmt.Errorf("function %s is dangerous and cannot be allowed", argument.Shown(f)))
		}
	}
	return errors.Join(errs...)
}

// validName wants one name, or two around one dot.
func validName(s string) bool {
	schema, name := splitName(s)
	return name != "" && !strings.Contains(name, ".") && (schema != "" || !strings.Contains(s, ".")) && readable(s)
}

// splitName splits "schema.name" at the first dot.
func splitName(s string) (schema, name string) {
	if a, b, ok := strings.Cut(s, "."); ok {
		return a, b
	}
	return "", s
}

// fold brings a name into the form in which the engine compares it.
func (s Spec) fold(name string) string {
	if s.Dialect == SQLite {
		return lowerASCII(name)
	}
	return name
}

// Judge judges one text. The same text under the same spec always gets the same
// finding, unless the parser was out of time; then it is refused.
func (s Spec) Judge(text string) argument.Finding {
	if s.Validate() != nil {
		return refuse("sql.spec", "the rule for this SQL is invalid", "")
	}
	if f := legible(text); f.Verdict != argument.Pass {
		return f
	}
	f := s.judge(text)
	switch {
	case f.Rule == "sql.syntax" && strings.ContainsFunc(text, odd):
		return argument.Worse(s.judge(plain(text)), foundOdd)
	case f.Verdict == argument.Pass && strings.Contains(text, "/*!"):
		return hold("sql.odd", "it has a comment that MySQL would run", "leave the comment out")
	}
	return f
}

// judge judges legible text.
func (s Spec) judge(text string) argument.Finding {
	r := reading{spec: s, found: argument.Passed}
	if s.Dialect == Postgres {
		r.postgres(text)
	} else {
		r.sqlite(text)
	}
	return r.found
}

func refuse(rule, reason, hint string) argument.Finding {
	return argument.Finding{Rule: rule, Reason: reason, Hint: hint}
}

func hold(rule, reason, hint string) argument.Finding {
	return argument.Finding{Verdict: argument.Hold, Rule: rule, Reason: reason, Hint: hint}
}
