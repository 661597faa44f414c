// Package when evaluates the conditions of an operator's rules: expressions in
// CEL (https://cel.dev) over one call and what went before it. An expression is
// compiled once, has no side effects and no loops of its own, and its cost is
// bounded.
//
// It fails closed: a condition that cannot be evaluated holds, so that the rule
// it belongs to, which can only make a verdict stricter, applies. What it does not
// protect from is a condition that says something else than its author meant;
// mcprun policy test is for that.
package when

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/ext"

	"github.com/mcprun/mcprun"
)

const (
	// maxText bounds an expression in characters: several lines, still one thought.
	maxText = 4096
	// maxDepth bounds how deep it is nested.
	maxDepth = 32
	// maxCost bounds one evaluation, in the library's units: a search through some
	// hundred kilobytes of arguments, or some hundred steps.
	maxCost = 100_000
)

// Input is what an expression can speak of, under these names.
type Input struct {
	Args      map[string]any   // args, as they were decoded; numbers are json.Number
	Tool      string           // tool
	Server    string           // server
	Principal string           // principal
	Session   string           // session
	Now       time.Time        // now
	Recent    map[string]int64 // recent: counts of what went before
}

// Condition is a compiled expression. It may be used concurrently. The zero value
// holds.
type Condition struct {
	text string
	prg  cel.Program
}

func (c *Condition) String() string { return c.text }

// environment is the same for all.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("tool", cel.StringType),
		cel.Variable("server", cel.StringType),
		cel.Variable("principal", cel.StringType),
		cel.Variable("session", cel.StringType),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("recent", cel.MapType(cel.StringType, cel.IntType)),
		cel.ParserExpressionSizeLimit(maxText),
		cel.ParserRecursionLimit(maxDepth),
		ext.Strings(),
	)
})

// Compile reads an expression, which must say true or false.
func Compile(text string) (*Condition, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, errors.New(plain(issues))
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("the expression is a %s, not true or false", checked.OutputType())
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if loops(checked) { // counting what it costs takes as long as all the rest
		options = append(options, cel.CostLimit(maxCost))
	}
	prg, err := env.Program(checked, options...)
	if err != nil {
		return nil, err
	}
	return &Condition{text, prg}, nil
}

// loops reports whether the expression goes through a list or a map. All else takes
// a time that grows with the arguments alone, whose size is bounded elsewhere.
func loops(a *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) { found = found || e.Kind() == ast.ComprehensionKind }))
	return found
}

// plain is the first thing that is wrong, on one line.
func plain(issues *cel.Issues) string {
	first := issues.Errors()[0]
	return fmt.Sprintf("character %d: %s", first.Location.Column()+1, strings.ReplaceAll(first.Message, "\n", " "))
}

// Subject is one call made ready for any number of conditions.
type Subject struct{ values map[string]any }

// Ready makes a Subject; in must not be changed afterwards.
func (in Input) Ready() Subject {
	return Subject{map[string]any{
		"args": numbers(in.Args), "tool": in.Tool, "server": in.Server, "principal": in.Principal, "session": in.Session, "now": in.Now, "recent": in.Recent,
	}}
}

// Holds reports whether the condition holds. With an error it does, too, for it
// could not be shown that it does not.
func (c *Condition) Holds(s Subject) (bool, error) {
	if c == nil || c.prg == nil {
		return true, errors.New("no expression")
	}
	out, _, err := c.prg.Eval(s.values)
	if err != nil {
		return true, explain(err)
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return true, errors.New("the expression is neither true nor false")
	}
	return holds, nil
}

// explain adds what helps against the mistake that everybody makes once.
func explain(err error) error {
	if key, ok := strings.CutPrefix(err.Error(), "no such key: "); ok {
		return fmt.Errorf("the call has no %s; write has(…) && … where it may be missing", key)
	}
	return err
}

// numbers returns a decoded value with numbers that CEL can compute with: whole
// ones that fit as int, others as double.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			return string(v) // too large for a double: no comparison with a number can hold
		}
		return f
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = numbers(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = numbers(item)
		}
		return out
	}
	return v
}

// Rule makes a call riskier where its condition holds.
type Rule struct {
	When   *Condition
	Risk   mcprun.Risk
	Reason string
	Hint   string // may be empty
}
