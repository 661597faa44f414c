package when

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

// Amount is a compiled expression over a result that says a number: what the call
// cost. It may be used concurrently.
type Amount struct {
	text string
	prg  cel.Program
}

func (a *Amount) String() string {
	if a == nil {
		return ""
	}
	return a.text
}

var resultEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("result", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserExpressionSizeLimit(maxText),
		cel.ParserRecursionLimit(maxDepth),
		ext.Strings(),
	)
})

// CompileAmount reads an expression over result, which must say a number.
func CompileAmount(text string) (*Amount, error) {
	env, err := resultEnvironment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, errors.New(plain(issues))
	}
	switch checked.OutputType() {
	case cel.IntType, cel.DoubleType, cel.UintType, cel.DynType:
	default:
		return nil, fmt.Errorf("the expression is a %s, not a number", checked.OutputType())
	}
	prg, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}
	return &Amount{text, prg}, nil
}

// Millionths reads the number from a result in JSON. A negative one is none: a server
// must not be able to give itself more.
func (a *Amount) Millionths(raw []byte) (int64, error) {
	if a == nil || a.prg == nil {
		return 0, errors.New("no expression")
	}
	decoded := map[string]any{}
	if err := unmarshalNumbers(raw, &decoded); err != nil {
		return 0, err
	}
	out, _, err := a.prg.Eval(map[string]any{"result": numbers(decoded)})
	if err != nil {
		return 0, explain(err)
	}
	var n float64
	switch v := out.Value().(type) {
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case float64:
		n = v
	default:
		return 0, fmt.Errorf("it says a %T, not a number", v)
	}
	// What 0.29 times a million is beside a whole number is no millionth more.
	if n = math.Ceil(n*1e6 - 1e-6); !(n >= 0 && n < 1<<53) {
		return 0, fmt.Errorf("it says %v, which is no cost", out.Value())
	}
	return int64(n), nil
}

func unmarshalNumbers(raw []byte, to *map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(to)
}
