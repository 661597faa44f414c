package sql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// maxStatements bounds a text of many statements; a human who is asked reads no
// more.
const maxStatements = 100

// reading judges what a walk over a tree comes upon. It keeps the worst finding,
// the first of several that are as bad.
type reading struct {
	spec   Spec
	found  argument.Finding
	writes bool       // the statement at hand is itself a data change
	scopes [][]string // the names that WITH gives, the inner ones last
}

func (r *reading) add(f argument.Finding) { r.found = argument.Worse(r.found, f) }

// statements judges how many there are.
func (r *reading) statements(n int) bool {
	switch {
	case n == 0:
		r.add(refuse("sql.empty", "there is no statement", "send one statement"))
	case n > maxStatements:
		r.add(refuse("sql.many", fmt.Sprintf("there are more than %d statements", maxStatements), "send fewer"))
	case n > 1 && !r.spec.Many:
		r.add(refuse("sql.many", "there is more than one statement", "send one statement at a time"))
	default:
		return true
	}
	return false
}

// class judges what the statement itself is.
func (r *reading) class(c Class) {
	switch r.spec.Classes[c] {
	case argument.Pass:
	case argument.Hold:
		r.add(hold("sql.class", fmt.Sprintf("its class is %s, which needs an approval", c), r.accepted()))
	default:
		r.add(refuse("sql.class", fmt.Sprintf("its class is %s, which is not allowed", c), r.accepted()))
	}
}

// hidden judges a data change inside another statement.
func (r *reading) hidden(c Class) {
	if r.spec.Classes[c] != argument.Pass {
		r.add(refuse("sql.hidden", fmt.Sprintf("inside it is a part of class %s", c), r.accepted()))
	}
}

// accepted is the hint of both.
func (r *reading) accepted() string {
	var pass []string
	for c := Read; c <= Admin; c++ {
		if r.spec.Classes[c] == argument.Pass {
			pass = append(pass, c.String())
		}
	}
	if pass == nil {
		return ""
	}
	return "accepted: " + strings.Join(pass, ", ")
}

// function judges a call.
func (r *reading) function(schema, name string) {
	d, schema, name := r.spec.Dialect, r.spec.fold(schema), r.spec.fold(name)
	r.name(schema)
	r.name(name)
	if dangerous(d, name) {
		r.reaches(name)
		return
	}
	builtin := d == SQLite && schema == "" || d == Postgres && (schema == "" || schema == "pg_catalog")
	if c := sequenceClass(name); c != 0 && d == Postgres {
		r.sequence(c)
		if builtin {
			return
		}
	}
	if builtin && harmless(d, name) || slices.ContainsFunc(r.spec.Functions, func(f string) bool {
		s, n := splitName(r.spec.fold(f))
		return s == schema && n == name
	}) {
		return
	}
	if dangerousElsewhere(lowerASCII(name)) {
		r.reaches(name)
		return
	}
	r.add(hold("sql.function", fmt.Sprintf("it calls %s, which is not known to be harmless", argument.Shown(name)), "use built-in functions, or have server.yaml name this one"))
}

func (r *reading) reaches(function string) {
	r.add(refuse("sql.function", fmt.Sprintf("it calls %s, which reaches beyond the query", argument.Shown(function)), "use plain functions"))
}

// sequence judges nextval and setval: part of a data change, hidden in a read.
func (r *reading) sequence(c Class) {
	if r.writes {
		r.class(c)
	} else {
		r.hidden(c)
	}
}

// table judges the name of a table that is not one that WITH gave.
func (r *reading) table(schema, name string) {
	schema, name = r.spec.fold(schema), r.spec.fold(name)
	r.name(schema)
	r.name(name)
	if r.spec.Tables == nil {
		if r.spec.Dialect == Postgres && holdsSecrets(schema, name) {
			r.add(refuse("sql.secrets", "it reads a table of the catalogue that holds passwords or what files hold", "read something else"))
		}
		return
	}
	if r.spec.Dialect == SQLite && schema == "main" {
		schema = ""
	}
	for _, t := range r.spec.Tables {
		s, n := splitName(r.spec.fold(t))
		if r.spec.Dialect == SQLite && s == "main" {
			s = ""
		}
		if s == schema && n == name {
			return
		}
	}
	r.add(refuse("sql.table", fmt.Sprintf("it names %s, which is not among the allowed tables", argument.Shown(name)), "use the tables that server.yaml names"))
}

// secretTables are those of PostgreSQL's catalogue that no reading of data needs:
// hashes of passwords, passwords for other servers, the server's own files, and
// objects that are read around the rights of tables.
var secretTables = []string{"pg_authid", "pg_shadow", "pg_user_mapping", "pg_user_mappings", "pg_subscription", "pg_largeobject", "pg_hba_file_rules",
	"pg_ident_file_mappings", "pg_file_settings", "user_mapping_options", "_pg_user_mappings"}

func holdsSecrets(schema, name string) bool {
	return (schema == "" || schema == "pg_catalog" || schema == "information_schema") && slices.Contains(secretTables, name)
}

// name judges the characters of a name: one that a human cannot tell from another
// is held.
func (r *reading) name(s string) {
	if strings.ContainsFunc(s, odd) {
		r.add(foundOdd)
	}
}

// unknown judges a construct that the walk has no word on.
func (r *reading) unknown(what string) {
	r.add(refuse("sql.construct", fmt.Sprintf("it has a part that this check does not know (%s)", what), "write it more plainly"))
}

func (r *reading) push(names []string) { r.scopes = append(r.scopes, names) }
func (r *reading) pop()                { r.scopes = r.scopes[:len(r.scopes)-1] }

// given says whether WITH gave the name where the walk is.
func (r *reading) given(name string) bool {
	name = r.spec.fold(name)
	return slices.ContainsFunc(r.scopes, func(s []string) bool { return slices.Contains(s, name) })
}
