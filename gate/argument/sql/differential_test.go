package sql

import (
	"context"
	"crypto/sha256"
	stdsql "database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sqlc-dev/meyer/ast"
	_ "modernc.org/sqlite" // the real engine, for tests alone

	"github.com/mcprun/mcprun/gate/argument"
)

// database makes one in a folder of its own, which is the working folder too, so
// that a relative name that a statement opens shows.
func database(t testing.TB) (*stdsql.DB, string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	db, err := stdsql.Open("sqlite", filepath.Join(dir, "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	for _, s := range []string{
		"CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b, c, d, ts, note)",
		"CREATE TABLE u (id, a, b)", "CREATE TABLE employee (id, name)", "CREATE TABLE x (a)",
		"CREATE INDEX i ON t (b)", "INSERT INTO t (b, c) VALUES (1, 'x'), (2, 'y')", "INSERT INTO employee VALUES (1, 'n')",
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	return db, dir
}

// state is all that a statement that writes, or changes the connection, changes.
func state(t testing.TB, db *stdsql.DB, dir string) string {
	t.Helper()
	var b strings.Builder
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", f.Name(), sha256.Sum256(raw))
	}
	for _, q := range []string{
		"SELECT total_changes()", "PRAGMA database_list", "PRAGMA writable_schema", "PRAGMA query_only", "PRAGMA foreign_keys",
		"PRAGMA journal_mode", "PRAGMA cache_size", "PRAGMA synchronous", "PRAGMA recursive_triggers", "PRAGMA temp_store",
		"SELECT count(*) FROM temp.sqlite_master", "PRAGMA trusted_schema", "PRAGMA case_sensitive_like", "PRAGMA busy_timeout",
	} {
		fmt.Fprintln(&b, q, run(db, q))
	}
	return b.String()
}

// run runs all of text and says what came of it.
func run(db *stdsql.DB, text string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return "error: " + err.Error()
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var b strings.Builder
	for n := 0; rows.Next() && n < 1000; n++ {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		if rows.Scan(cells...) != nil {
			break
		}
		for _, c := range cells {
			fmt.Fprint(&b, *c.(*any), " ")
		}
	}
	return b.String()
}

// What passes as a read changes nothing when SQLite runs it: no byte of the
// database, no setting of the connection, no other file.
func TestReadsWriteNothing(t *testing.T) {
	db, dir := database(t)
	s := ReadOnly(SQLite)
	state(t, db, dir) // the first look opens the temporary schema
	before, ran := state(t, db, dir), 0
	for _, r := range append(append([]row{}, both...), onlySQLite...) {
		if s.Judge(r.text).Verdict != argument.Pass {
			continue
		}
		if got := run(db, r.text); !strings.HasPrefix(got, "error") {
			ran++
		}
		if after := state(t, db, dir); before != after {
			t.Fatalf("%q passed and changed\n%s\ninto\n%s", r.text, before, after)
		}
	}
	if ran < 25 {
		t.Errorf("only %d statements ran", ran)
	}
	// The control: the state shows what is refused.
	for _, text := range []string{"DELETE FROM employee", "ATTACH 'other.db' AS o", "PRAGMA writable_schema=1", "CREATE TEMP TABLE z (a)", "EXPLAIN PRAGMA query_only=1"} {
		if s.Judge(text).Verdict == argument.Pass {
			t.Errorf("%q passed", text)
		}
		run(db, text)
		after := state(t, db, dir)
		if before == after && !strings.HasPrefix(text, "EXPLAIN") {
			t.Errorf("%q does not show in the state", text)
		}
		before = after
	}
}

// Nothing in the tree is behind a field that Children forgets: a call in it would
// not be seen.
func TestChildrenAreComplete(t *testing.T) {
	seen := 0
	for _, r := range append(append([]row{}, both...), onlySQLite...) {
		list, err := parseSQLite(r.text)
		if err != nil {
			continue
		}
		for _, s := range list {
			walked := map[any]bool{}
			ast.Walk(s, func(n ast.Node) bool { walked[n] = true; return true })
			reflected(reflect.ValueOf(s), func(n ast.Node) {
				seen++
				if _, op := n.(*ast.CompoundOp); !walked[n] && !op {
					t.Errorf("%q: Children leaves out a %T", r.text, n)
				}
			})
		}
	}
	if seen < 500 {
		t.Errorf("only %d nodes", seen)
	}
}

// reflected calls f for every node that any field leads to.
func reflected(v reflect.Value, f func(ast.Node)) {
	switch v.Kind() {
	case reflect.Interface:
		reflected(v.Elem(), f)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if n, ok := v.Interface().(ast.Node); ok {
			f(n)
		}
		reflected(v.Elem(), f)
	case reflect.Slice:
		for i := range v.Len() {
			reflected(v.Index(i), f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			reflected(v.Field(i), f)
		}
	}
}

func seeds(f *testing.F, lists ...[]row) {
	for _, l := range lists {
		for _, r := range l {
			if len(r.text) < 1000 {
				f.Add(r.text)
			}
		}
	}
}

// stricter holds what must be true of any text: the zero spec refuses it, and no
// spec passes it that allows less than one that does not.
func stricter(t *testing.T, d Dialect, text string) {
	t.Helper()
	s, wide := ReadOnly(d), all(d)
	wide.Many = true
	got := s.Judge(text)
	if again := s.Judge(text); again != got && again.Rule != "sql.parser" && got.Rule != "sql.parser" {
		t.Errorf("%q: %+v and %+v", text, got, again)
	}
	if w := wide.Judge(text); w.Verdict < got.Verdict && w.Rule != "sql.parser" {
		t.Errorf("%q: %+v, and with everything allowed %+v", text, got, w)
	}
	narrow := s
	narrow.Tables = []string{"t"}
	if n := narrow.Judge(text); n.Verdict > got.Verdict && got.Rule != "sql.parser" {
		t.Errorf("%q: %+v, and with one table %+v", text, got, n)
	}
	if f := (Spec{Dialect: d}).Judge(text); f.Verdict != argument.Refuse {
		t.Errorf("%q: with nothing allowed %+v", text, f)
	}
	if got.Verdict == argument.Pass && got != argument.Passed || got.Verdict != argument.Pass && (got.Rule == "" || got.Reason == "") {
		t.Errorf("%q: %+v", text, got)
	}
}

func FuzzPostgres(f *testing.F) {
	seeds(f, both, onlyPostgres)
	f.Fuzz(func(t *testing.T, text string) {
		stricter(t, Postgres, text)
		if ReadOnly(Postgres).Judge(text).Verdict == argument.Pass {
			if _, err := postgres.parse(text); err != nil {
				t.Errorf("%q passes and does not parse: %v", text, err)
			}
		}
	})
}

func FuzzSQLite(f *testing.F) {
	seeds(f, both, onlySQLite)
	db, err := stdsql.Open("sqlite", ":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (a, b, c); INSERT INTO t VALUES (1, 2, 3); CREATE TABLE employee (id, name); CREATE TABLE x (a)"); err != nil {
		f.Fatal(err)
	}
	empty := f.TempDir()
	state(f, db, empty) // the first look opens the temporary schema
	f.Fuzz(func(t *testing.T, text string) {
		stricter(t, SQLite, text)
		if ReadOnly(SQLite).Judge(text).Verdict != argument.Pass {
			return
		}
		if _, err := parseSQLite(text); err != nil {
			t.Errorf("%q passes and does not parse: %v", text, err)
		}
		before := state(t, db, empty)
		run(db, text)
		if after := state(t, db, empty); before != after {
			t.Errorf("%q passes and changed\n%s\ninto\n%s", text, before, after)
		}
	})
}
