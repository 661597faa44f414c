package mcpwire

import (
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

func TestParseID(t *testing.T) {
	long := strings.Repeat("x", maxIDBytes)
	tests := []struct {
		in, err string
	}{
		{in: `1`}, {in: `0`}, {in: `-0`}, {in: `-3`}, {in: `1.0`}, {in: `1e2`}, {in: `1.50E+1`}, {in: `100e-2`},
		{in: `""`}, {in: `"a"`}, {in: `"` + long + `"`}, {in: `"a\"\\\n"`},
		{in: `9007199254740992`}, {in: `-9007199254740992`}, {in: `9.007199254740992e15`},
		{in: `9007199254740993`, err: "not an integer"},
		{in: `-9007199254740993`, err: "not an integer"},
		{in: `9223372036854775808`, err: "not an integer"},
		{in: `9007199254740992.5`, err: "not an integer"},
		{in: `1.5`, err: "not an integer"},
		{in: `15e-2`, err: "not an integer"},
		{in: `1.00000000000000000000000000000001`, err: "not an integer"},
		{in: `1e-999999999`, err: "not an integer"},
		{in: `1e-9223372036854775808`, err: "not an integer"},
		{in: `1e17`, err: "not an integer"},
		{in: `1e300`, err: "not an integer"},
		{in: `"` + long + `x"`, err: "at most 512"},
		{in: `null`, err: "string or an integer"},
		{in: `true`, err: "string or an integer"},
		{in: `{"a":1}`, err: "string or an integer"},
		{in: `[1]`, err: "string or an integer"},
		{in: ``, err: "string or an integer"},
	}
	for _, tt := range tests {
		id, err := ParseID(jsontext.Value(tt.in))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !id.IsZero() {
				t.Errorf("ParseID(%s) = %v, %v; want an error with %q", tt.in, id, err, tt.err)
			}
			continue
		}
		if err != nil || id.String() != tt.in || id.IsZero() || string(id.AppendTo([]byte("x"))) != "x"+tt.in {
			t.Errorf("ParseID(%s) = %v, %v; want the same bytes", tt.in, id, err)
		}
	}
}

func TestIDsAreEqualAsSpelled(t *testing.T) {
	parse := func(s string) ID {
		t.Helper()
		id, err := ParseID(jsontext.Value(s))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if IntID(7) != parse("7") || IntID(-7) != parse("-7") {
		t.Error("IntID differs from the same id read")
	}
	if parse("1") == parse(`"1"`) || parse("1") == parse("1.0") {
		t.Error("ids of different spelling are equal")
	}
	if (ID{}).String() != "null" || parse(`""`).IsZero() {
		t.Error("the empty string is not the absent id")
	}
}

// A number is an id exactly if it is an integer within ±2^53, by arithmetic that
// is exact.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"1", "1.0", "-3e2", "9007199254740993", "0.5", "5e-1", "50e-1", "0e-5", "9007199254740992.5"} {
		f.Add(s)
	}
	bound := new(big.Rat).SetInt64(maxWhole)
	f.Fuzz(func(t *testing.T, s string) {
		v, err := strictjson.Parse([]byte(s), strictjson.Request)
		if err != nil || v.Kind() != jsontext.KindNumber {
			return
		}
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(strings.TrimSpace(s[i:])) > 5 {
			return // too large for exact arithmetic; in the table
		}
		r, ok := new(big.Rat).SetString(string(v))
		if !ok {
			t.Fatalf("math/big does not read %s", v)
		}
		want := r.IsInt() && new(big.Rat).Abs(r).Cmp(bound) <= 0
		if _, err := ParseID(v); (err == nil) != want {
			t.Fatalf("ParseID(%s): %v; an integer within bounds: %v", v, err, want)
		}
		if n, err := wholeNumber(v); err == nil && r.Cmp(new(big.Rat).SetInt64(n)) != 0 {
			t.Fatalf("%s read as %d", v, n)
		}
	})
}
