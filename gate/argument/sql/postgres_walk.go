package sql

import "strings"

// postgresValue walks any part of a tree. lax is set inside statements that are
// allowed by a class of their own, whose parts need not all be known.
func (r *reading) postgresValue(v value, lax bool) {
	for _, e := range v.list {
		r.postgresValue(e, lax)
	}
	if kind, fields := v.node(); kind != "" {
		r.postgresNode(kind, fields, lax)
		return
	}
	if v.kind == '{' {
		r.postgresObject(v, lax)
	}
	if v.kind == '"' {
		r.name(v.word)
	}
}

// postgresFields walks a statement.
func (r *reading) postgresFields(kind string, fields value) {
	if query[kind] {
		r.postgresTarget(fields)
	}
	r.postgresObject(fields, ownClass(kind))
}

// postgresNode judges a node below a statement.
func (r *reading) postgresNode(kind string, fields value, lax bool) {
	switch kind {
	case "A_Const":
		return // a literal holds no name
	case "SelectStmt":
	case "FuncCall":
		r.postgresCall(fields.get("funcname").names())
	case "RangeVar":
		r.postgresTable(fields, true)
		return
	case "ColumnRef":
		r.postgresColumns(fields.get("fields").names())
	case "A_Indirection":
		r.postgresColumns(fields.get("indirection").names())
	case "A_Expr":
		r.postgresOperator(fields.get("name").names())
	case "SortBy":
		r.postgresOperator(fields.get("useOp").names())
	case "SubLink":
		r.postgresOperator(fields.get("operName").names())
	default:
		r.postgresOther(kind, fields, lax)
	}
	r.postgresObject(fields, lax)
}

// postgresOther judges a node that names nothing itself: a statement inside
// another, or a part that must be known.
func (r *reading) postgresOther(kind string, fields value, lax bool) {
	if strings.HasSuffix(kind, "Stmt") {
		for _, c := range postgresClasses(kind, fields) {
			r.hidden(c)
		}
		r.postgresTarget(fields)
	}
	if !lax && !queryNodes[kind] {
		r.unknown(kind)
	}
}

// postgresObject walks the fields of a node. The names that its WITH gives hold
// in all of them.
func (r *reading) postgresObject(v value, lax bool) {
	if v.has("lockingClause") {
		r.class(Lock)
	}
	if v.has("intoClause") {
		r.class(Schema) // SELECT INTO makes a table
	}
	if v.has("withClause") {
		r.postgresWith(v.get("withClause"), lax)
		defer r.pop()
	}
	for _, f := range v.fields {
		switch {
		case f.name == "withClause":
		case f.kind == '{' && f.has("relname"): // a table where only one can stand: a target
			r.postgresTable(f.value, false)
		case isNode(f.name):
			r.postgresNode(f.name, f.value, lax)
		default:
			r.postgresValue(f.value, lax)
		}
	}
}

// postgresWith walks the queries of a WITH and leaves its names pushed. A query
// sees those before it, and with RECURSIVE all.
func (r *reading) postgresWith(with value, lax bool) {
	var names []string
	ctes := with.get("ctes").list
	if with.get("recursive").word == "true" {
		for _, c := range ctes {
			_, f := c.node()
			names = append(names, f.get("ctename").word)
		}
		r.push(names)
		r.postgresValue(with.get("ctes"), lax)
		return
	}
	r.push(nil)
	for _, c := range ctes {
		r.postgresValue(c, lax)
		_, f := c.node()
		names = append(names, f.get("ctename").word)
		r.scopes[len(r.scopes)-1] = names
	}
}

// postgresTable judges a table; free says that it can be one that WITH gave.
func (r *reading) postgresTable(v value, free bool) {
	schema, name := v.get("schemaname").word, v.get("relname").word
	r.name(v.get("alias").get("aliasname").word)
	switch {
	case v.has("catalogname"):
		r.add(refuse("sql.table", "it names a database beside the table", "name the schema and the table alone"))
	case free && schema == "" && r.given(name):
	default:
		r.table(schema, name)
	}
}

// postgresTarget judges the table that a statement changes: a superuser can change
// the catalogue, and with it who is one.
func (r *reading) postgresTarget(fields value) {
	t := fields.get("relation")
	schema, name := t.get("schemaname").word, t.get("relname").word
	if schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast" || schema == "" && strings.HasPrefix(name, "pg_") {
		r.hidden(Admin)
	}
}

func (r *reading) postgresCall(name []string) {
	switch len(name) {
	case 1:
		r.function("", name[0])
	case 2:
		r.function(name[0], name[1])
	default:
		r.unknown("a function's name")
	}
}

// postgresColumns judges what looks like a column. (x).f and x.f call f(x) where x
// has no such column, so a dangerous function can be called without brackets.
func (r *reading) postgresColumns(names []string) {
	for _, n := range names {
		if dangerousColumn(n) || sequenceClass(n) != 0 {
			r.function("", n)
		}
	}
}

// postgresOperator holds OPERATOR(schema.+): it names a function of that schema.
func (r *reading) postgresOperator(name []string) {
	if len(name) > 1 && name[0] != "pg_catalog" {
		r.add(hold("sql.function", "it uses an operator of a schema of its own", "use built-in operators"))
	}
}
