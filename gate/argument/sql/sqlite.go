package sql

import (
	"fmt"
	"strings"

	"github.com/sqlc-dev/meyer/ast"
	"github.com/sqlc-dev/meyer/parser"

	"github.com/mcprun/mcprun/gate/argument"
)

// sqlite judges text as SQLite reads it.
func (r *reading) sqlite(text string) {
	list, err := parseSQLite(text)
	if err != nil {
		r.add(refuse("sql.syntax", "SQLite would not read it: "+argument.Shown(err.Error()), "send SQL that SQLite accepts"))
		return
	}
	if !r.statements(len(list)) {
		return
	}
	for _, s := range list {
		r.sqliteStatement(s)
	}
}

// parseSQLite parses without a panic: the parser is young, and a check must answer.
func parseSQLite(text string) (list []ast.Stmt, err error) {
	defer func() {
		if v := recover(); v != nil {
			list, err = nil, fmt.Errorf("the parser gave up: %v", v)
		}
	}()
	// A server may be built with ORDER BY and LIMIT in changes; that adds to the
	// grammar and reads nothing else differently.
	return parser.Options{UpdateDeleteLimit: true}.ParseString(text)
}

func (r *reading) sqliteStatement(s ast.Stmt) {
	if e, ok := s.(*ast.ExplainStmt); ok {
		switch inner := e.Stmt.(type) {
		case *ast.SelectStmt, *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt:
			r.class(Read) // EXPLAIN never runs it
			r.sqliteNode(inner)
			return
		}
		s = e.Stmt // some PRAGMAs act while they are compiled, so EXPLAIN is no excuse
	}
	classes := r.sqliteClasses(s)
	for _, c := range classes {
		r.class(c)
		r.writes = Insert <= c && c <= Delete
	}
	r.sqliteNode(s)
	r.writes = false
}

// sqliteClasses says what a statement does.
func (r *reading) sqliteClasses(s ast.Stmt) []Class {
	switch s := s.(type) {
	case *ast.SelectStmt:
		return []Class{Read}
	case *ast.InsertStmt:
		return insertClasses(s)
	case *ast.UpdateStmt:
		if s.OrConflict == ast.ConflictReplace {
			return []Class{Update, Delete}
		}
		return []Class{Update}
	case *ast.DeleteStmt:
		return []Class{Delete}
	case *ast.BeginStmt, *ast.CommitStmt, *ast.RollbackStmt, *ast.SavepointStmt, *ast.ReleaseStmt:
		return []Class{Transaction}
	case *ast.CreateTableStmt, *ast.CreateIndexStmt, *ast.CreateViewStmt, *ast.CreateTriggerStmt, *ast.AlterTableStmt,
		*ast.DropTableStmt, *ast.DropViewStmt, *ast.DropIndexStmt, *ast.DropTriggerStmt:
		return []Class{Schema}
	case *ast.PragmaStmt:
		if r.pragmaTells(s) {
			return []Class{Read}
		}
	}
	return []Class{Admin} // a virtual table too: its module may open files
}

func insertClasses(s *ast.InsertStmt) []Class {
	classes := []Class{Insert}
	for _, u := range s.Upserts {
		if !u.DoNothing {
			classes = append(classes, Update)
			break
		}
	}
	if s.Replace || s.OrConflict == ast.ConflictReplace {
		classes = append(classes, Delete)
	}
	return classes
}

// pragmaTells says whether a PRAGMA only tells something. Where tables are
// limited none does: it would tell of the others.
func (r *reading) pragmaTells(s *ast.PragmaStmt) bool {
	name := lowerASCII(s.Name.Name.Name)
	if r.spec.Tables != nil {
		return false
	}
	return sqlitePragmas[name] || !s.HasValue && sqliteSettings[name]
}

// sqliteNode walks a part of a tree.
func (r *reading) sqliteNode(n ast.Node) {
	switch n := n.(type) {
	case *ast.SelectStmt:
		r.sqliteWith(n.With, n)
		return
	case *ast.InsertStmt:
		r.sqliteTarget(n.Table)
		r.sqliteWith(n.With, n)
		return
	case *ast.UpdateStmt:
		r.sqliteTarget(n.Table)
		r.sqliteWith(n.With, n)
		return
	case *ast.DeleteStmt:
		r.sqliteTarget(n.Table)
		r.sqliteWith(n.With, n)
		return
	case *ast.FuncCall:
		r.function("", n.Name.Name)
	case *ast.TableRef:
		r.sqliteTable(n.Name, n.HasArgs)
	case *ast.InExpr:
		r.sqliteTable(n.Table, n.HasArgs)
	case *ast.Ident:
		r.name(n.Name)
	case *ast.QualifiedName, *ast.QualifiedRef, *ast.Star, *ast.Literal, *ast.BindParam, *ast.BinaryExpr, *ast.UnaryExpr,
		*ast.ParenExpr, *ast.LikeExpr, *ast.IsExpr, *ast.NullCheckExpr, *ast.BetweenExpr, *ast.CaseExpr, *ast.CaseWhen,
		*ast.CastExpr, *ast.CollateExpr, *ast.ExistsExpr, *ast.SubqueryExpr, *ast.VectorExpr, *ast.RaiseExpr, *ast.TypeName,
		*ast.SelectQuery, *ast.ValuesClause, *ast.ResultColumn, *ast.JoinOperator, *ast.OrderingTerm, *ast.Limit, *ast.With,
		*ast.CTE, *ast.FrameBound, *ast.WindowDef, *ast.Upsert, *ast.SetPair:
	default:
		r.sqliteOther(n)
	}
	r.sqliteChildren(n)
}

// sqliteOther judges the parts that only statements of the higher classes have;
// their class lets them in.
func (r *reading) sqliteOther(n ast.Node) {
	switch n := n.(type) {
	case *ast.CreateTableStmt:
		r.sqliteTarget(n.Name)
	case *ast.CreateViewStmt:
		r.sqliteTarget(n.Name)
	case *ast.CreateIndexStmt:
		r.sqliteTarget(&ast.QualifiedName{Schema: n.Name.Schema, Name: n.Table})
	case *ast.CreateTriggerStmt:
		r.sqliteTrigger(n)
	case *ast.AlterTableStmt:
		r.sqliteTarget(n.Table)
	case *ast.DropTableStmt:
		r.sqliteTarget(n.Name)
	case *ast.DropViewStmt:
		r.sqliteTarget(n.Name)
	case *ast.TableOption, *ast.ColumnDef, *ast.ColumnConstraint, *ast.TableConstraint, *ast.IndexedColumn,
		*ast.ForeignKeyClause, *ast.ForeignKeyArg, *ast.DeferClause, *ast.DropIndexStmt, *ast.DropTriggerStmt,
		*ast.BeginStmt, *ast.CommitStmt, *ast.RollbackStmt, *ast.SavepointStmt, *ast.ReleaseStmt,
		*ast.CreateVirtualTableStmt, *ast.AttachStmt, *ast.DetachStmt, *ast.PragmaStmt, *ast.VacuumStmt,
		*ast.AnalyzeStmt, *ast.ReindexStmt:
	default:
		r.unknown(strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast."))
	}
}

// sqliteTrigger judges what a trigger will do, later and unseen.
func (r *reading) sqliteTrigger(n *ast.CreateTriggerStmt) {
	for _, c := range n.Children() {
		if s, ok := c.(ast.Stmt); ok {
			for _, c := range r.sqliteClasses(s) {
				r.hidden(c)
			}
		}
	}
}

func (r *reading) sqliteChildren(n ast.Node) {
	for _, c := range n.Children() {
		r.sqliteNode(c)
	}
}

// sqliteWith walks a statement with the names that its WITH gives. In SQLite they
// hold in every part of the statement and in each other.
func (r *reading) sqliteWith(w *ast.With, n ast.Node) {
	if w != nil {
		var names []string
		for _, c := range w.CTEs {
			names = append(names, lowerASCII(c.Name.Name))
		}
		r.push(names)
		defer r.pop()
	}
	r.sqliteChildren(n)
}

// sqliteTable judges a table in FROM or after IN.
func (r *reading) sqliteTable(q *ast.QualifiedName, called bool) {
	if q == nil {
		return
	}
	var schema string
	if q.Schema != nil {
		schema = q.Schema.Name
	}
	name := lowerASCII(q.Name.Name)
	switch {
	case sqliteModules[name]: // a WITH of that name makes it no safer to read
		r.function("", name)
	case called && strings.HasPrefix(name, "pragma_") && sqlitePragmas[name[len("pragma_"):]]:
		r.table("", name)
	case called:
		r.function("", name)
	case strings.HasPrefix(name, "pragma_"):
		if !sqlitePragmas[name[len("pragma_"):]] && !sqliteSettings[name[len("pragma_"):]] {
			r.function("", name)
		}
		r.table(schema, name)
	case schema == "" && r.given(name):
	default:
		r.table(schema, name)
	}
}

// sqliteTarget judges the table that a statement changes; WITH gives none.
func (r *reading) sqliteTarget(q *ast.QualifiedName) {
	if q == nil {
		return
	}
	if name := lowerASCII(q.Name.Name); strings.HasPrefix(name, "sqlite_") {
		r.hidden(Admin) // the engine's own tables
	}
	r.sqliteTable(&ast.QualifiedName{Schema: orMain(q.Schema), Name: q.Name}, false)
}

// orMain names the schema, so that the name is not taken for one of WITH.
func orMain(schema *ast.Ident) *ast.Ident {
	if schema == nil {
		return &ast.Ident{Name: "main"}
	}
	return schema
}
