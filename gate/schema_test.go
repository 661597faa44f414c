package gate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// compiled makes a tool of an input schema.
func compiled(t testing.TB, input string) *Tool {
	t.Helper()
	tool, err := Compile(jsontext.Value(`{"name":"t","inputSchema":`+input+`}`), mcprun.Low)
	if err != nil {
		t.Fatalf("%s: %v", input, err)
	}
	return tool
}

// verdict is "" or the rule and the reason.
func verdict(tool *Tool, args string) string {
	_, v := tool.checkArguments(jsontext.Value(args))
	if v == nil {
		return ""
	}
	return v.rule + ": " + v.reason + " | " + v.hint
}

// What is declared, and what is not, in every way that a schema can say it.
func TestUndeclared(t *testing.T) {
	const undeclared = `schema.undeclared: "/x" is not declared`
	for _, tt := range []struct{ name, schema, args, want string }{
		{"silent: declared", `{"type":"object","properties":{"a":{}}}`, `{"a":1}`, ""},
		{"silent", `{"type":"object","properties":{"a":{},"b":{}}}`, `{"x":1}`, undeclared + " | declared are a, b"},
		{"false", `{"type":"object","properties":{"a":{}},"additionalProperties":false}`, `{"x":1}`, undeclared},
		{"true", `{"type":"object","properties":{"a":{}},"additionalProperties":true}`, `{"x":1}`, ""},
		{"schema: fits", `{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"number"}}`, `{"x":1}`, ""},
		{"schema: does not", `{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"number"}}`, `{"x":"1"}`, "schema.invalid"},
		{"empty schema", `{"type":"object","properties":{"a":{}},"additionalProperties":{}}`, `{"x":1}`, ""},
		{"pattern: fits", `{"type":"object","patternProperties":{"^x":{}}}`, `{"x":1}`, ""},
		{"pattern: does not", `{"type":"object","patternProperties":{"^y":{}}}`, `{"x":1}`, undeclared},
		{"no properties", `{"type":"object"}`, `{"x":1}`, undeclared + " | nothing is accepted there"},
		{"no properties, none given", `{"type":"object"}`, `{}`, ""},
		{"unevaluated true", `{"type":"object","properties":{"a":{}},"unevaluatedProperties":true}`, `{"x":1}`, ""},
		{"unevaluated false", `{"type":"object","properties":{"a":{}},"unevaluatedProperties":false}`, `{"x":1}`, undeclared},
		{"did you mean", `{"type":"object","properties":{"filePath":{}}}`, `{"file_path":1}`, `schema.undeclared: "/file_path" is not declared | did you mean "filePath"? declared are filePath`},

		{"allOf: one", `{"type":"object","allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}`, `{"a":1,"b":2}`, ""},
		{"allOf: none", `{"type":"object","allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}`, `{"x":1}`, undeclared + " | declared are a, b"},
		{"allOf: open", `{"type":"object","allOf":[{"properties":{"a":{}},"additionalProperties":true}]}`, `{"x":1}`, ""},
		{"anyOf: one", `{"type":"object","anyOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}`, `{"b":1}`, ""},
		{"anyOf: none", `{"type":"object","anyOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}`, `{"x":1}`, undeclared},
		{"oneOf: none", `{"type":"object","properties":{"k":{}},"oneOf":[{"required":["k"]},{"properties":{"b":{}},"required":["b"]}]}`, `{"x":1}`, undeclared},
		{"ref: one", `{"type":"object","allOf":[{"$ref":"#/$defs/d"}],"$defs":{"d":{"properties":{"a":{}}}}}`, `{"a":1}`, ""},
		{"ref: none", `{"type":"object","allOf":[{"$ref":"#/$defs/d"}],"$defs":{"d":{"properties":{"a":{}}}}}`, `{"x":1}`, undeclared},
		{"ref beside properties", `{"type":"object","$ref":"#/$defs/d","properties":{"b":{}},"$defs":{"d":{"properties":{"a":{}}}}}`, `{"a":1,"b":2,"x":3}`, undeclared},
		{"definitions", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","allOf":[{"$ref":"#/definitions/d"}],"definitions":{"d":{"properties":{"a":{}}}}}`, `{"x":1}`, undeclared},
		{"if then else: each", `{"type":"object","properties":{"k":{}},"if":{"properties":{"k":{"const":1}}},"then":{"properties":{"a":{}}},"else":{"properties":{"b":{}}}}`, `{"k":1,"a":1}`, ""},
		{"if then else: none", `{"type":"object","properties":{"k":{}},"if":{"properties":{"k":{"const":1}}},"then":{"properties":{"a":{}}},"else":{"properties":{"b":{}}}}`, `{"x":1}`, undeclared},
		{"dependent schemas", `{"type":"object","properties":{"k":{}},"dependentSchemas":{"k":{"properties":{"a":{}}}}}`, `{"k":1,"a":1}`, ""},
		{"not names nothing", `{"type":"object","properties":{"a":{}},"not":{"properties":{"x":{"const":1}},"required":["x"]}}`, `{"x":2}`, undeclared},

		{"nested", `{"type":"object","properties":{"o":{"type":"object","properties":{"a":{}}}}}`, `{"o":{"x":1}}`, `schema.undeclared: "/o/x" is not declared | declared are a`},
		{"nested free", `{"type":"object","properties":{"o":{"type":"object"}}}`, `{"o":{"x":1}}`, ""},
		{"nested without names", `{"type":"object","properties":{"o":{"type":"object","properties":{}}}}`, `{"o":{"x":1}}`, ""},
		{"nested open", `{"type":"object","properties":{"o":{"type":"object","properties":{"a":{}},"additionalProperties":true}}}`, `{"o":{"x":1}}`, ""},
		{"nested in an array", `{"type":"object","properties":{"l":{"type":"array","items":{"type":"object","properties":{"a":{}}}}}}`, `{"l":[{"a":1},{"x":1}]}`, `schema.undeclared: "/l/1/x"`},
		{"nested in a record", `{"type":"object","additionalProperties":{"type":"object","properties":{"a":{}}}}`, `{"k":{"x":1}}`, `schema.undeclared: "/k/x"`},
		{"nested behind a pattern", `{"type":"object","patternProperties":{"^k":{"type":"object","properties":{"a":{}}}}}`, `{"k":{"x":1}}`, `schema.undeclared: "/k/x"`},
		{"nested union", `{"type":"object","properties":{"o":{"anyOf":[{"type":"string"},{"type":"object","properties":{"a":{}}},{"type":"object","properties":{"b":{}}}]}}}`, `{"o":{"x":1}}`, `schema.undeclared: "/o/x"`},
		{"nested union with a free form", `{"type":"object","properties":{"o":{"anyOf":[{"type":"object","properties":{"a":{}}},{"type":"object"}]}}}`, `{"o":{"x":1}}`, ""},
		{"nested names from two sides", `{"type":"object","allOf":[{"properties":{"o":{"properties":{"a":{}}}}},{"properties":{"o":{"properties":{"b":{}}}}}]}`, `{"o":{"a":1,"b":2}}`, ""},
		{"recursive", `{"type":"object","properties":{"child":{"$ref":"#"}}}`, `{"child":{"child":{"x":1}}}`, `schema.undeclared: "/child/child/x"`},
		{"recursive: declared", `{"type":"object","properties":{"child":{"$ref":"#"}}}`, `{"child":{"child":{}}}`, ""},
		{"both a name and a pattern", `{"type":"object","properties":{"k":{}},"patternProperties":{"^k":{"type":"object","properties":{"a":{}}}}}`, `{"k":{"x":1}}`, `schema.undeclared: "/k/x"`},
		{"the rest says nothing of what is named", `{"type":"object","properties":{"k":{"type":"object","properties":{"a":{}}}},"additionalProperties":{"type":"object","properties":{"b":{}}}}`, `{"k":{"b":1}}`, `schema.undeclared: "/k/b"`},
		{"first in order", `{"type":"object"}`, `{"z":1,"x":1,"y":1}`, undeclared},
		{"name with a slash", `{"type":"object"}`, `{"a/b":1}`, `schema.undeclared: "/a~1b"`},
		{"name with a mark", `{"type":"object"}`, `{"\u202ea":1}`, `schema.undeclared: "/\u202ea"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verdict(compiled(t, tt.schema), tt.args)
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%s on %s\ngot  %q\nwant %q", tt.args, tt.schema, got, tt.want)
			}
		})
	}
}

// A subset of the official suite, by keyword, with the words of each refusal.
func TestSchemaKeywords(t *testing.T) {
	for _, tt := range []struct{ schema, value, want string }{
		{`{"type":"integer"}`, `1`, ""},
		{`{"type":"integer"}`, `1.0`, ""},
		{`{"type":"integer"}`, `1.5`, `"/p" is the number 1.5 | "/p": integer`},
		{`{"type":"integer"}`, `"ten"`, `"/p" is the string "ten" | "/p": integer`},
		{`{"type":["string","null"]}`, `null`, ""},
		{`{"type":["string","null"]}`, `true`, `"/p" is the boolean true | "/p": null or string`},
		{`{"enum":["a","b"]}`, `"c"`, `"/p" is the string "c", which is not one of the values | "/p": one of "a", "b"`},
		{`{"enum":[1]}`, `1.0`, ""},
		{`{"const":{"a":[1]}}`, `{"a":[1]}`, ""},
		{`{"const":9007199254740993}`, `9007199254740992`, `"/p" is the number 9007199254740992 | "/p": 9007199254740993`},
		{`{"minLength":2}`, `"é"`, `"/p" has 1 characters | "/p": at least 2 characters`},
		{`{"maxLength":2}`, `"ééé"`, `"/p" has 3 characters | "/p": at most 2 characters`},
		{`{"pattern":"^[a-z]+$"}`, `"A"`, `"/p" is the string "A", which does not match | "/p": text that matches ^[a-z]+$`},
		{`{"minimum":1}`, `0`, `"/p" is the number 0 | "/p": at least 1`},
		{`{"maximum":1.5}`, `2`, `"/p" is the number 2 | "/p": at most 1.5`},
		{`{"exclusiveMinimum":1}`, `1`, `"/p" is the number 1 | "/p": more than 1`},
		{`{"exclusiveMaximum":1}`, `1`, `"/p" is the number 1 | "/p": less than 1`},
		{`{"multipleOf":0.01}`, `0.07`, ""},
		{`{"multipleOf":2}`, `3`, `"/p" is the number 3 | "/p": a multiple of 2`},
		{`{"minItems":1}`, `[]`, `"/p" has 0 elements | "/p": at least 1 elements`},
		{`{"maxItems":1}`, `[1,2]`, `"/p" has 2 elements | "/p": at most 1 elements`},
		{`{"uniqueItems":true}`, `[1,1.0]`, `"/p" has equal elements at 0 and 1 | "/p": elements that differ`},
		{`{"items":{"type":"string"}}`, `["a",1]`, `"/p/1" is the number 1 | "/p/1": string`},
		{`{"prefixItems":[{"type":"string"}],"items":false}`, `["a",1]`, `"/p/1" is not allowed | `},
		{`{"contains":{"type":"string"}}`, `[1]`, `"/p" breaks the rule`},
		{`{"type":"object","required":["a"],"additionalProperties":true}`, `{}`, `"/p" lacks a | "/p": with a`},
		{`{"minProperties":1}`, `{}`, `"/p" breaks the rule`},
		{`{"type":"object","propertyNames":{"pattern":"^a"}}`, `{"b":1}`, `"/p" has the name "b", which is not allowed`},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `"/p" breaks the rule`},
		{`{"not":{"type":"string"}}`, `"a"`, `"/p" is the string "a", which is excluded`},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `1`, `"/p" fits none of the forms that are accepted | "/p": string, or null`},
		{`{"anyOf":[{"type":"string"},{"type":"object","properties":{"a":{"type":"number"}}}]}`, `{"a":"b"}`, `"/p/a" is the string "b" | "/p/a": number`},
		{`{"oneOf":[{"type":"number"},{"minimum":1}]}`, `2`, `"/p" fits more than one of the forms`},
		{`{"if":{"type":"string"},"then":{"minLength":2},"else":{"minimum":1}}`, `"a"`, `"/p" has 1 characters`},
		{`{"format":"date"}`, `"2026-02-30"`, `"/p" is the string "2026-02-30" | "/p": text in the format date`},
		{`{"format":"uuid"}`, `"x"`, `"/p" is the string "x" | "/p": text in the format uuid`},
		{`{"format":"ipv4"}`, `"1.2.3"`, `"/p" is the string "1.2.3"`},
		{`{"format":"date-time"}`, `"2026-02-03T04:05:06"`, ""},
		{`{"format":"uri"}`, `"example.com"`, ""},
		{`{"format":"regex"}`, `"(?=a)"`, ""},
		{`{"format":"own"}`, `"x"`, ""},
		{`{"type":"string"}`, `1e-9000000`, `number "1e-9000000" has an exponent`},
		{`{"minimum":0}`, `1e400`, ""},
		{`{"minimum":0}`, `1e401`, `exponent`},
		{`true`, `{"any":[1]}`, ""},
		{`false`, `1`, `"/p" is not allowed`},
		{`{"type":"string"}`, `{"secret":"` + strings.Repeat("s", 100) + `"}`, `"/p" is an object | "/p": string`},
		{`{"type":"number"}`, `"` + strings.Repeat("s", 100) + `"`, `"/p" is the string "` + strings.Repeat("s", 64) + `"… | "/p": number`},
	} {
		for _, dialect := range []string{"", `"$schema":"http://json-schema.org/draft-07/schema#",`} {
			if dialect != "" && (strings.Contains(tt.schema, "prefixItems") || strings.Contains(tt.schema, "dependentRequired")) {
				continue // not in draft-07
			}
			tool := compiled(t, `{`+dialect+`"type":"object","properties":{"p":`+tt.schema+`}}`)
			got := strings.TrimPrefix(verdict(tool, `{"p":`+tt.value+`}`), "schema.invalid: ")
			if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%s%s on %s\ngot  %q\nwant %q", dialect, tt.schema, tt.value, got, tt.want)
			}
		}
	}
}

// The library walks maps; the words must not depend on it.
func TestFaultsAreInOrder(t *testing.T) {
	tool := compiled(t, `{"type":"object","additionalProperties":{"type":"string"}}`)
	want := `schema.invalid: "/a" is the number 1; "/b" is the number 1; "/c" is the number 1; and 2 more | "/a": string; "/b": string; "/c": string`
	for range 20 {
		if got := verdict(tool, `{"e":1,"d":1,"c":1,"b":1,"a":1}`); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func TestArgumentsAreAnObject(t *testing.T) {
	tool := compiled(t, `{"type":"object","required":["a","b"],"properties":{"a":{},"b":{}}}`)
	for _, tt := range []struct{ args, want string }{
		{``, `schema.invalid: the whole value lacks a, b`},
		{`null`, "schema.invalid: the arguments are null, not an object"},
		{`[]`, "schema.invalid: the arguments are an array, not an object"},
		{`{`, "schema.invalid: the arguments are not JSON"},
		{`{"a":1,"b":2}`, ""},
	} {
		if got := verdict(tool, tt.args); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// Beside a $ref draft-07 ignores everything; authors mean it.
func TestDraft7RefSiblings(t *testing.T) {
	tool := compiled(t, `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object",
		"properties":{"p":{"$ref":"#/definitions/s","maxLength":2},"q":{"enum":[{"$ref":"x","y":1}]}},"definitions":{"s":{"type":"string"}}}`)
	for _, tt := range []struct{ args, want string }{
		{`{"p":"ab"}`, ""},
		{`{"p":"abc"}`, `schema.invalid: "/p" has 3 characters`},
		{`{"p":1}`, `schema.invalid: "/p" is the number 1`},
		{`{"q":{"$ref":"x","y":1}}`, ""},
	} {
		if got := verdict(tool, tt.args); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// A schema whose every level holds two ways down is fine for what is shallow,
// and refused, not computed, for what is deep.
func TestTooCostly(t *testing.T) {
	tool := compiled(t, `{"type":"object","properties":{"t":{"$ref":"#/$defs/t"}},
		"$defs":{"t":{"allOf":[{"properties":{"t":{"$ref":"#/$defs/t"}}},{"properties":{"t":{"$ref":"#/$defs/t"}}}]}}}`)
	nested := func(n int) string { return strings.Repeat(`{"t":`, n) + "{}" + strings.Repeat("}", n) }
	if got := verdict(tool, nested(8)); got != "" {
		t.Errorf("8 levels: %q", got)
	}
	if got := verdict(tool, nested(50)); !strings.HasPrefix(got, "schema.too-costly: 51 values nested 51 deep") {
		t.Errorf("50 levels: %q", got)
	}
	plain := compiled(t, `{"type":"object","properties":{"child":{"$ref":"#"},"list":{"type":"array","items":{"$ref":"#"}}}}`)
	if got := verdict(plain, strings.Repeat(`{"child":`, 60)+"{}"+strings.Repeat("}", 60)); got != "" {
		t.Errorf("a plain recursive schema at 60 levels: %q", got)
	}
	if got := verdict(plain, `{"list":[`+strings.Repeat("{},", 50_000)+`{}]}`); got != "" {
		t.Errorf("a long list: %q", got)
	}
}

func TestCheckResult(t *testing.T) {
	tool, err := Compile(jsontext.Value(`{"name":"t","inputSchema":{"type":"object"},
		"outputSchema":{"type":"object","required":["n"],"properties":{"n":{"type":"number"}}}}`), mcprun.Low)
	if err != nil {
		t.Fatal(err)
	}
	plain := compiled(t, `{"type":"object"}`)
	for _, tt := range []struct {
		tool         *Tool
		result, want string
	}{
		{tool, `{"content":[],"structuredContent":{"n":1}}`, ""},
		{tool, `{"content":[],"structuredContent":{"n":1,"more":true}}`, ""},
		{tool, `{"content":[],"structuredContent":{"n":"1"}}`, `breaks its output schema: "/n" is the string "1"`},
		{tool, `{"content":[],"structuredContent":{}}`, `lacks n`},
		{tool, `{"content":[]}`, `has no structuredContent`},
		{tool, `{"content":[],"isError":true}`, ""},
		{tool, `{"content":[],"isError":false}`, `has no structuredContent`},
		{tool, `{"content":[],"isError":"true"}`, `isError that is a string`},
		{tool, `{"structuredContent":{"n":1e-9000000}}`, `exponent`},
		{tool, `[]`, "is an array, not an object"},
		{tool, `{`, "has no structuredContent"}, // upstream lets no such result through
		{plain, `{"content":[]}`, ""},
		{plain, `null`, "is null, not an object"},
	} {
		err := tt.tool.CheckResult(jsontext.Value(tt.result))
		if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && !strings.Contains(got, tt.want) {
			t.Errorf("%s: %v, want %q", tt.result, err, tt.want)
		}
	}
}
