package words

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

const (
	// maxNumber is longer than any double or 128-bit integer is written.
	maxNumber = 64
	// maxExponent is where doubles end. Without a bound 1e999999999 takes all memory.
	maxExponent = 308
)

// Number bounds a JSON number. The zero value accepts only 0.
type Number struct {
	Min, Max float64
	Integer  bool
}

// Validate returns nil or what is wrong with the bounds.
func (n Number) Validate() error {
	if math.IsNaN(n.Min) || math.IsInf(n.Min, 0) || math.IsNaN(n.Max) || math.IsInf(n.Max, 0) {
		return errors.New("minimum and maximum must be numbers")
	}
	if n.Min > n.Max {
		return errors.New("minimum is above maximum")
	}
	return nil
}

// Judge takes the number as it is written in JSON and compares it exactly: a
// double would let 9007199254740993 be 9007199254740992.
func (n Number) Judge(literal string) argument.Finding {
	value, ok := parseNumber(literal)
	switch {
	case !ok || n.Validate() != nil:
		return refuse("number.invalid", "the value is not a number", "write a JSON number")
	case value.Cmp(new(big.Rat).SetFloat64(n.Min)) < 0, value.Cmp(new(big.Rat).SetFloat64(n.Max)) > 0:
		return refuse("number.range", "the number is out of its range", "write a number from "+show(n.Min)+" to "+show(n.Max))
	case n.Integer && !value.IsInt():
		return refuse("number.integer", "the number is not whole", "write a whole number")
	}
	return argument.Passed
}

func show(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// parseNumber reads JSON's number (RFC 8259 6) and nothing else that Go's parsers
// take: no hex, no fractions, no underscores, no leading zeros.
func parseNumber(s string) (*big.Rat, bool) {
	digits := strings.TrimPrefix(s, "-")
	if len(s) > maxNumber || digits == "" || !isDigit(digits[0]) || len(digits) > 1 && digits[0] == '0' && isDigit(digits[1]) {
		return nil, false
	}
	mantissa, exponent, hasExponent := cutAny(digits, "eE")
	whole, fraction, hasFraction := strings.Cut(mantissa, ".")
	if !allDigits(whole) || hasFraction && !allDigits(fraction) {
		return nil, false
	}
	if hasExponent {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxExponent || e < -maxExponent {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
