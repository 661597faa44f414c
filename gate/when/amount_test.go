package when

import (
	"strings"
	"testing"
)

// A result is a stranger's: it can say what a call cost, and neither give something
// back nor say more than a number holds.
func TestMillionths(t *testing.T) {
	for _, row := range []struct {
		text, result string
		want         int64
		says         string // of the error
	}{
		{`result._meta.cost`, `{"_meta":{"cost":0.25}}`, 250_000, ""},
		{`result._meta.tokens * 2`, `{"_meta":{"tokens":3}}`, 6_000_000, ""},
		{`result._meta.cost`, `{"_meta":{"cost":0.29}}`, 290_000, ""},
		{`result._meta.cost`, `{"_meta":{"cost":0.0000001}}`, 1, ""},
		{`result._meta.cost`, `{"_meta":{"cost":0}}`, 0, ""},
		{`1.5`, `{}`, 1_500_000, ""},
		{`result._meta.cost`, `{"_meta":{"cost":-1}}`, 0, "no cost"},
		{`result._meta.cost`, `{"_meta":{"cost":1e300}}`, 0, "no cost"},
		{`0.0 / double(result.n)`, `{"n":0}`, 0, "no cost"},
		{`1.0 / double(result.n)`, `{"n":0}`, 0, "no cost"},
		{`result._meta.cost`, `{"_meta":{"cost":"cheap"}}`, 0, "not a number"},
		{`result._meta.cost`, `{}`, 0, "the call has no _meta"},
		{`result._meta.cost`, `{"_meta":`, 0, "EOF"},
		{`result._meta.cost`, `[]`, 0, "unmarshal"},
	} {
		a, err := CompileAmount(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		n, err := a.Millionths([]byte(row.result))
		if n != row.want || (err != nil) != (row.says != "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s of %s: %d, %v; want %d, %q", row.text, row.result, n, err, row.want, row.says)
		}
	}
	for _, text := range []string{``, `"1"`, `result.n == 1`, `args.n`, `result.n +`} {
		if _, err := CompileAmount(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	var none *Amount
	if _, err := none.Millionths([]byte(`{}`)); err == nil {
		t.Error("no expression says something")
	}
}

func FuzzMillionths(f *testing.F) {
	a, err := CompileAmount(`result._meta.cost * 1.0`)
	if err != nil {
		f.Fatal(err)
	}
	for _, raw := range []string{`{"_meta":{"cost":0.5}}`, `{"_meta":{"cost":-0.5}}`, `{"_meta":{"cost":1e308}}`, `{`, `null`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := a.Millionths(raw); n < 0 || err != nil && n != 0 {
			t.Errorf("%q: %d, %v", raw, n, err)
		}
	})
}
