package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	tests := []struct {
		name, in, want, err string
		mode                Mode
	}{
		{name: "spaces go", in: " { \"a\" : [ 1 , 2 ] } ", want: `{"a":[1,2]}`},
		{name: "escapes become one spelling", in: `{"mess\u0061ge":"\u00e9\/"}`, want: `{"message":"é/"}`},
		{name: "big integers keep their digits", in: `9007199254740993`, want: `9007199254740993`},
		{name: "a float keeps its spelling", in: `1.0`, want: `1.0`},
		{name: "duplicate", in: `{"a":1,"a":2}`, err: "twice"},
		{name: "duplicate in another spelling", in: `{"a":1,"\u0061":2}`, err: "twice"},
		{name: "duplicate in data", in: `{"a":1,"a":2}`, mode: Data, err: "twice"},
		{name: "case", in: `{"name":1,"Name":2}`, err: "only in case"},
		{name: "case by the Kelvin sign", in: `{"K":1,"\u212a":2}`, err: "only in case"},
		{name: "case in different objects", in: `{"a":{"x":1},"b":{"X":1}}`, want: `{"a":{"x":1},"b":{"X":1}}`},
		{name: "case is data in a result", in: `{"a":1,"A":2}`, mode: Data, want: `{"a":1,"A":2}`},
		{name: "a value that looks like a key", in: `{"a":"A","b":"__proto__"}`, want: `{"a":"A","b":"__proto__"}`},
		{name: "proto", in: `{"x":[{"__proto__":{}}]}`, err: "__proto__"},
		{name: "invalid UTF-8", in: "\"a\xff\xfeb\"", err: "UTF-8"},
		{name: "lone surrogate", in: `"\ud800"`, err: "surrogate"},
		{name: "raw control", in: "\"a\x01b\"", err: "not JSON"},
		{name: "trailing", in: `{"a":1} {"b":1}`, err: "follows"},
		{name: "trailing word", in: `1 x`, err: "follows"},
		{name: "deep", in: deep, err: "deeper"},
		{name: "huge exponent", in: `1e999999999`, err: "out of range"},
		{name: "tiny exponent", in: `1e-2000000`, err: "out of range"},
		{name: "zero with an exponent", in: `0e-5`, want: `0e-5`},
		{name: "long number", in: strings.Repeat("9", 65), err: "characters"},
		{name: "cut", in: `{"a":`, err: "cut off"},
		{name: "empty", in: ``, err: "no JSON"},
		{name: "single quotes", in: `{'a':1}`, err: "not JSON"},
		{name: "byte order mark", in: "\ufeff{}", err: "not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in), tt.mode)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("Parse = %s, %v; want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Fatalf("Parse = %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

// What Parse accepts, it accepts again unchanged, and the ordinary decoder reads
// the same meaning from the original and from what Parse wrote.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u0041"],"b":null}`, `{"a":1,"A":2}`, `[[[]]]`, `"\ud83d\ude00"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := Parse(raw, Request)
		if err != nil {
			return
		}
		again, err := Parse(v, Request)
		if err != nil || !bytes.Equal(v, again) {
			t.Fatalf("%q became %q, then %q, %v", raw, v, again, err)
		}
		var a, b any
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatalf("encoding/json refuses what Parse accepts: %q: %v", raw, err)
		}
		if err := json.Unmarshal(v, &b); err != nil {
			t.Fatal(err)
		}
		sameDecoded(t, v)
		sameDecoded(t, bytes.TrimSpace(raw))
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Fatalf("%q means %s, rewritten %s", raw, x, y)
		}
	})
}

// sameDecoded holds Decode against the ordinary decoder.
func sameDecoded(t *testing.T, v []byte) {
	t.Helper()
	got, err := Decode(v)
	if err != nil {
		t.Fatalf("Decode refuses %q: %v", v, err)
	}
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q decodes to another value (-want +got):\n%s", v, diff)
	}
}

// Decode and Members are for what Parse accepted; other bytes must not hurt them.
func FuzzDecodeAnything(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x\u0041"]}`, `{"a`, `{"a":}`, `["\`, `"`, `{"a":1,}`, `tru`, `{"\ud800":1}`, `--`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		Decode(raw)
		for name, v := range Members(raw) {
			if len(name)+len(v) > len(raw) {
				t.Fatalf("%q holds more than there is", raw)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	v := []byte(`{"path":"/workspace/notes.txt","edits":[{"oldText":"two words","newText":"three whole words"},{"oldText":"a","newText":"b"}],"dryRun":true,"n":12.5}`)
	b.SetBytes(int64(len(v)))
	for b.Loop() {
		if _, err := Decode(v); err != nil {
			b.Fatal(err)
		}
	}
}
