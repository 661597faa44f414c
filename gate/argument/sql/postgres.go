package sql

import (
	"errors"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// postgres judges text as PostgreSQL reads it.
func (r *reading) postgres(text string) {
	raw, err := postgres.parse(text)
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		r.add(refuse("sql.syntax", "PostgreSQL would not read it: "+argument.Shown(syntax.message), "send SQL that PostgreSQL accepts"))
		return
	case err != nil:
		r.add(refuse("sql.parser", "PostgreSQL's parser gave no answer", "send simpler SQL"))
		return
	}
	tree, err := readTree(raw)
	if err != nil {
		r.add(refuse("sql.parser", "PostgreSQL's parser gave no tree that can be read", "send simpler SQL"))
		return
	}
	list := tree.get("stmts").list
	if !r.statements(len(list)) {
		return
	}
	for _, s := range list {
		r.postgresStatement(s.get("stmt"))
	}
}

func (r *reading) postgresStatement(s value) {
	kind, fields := s.node()
	if kind == "ExplainStmt" {
		inner, of := fields.get("query").node()
		if query[inner] && !analyzes(fields) {
			r.class(Read) // EXPLAIN alone runs nothing
			r.postgresFields(inner, of)
			return
		}
		kind, fields = inner, of
	}
	classes := postgresClasses(kind, fields)
	for _, c := range classes {
		r.class(c)
		r.writes = Insert <= c && c <= Delete
	}
	r.postgresFields(kind, fields)
	r.writes = false
}

// analyzes says whether EXPLAIN runs the statement. What follows ANALYZE is not
// looked at: false is a rare way to say nothing.
func analyzes(explain value) bool {
	for _, o := range explain.get("options").list {
		if _, f := o.node(); strings.EqualFold(f.get("defname").word, "analyze") {
			return true
		}
	}
	return false
}

// query are the statements that EXPLAIN plans without running them.
var query = set("SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt")

// postgresClasses says what a statement does.
func postgresClasses(kind string, fields value) []Class {
	switch kind {
	case "SelectStmt", "VariableShowStmt":
		return []Class{Read}
	case "InsertStmt":
		if fields.get("onConflictClause").get("action").word == "ONCONFLICT_UPDATE" {
			return []Class{Insert, Update}
		}
		return []Class{Insert}
	case "UpdateStmt":
		return []Class{Update}
	case "DeleteStmt":
		return []Class{Delete}
	case "MergeStmt":
		return []Class{Insert, Update, Delete}
	case "LockStmt":
		return []Class{Lock}
	case "TransactionStmt":
		if transactions[fields.get("kind").word] {
			return []Class{Transaction}
		}
	case "DeclareCursorStmt", "FetchStmt", "ClosePortalStmt":
		return []Class{Transaction}
	}
	if schemaStatements[kind] {
		return []Class{Schema}
	}
	return []Class{Admin}
}

// transactions leaves out two-phase commit, which outlives the session.
var transactions = set(`TRANS_STMT_BEGIN TRANS_STMT_START TRANS_STMT_COMMIT TRANS_STMT_ROLLBACK
	TRANS_STMT_SAVEPOINT TRANS_STMT_RELEASE TRANS_STMT_ROLLBACK_TO`)

// schemaStatements are those that make and unmake tables and what belongs to
// them. What runs code (functions, triggers, rules, extensions), and what concerns
// rights, roles and servers, is Admin.
var schemaStatements = set(`CreateStmt CreateTableAsStmt ViewStmt IndexStmt AlterTableStmt RenameStmt DropStmt
	TruncateStmt CommentStmt CreateSeqStmt AlterSeqStmt CreateSchemaStmt CreateDomainStmt AlterDomainStmt CreateEnumStmt
	AlterEnumStmt CompositeTypeStmt CreateRangeStmt RefreshMatViewStmt CreateStatsStmt AlterStatsStmt`)

// queryNodes are the parts of which reads and data changes are made. A part that
// is missing here is refused, except in a statement of a class of its own.
var queryNodes = set(`SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt MergeWhenClause VariableShowStmt ExplainStmt
	ResTarget ColumnRef String A_Star A_Const A_Expr BoolExpr NullTest BooleanTest FuncCall SubLink CaseExpr CaseWhen
	CoalesceExpr MinMaxExpr A_ArrayExpr A_Indirection A_Indices RowExpr TypeCast TypeName CollateClause ParamRef
	SQLValueFunction XmlExpr XmlSerialize GroupingFunc GroupingSet NamedArgExpr SetToDefault MultiAssignRef
	RangeVar RangeSubselect RangeFunction RangeTableSample RangeTableFunc RangeTableFuncCol JoinExpr
	WindowDef SortBy LockingClause CommonTableExpr List Integer Float Boolean BitString ColumnDef IndexElem
	JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg JsonKeyValue
	JsonValueExpr JsonIsPredicate JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonFuncExpr JsonTable JsonTableColumn
	JsonArgument JsonTablePathSpec JsonOutput`)

// ownClass are the statements whose parts queryNodes need not know.
func ownClass(kind string) bool { return !query[kind] && kind != "VariableShowStmt" }
