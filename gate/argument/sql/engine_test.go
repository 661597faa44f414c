package sql

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcprun/mcprun/gate/argument"
)

// deep are statements that nest as deeply as the length allows.
func deep() []string {
	repeat := func(before, part, middle, end, after string) string {
		n := (maxText - len(before) - len(middle) - len(after)) / (len(part) + len(end))
		return before + strings.Repeat(part, n) + middle + strings.Repeat(end, n) + after
	}
	return []string{
		repeat("SELECT ", "(", "1", ")", ""),
		repeat("SELECT ", "(SELECT ", "1", ")", ""),
		repeat("SELECT 1", "+1", "", "", ""),
		repeat("SELECT ", "NOT ", "true", "", ""),
		repeat("SELECT ", "- ", "1", "", ""),
		repeat("SELECT 1", "::a", "", "", ""),
		repeat("SELECT a", ".b", "", "", ""),
		repeat("SELECT a", "[1]", "", "", ""),
		repeat("SELECT * FROM ", "(SELECT * FROM ", "t", ") x", ""),
		repeat("SELECT * FROM a", " JOIN a ON 1", "", "", ""),
		repeat("SELECT 1", " UNION SELECT 1", "", "", ""),
		repeat("", "WITH x AS (", "SELECT 1", ") SELECT 1", ""),
		repeat("SELECT ", "CASE WHEN 1 THEN ", "1", " END", ""),
		repeat("SELECT ", "ARRAY[", "1", "]", ""),
		repeat("SELECT 1 WHERE 1", " OR 1", "", "", ""),
		repeat("SELECT 1 IN (1", ",1", "", "", ")"),
		repeat("SELECT ", "f(", "1", ")", ""),
		repeat("SELECT 1", ";SELECT 1", "", "", ""),
		repeat("SELECT '", "''", "", "", "'"),
		repeat("SELECT ", "/*", "", "*/", "1"),
		repeat("SELECT 1", "||1", "", "", ""),
		repeat("SELECT 1", " IS NULL", "", "", ""),
		strings.Repeat("(", maxText),
		strings.Repeat("[", maxText),
		strings.Repeat("SELECT ", maxText/7),
	}
}

func TestHostile(t *testing.T) {
	postgres.compile()
	for _, d := range []Dialect{Postgres, SQLite} {
		s := all(d)
		s.Many = true
		for _, text := range deep() {
			start := time.Now()
			f := s.Judge(text)
			if took := time.Since(start); took > parseTime+time.Second {
				t.Errorf("%s %.40q took %v", d, text, took)
			} else {
				t.Logf("%s %.30q %v %s %v", d, text, f.Verdict, f.Rule, took.Round(time.Millisecond))
			}
			if f := s.Judge("SELECT 1"); f != argument.Passed {
				t.Fatalf("%s: after %.40q: %+v", d, text, f)
			}
		}
	}
}

// An instance that crashed, ran out of time or out of stack is not used again.
func TestCrashedInstanceIsDropped(t *testing.T) {
	if _, err := postgres.parse("SELECT 1"); err != nil {
		t.Fatal(err)
	}
	before := len(postgres.idle)
	_, err := postgres.parse("SELECT 1" + strings.Repeat("+1", maxText/2-8))
	var syntax *syntaxError
	if err == nil || errors.As(err, &syntax) {
		t.Fatalf("16 000 operators: %v, want a crash", err)
	}
	if len(postgres.idle) != before-1 {
		t.Errorf("%d idle instances, want %d", len(postgres.idle), before-1)
	}
	if tree, err := postgres.parse("SELECT 1"); err != nil || !bytes.Contains(tree, []byte("SelectStmt")) {
		t.Errorf("the next call: %v", err)
	}
}

func TestStackGuard(t *testing.T) {
	postgres.compile()
	i, err := newInstance(postgres.rt, postgres.code)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	i.mod.Memory().WriteByte(i.stack+guardSize-1, 0)
	if _, err := i.parse("SELECT 1"); !errors.Is(err, errTrapped) {
		t.Errorf("with a touched guard: %v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	i := &instance{}
	if _, err := i.parse("SELECT 1"); !errors.Is(err, errTrapped) {
		t.Errorf("without a module: %v", err)
	}
	postgres.compile()
	i, err := newInstance(postgres.rt, postgres.code)
	if err != nil {
		t.Fatal(err)
	}
	i.mod.CloseWithExitCode(context.Background(), 1)
	if _, err := i.parse("SELECT 1"); err == nil {
		t.Error("a closed module answered")
	}
}

func TestConcurrent(t *testing.T) {
	s := ReadOnly(Postgres)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if f := s.Judge("SELECT a FROM t WHERE b = 1"); f != argument.Passed {
					t.Errorf("%+v", f)
				}
				if f := s.Judge("DROP TABLE t"); f.Rule != "sql.class" {
					t.Errorf("%+v", f)
				}
				if f := s.Judge("SELEC 1"); f.Rule != "sql.syntax" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	wg.Wait()
	if n := len(postgres.idle); n > maxInstances {
		t.Errorf("%d instances, want at most %d", n, maxInstances)
	}
}

// A program that sees no SQL of PostgreSQL's does not start the parser.
func TestLazy(t *testing.T) {
	e := engine{slots: make(chan struct{}, 1)}
	if e.rt != nil || e.code != nil {
		t.Error("the engine runs")
	}
	if len(postgresModule) < 1<<20 {
		t.Errorf("the module has %d bytes", len(postgresModule))
	}
}

const selectOf300 = `SELECT c.id, c.name, count(o.id) AS orders, sum(o.total) AS spent FROM customers c
LEFT JOIN orders o ON o.customer_id = c.id AND o.state IN ('paid', 'sent') WHERE c.country = 'DE' AND c.created_at > '2024-01-01'
GROUP BY c.id, c.name HAVING sum(o.total) > 100 ORDER BY spent DESC, c.name LIMIT 50 OFFSET 100`

func BenchmarkJudge(b *testing.B) {
	for _, d := range []Dialect{Postgres, SQLite} {
		b.Run(d.String(), func(b *testing.B) {
			s := ReadOnly(d)
			if f := s.Judge(selectOf300); f != argument.Passed {
				b.Fatalf("%+v", f)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Judge(selectOf300)
			}
		})
	}
}

func BenchmarkFirst(b *testing.B) {
	for b.Loop() {
		e := engine{slots: make(chan struct{}, 1)}
		if _, err := e.parse("SELECT 1"); err != nil {
			b.Fatal(err)
		}
		_ = e.rt.Close(context.Background())
	}
}

func BenchmarkInstance(b *testing.B) {
	postgres.compile()
	for b.Loop() {
		i, err := newInstance(postgres.rt, postgres.code)
		if err != nil {
			b.Fatal(err)
		}
		i.close()
	}
}
