package sql

import (
	"testing"

	"github.com/mcprun/mcprun/gate/argument"
)

func all(d Dialect) Spec {
	s := Spec{Dialect: d, Classes: map[Class]argument.Verdict{}}
	for c := Read; c <= Admin; c++ {
		s.Classes[c] = argument.Pass
	}
	return s
}

func TestZeroSpecRefuses(t *testing.T) {
	for _, s := range []Spec{{}, {Dialect: Postgres}, {Dialect: SQLite}, {Dialect: 9, Classes: all(SQLite).Classes}} {
		if f := s.Judge("SELECT 1"); f.Verdict != argument.Refuse || f.Rule == "" {
			t.Errorf("%+v: %+v", s, f)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, s := range []Spec{
		{},
		{Dialect: Postgres, Classes: map[Class]argument.Verdict{0: argument.Pass}},
		{Dialect: Postgres, Classes: map[Class]argument.Verdict{Read: 3}},
		{Dialect: Postgres, Tables: []string{""}},
		{Dialect: Postgres, Tables: []string{"a.b.c"}},
		{Dialect: Postgres, Tables: []string{".b"}},
		{Dialect: Postgres, Functions: []string{"public.pg_read_file"}},
		{Dialect: Postgres, Functions: []string{"dblink_exec"}},
		{Dialect: SQLite, Functions: []string{"ReadFile"}},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
	for _, s := range []Spec{ReadOnly(Postgres), ReadOnly(SQLite), all(Postgres), {Dialect: SQLite, Tables: []string{"a", "main.b"}, Functions: []string{"f"}}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestTables(t *testing.T) {
	s := ReadOnly(Postgres)
	s.Tables = []string{"users", "app.orders", "Mixed"}
	check(t, s, []row{
		{"SELECT * FROM users u, app.orders", passed, ""},
		{"SELECT * FROM USERS", passed, ""},
		{`SELECT * FROM "Mixed"`, passed, ""},
		{"SELECT * FROM Mixed", refused, "sql.table"},
		{`SELECT * FROM "USERS"`, refused, "sql.table"},
		{"SELECT * FROM orders", refused, "sql.table"},
		{"SELECT * FROM other.users", refused, "sql.table"},
		{"SELECT * FROM db.app.orders", refused, "sql.table"},
		{"TABLE secret", refused, "sql.table"},
		{"SELECT (SELECT a FROM secret)", refused, "sql.table"},
		{"SELECT * FROM users WHERE EXISTS (SELECT 1 FROM secret)", refused, "sql.table"},
		{"SELECT * FROM pg_catalog.pg_class", refused, "sql.table"},
		{"WITH secret AS (SELECT 1) SELECT * FROM secret", passed, ""},
		{"WITH secret AS (SELECT * FROM secret) SELECT * FROM secret", refused, "sql.table"},
		{"WITH a AS (SELECT * FROM secret), secret AS (SELECT 1) SELECT * FROM a", refused, "sql.table"},
		{"SELECT * FROM secret, (WITH secret AS (SELECT 1) SELECT * FROM secret) x", refused, "sql.table"},
		{"WITH secret AS (SELECT 1) SELECT * FROM public.secret", refused, "sql.table"},
		{"WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b UNION SELECT * FROM a", passed, ""},
		{"WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a) SELECT * FROM a", passed, ""},
		{"WITH secret AS (SELECT 1) DELETE FROM secret", refused, "sql.table"},
		{"DELETE FROM users", held, "sql.class"},
		{"DELETE FROM users USING secret", refused, "sql.table"},
		{"INSERT INTO secret SELECT * FROM users", refused, "sql.table"},
		{"EXPLAIN SELECT * FROM secret", refused, "sql.table"},
	})
	s = ReadOnly(SQLite)
	s.Tables = []string{"Users", "aux.orders"}
	check(t, s, []row{
		{"SELECT * FROM users JOIN [USERS] USING (id)", passed, ""},
		{"SELECT * FROM main.users, aux.orders", passed, ""},
		{"SELECT * FROM temp.users", refused, "sql.table"},
		{"SELECT * FROM orders", refused, "sql.table"},
		{"SELECT * FROM 'secret'", refused, "sql.table"},
		{"SELECT 1 IN secret", refused, "sql.table"},
		{"SELECT * FROM sqlite_master", refused, "sql.table"},
		{"SELECT * FROM pragma_table_info('secret')", refused, "sql.table"},
		{"PRAGMA table_info(secret)", refused, "sql.class"},
		{"WITH secret AS (SELECT 1) SELECT * FROM secret", passed, ""},
		{"SELECT * FROM secret, (WITH secret AS (SELECT 1) SELECT * FROM secret) x", refused, "sql.table"},
		{"WITH secret AS (SELECT 1) SELECT * FROM main.secret", refused, "sql.table"},
		{"WITH secret AS (SELECT 1) DELETE FROM secret", refused, "sql.table"},
		{"SELECT value FROM json_each('[1]')", passed, ""},
	})
}

func TestFunctions(t *testing.T) {
	s := ReadOnly(Postgres)
	s.Functions = []string{"mine", "app.yours"}
	check(t, s, []row{
		{"SELECT mine(1), MINE(2), app.yours(3)", passed, ""},
		{"SELECT yours(1)", held, "sql.function"},
		{"SELECT other.mine(1)", held, "sql.function"},
		{`SELECT "Mine"(1)`, held, "sql.function"},
	})
	s = ReadOnly(SQLite)
	s.Functions = []string{"Mine"}
	check(t, s, []row{
		{"SELECT mine(1), \"MINE\"(2)", passed, ""},
		{"SELECT yours(1)", held, "sql.function"},
	})
}

func TestMany(t *testing.T) {
	for _, d := range []Dialect{Postgres, SQLite} {
		s := ReadOnly(d)
		s.Many = true
		check(t, s, []row{
			{"SELECT 1; SELECT 2;", passed, ""},
			{"SELECT 1; DELETE FROM t", held, "sql.class"},
			{"SELECT 1; DELETE FROM t; DROP TABLE t", refused, "sql.class"},
			{"SELECT 1; SELEC 2", refused, "sql.syntax"},
		})
	}
}

// What a class lets pass it lets pass, and what has a class of its own it does not.
func TestClasses(t *testing.T) {
	s := ReadOnly(Postgres)
	s.Classes = map[Class]argument.Verdict{Read: argument.Pass, Delete: argument.Pass, Schema: argument.Pass, Transaction: argument.Pass, Lock: argument.Hold}
	check(t, s, []row{
		{"WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", passed, ""},
		{"WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x", refused, "sql.hidden"},
		{"CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x' CHECK (length(b) > 1))", passed, ""},
		{"CREATE TABLE t (a int DEFAULT my_function(1))", held, "sql.function"},
		{"CREATE TABLE t AS SELECT pg_read_file('/x')", refused, "sql.function"},
		{"CREATE VIEW v AS SELECT 1", passed, ""},
		{"CREATE TABLE t AS WITH x AS (UPDATE u SET a = 1 RETURNING *) SELECT * FROM x", refused, "sql.hidden"},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", refused, "sql.class"},
		{"DROP TABLE t", passed, ""},
		{"BEGIN", passed, ""},
		{"DECLARE c CURSOR FOR SELECT pg_sleep(1)", refused, "sql.function"},
		{"SELECT * FROM t FOR UPDATE", held, "sql.class"},
		{"SET x = 1", refused, "sql.class"},
		{"CREATE SCHEMA s CREATE TABLE t (a int) GRANT ALL ON t TO public", refused, "sql.hidden"},
		{"CREATE SCHEMA s CREATE TABLE t (a int)", passed, ""},
	})
	s.Dialect = SQLite
	check(t, s, []row{
		{"CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x' CHECK (length(b) > 1)) STRICT", passed, ""},
		{"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", passed, ""},
		{"CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = 1; END", refused, "sql.hidden"},
		{"CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT readfile('x'); END", refused, "sql.function"},
		{"CREATE VIRTUAL TABLE t USING fts5(a)", refused, "sql.class"},
		{"ALTER TABLE t RENAME TO u", passed, ""},
		{"DROP TABLE t", passed, ""},
		{"REPLACE INTO t VALUES (1)", refused, "sql.class"},
	})
	s = all(Postgres)
	check(t, s, []row{
		{"COPY t FROM '/x'", passed, ""},
		{"SELECT pg_read_file('/x')", refused, "sql.function"},
		{"DO $$ BEGIN END $$", passed, ""},
		{"SELECT nextval('s')", passed, ""},
	})
}
