package when

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func input() Input {
	return Input{
		Args: map[string]any{"body": "hello", "n": json.Number("12"), "f": json.Number("1.5"), "huge": json.Number("1e999"), "list": []any{"a", json.Number("2")},
			"o": map[string]any{"k": "v"}, "none": nil},
		Tool: "create_issue", Server: "github", Principal: "uid:1000", Session: "s-1",
		Now: time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC), Recent: map[string]int64{"tool": 3},
	}
}

func TestHolds(t *testing.T) {
	for _, row := range []struct {
		text  string
		holds bool
		says  string // of the error
	}{
		{`size(args.body) > 4`, true, ""},
		{`size(args.body) > 20000`, false, ""},
		{`args.n > 10`, true, ""},
		{`args.n > 12.5`, false, ""},
		{`args.f < 2`, true, ""},
		{`args.list.exists(x, x == "a")`, true, ""},
		{`args.list.exists(x, x == 3)`, false, ""},
		{`args.o.k.startsWith("w")`, false, ""},
		{`has(args.title) && args.title == "x"`, false, ""},
		{`args.title == "x"`, true, "the call has no title; write has("},
		{`args.huge > 1`, true, "no such overload"},
		{`args.none == null`, true, ""},
		{`tool == "create_issue" && server == "github" && principal == "uid:1000" && session == "s-1"`, true, ""},
		{`now.getHours("UTC") < 6`, true, ""},
		{`now.getDayOfWeek("UTC") == 0`, false, ""},
		{`recent.tool >= 3`, true, ""},
		{`args.body.matches("^h.*o$")`, true, ""},
		{`args.body.lowerAscii() == "hello"`, true, ""},
	} {
		c, err := Compile(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		holds, err := c.Holds(input().Ready())
		if holds != row.holds || (err != nil) != (row.says != "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, %v; want %v, %q", row.text, holds, err, row.holds, row.says)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for text, says := range map[string]string{
		``:                                      "",
		`args.body`:                             "not true or false",
		`size(args.body`:                        "character",
		`unknown == 1`:                          "undeclared reference",
		`tool > 1`:                              "no matching overload",
		strings.Repeat("(", 100):                "",
		strings.Repeat("true||", 2000) + "true": "",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: %v, want %q", text, err, says)
		}
	}
}

// What costs too much to find out holds.
func TestCostIsBounded(t *testing.T) {
	c, err := Compile(`args.list.all(x, args.list.all(y, args.list.all(z, x + y + z > 0)))`)
	if err != nil {
		t.Fatal(err)
	}
	in := input()
	var list []any
	for range 1000 {
		list = append(list, json.Number("1"))
	}
	in.Args["list"] = list
	begun := time.Now()
	holds, err := c.Holds(in.Ready())
	if !holds || err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("%v, %v", holds, err)
	}
	t.Logf("ended after %v", time.Since(begun))
	var none *Condition
	if holds, err := none.Holds(in.Ready()); !holds || err == nil {
		t.Error("no condition does not hold")
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{`size(args.body) > 4`, `args.list.exists(x, x == "a")`, `has(args.x) || now > timestamp("2026-01-01T00:00:00Z")`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Compile(text)
		if err != nil {
			return
		}
		a, errA := c.Holds(input().Ready())
		b, errB := c.Holds(input().Ready())
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("%q: %v then %v", text, a, b)
		}
		if errA != nil && !a {
			t.Errorf("%q cannot be evaluated and does not hold", text)
		}
	})
}

func BenchmarkHolds(b *testing.B) {
	c, err := Compile(`has(args.body) && size(args.body) > 20000 || args.n > 100`)
	if err != nil {
		b.Fatal(err)
	}
	in := input()
	s := in.Ready()
	for b.Loop() {
		c.Holds(s)
	}
}
