package mcpwire

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestProgressToken(t *testing.T) {
	seven := IntID(7)
	tests := []struct {
		name, in string
		token    string // "" is none
		with     string // with 7 for a token
		without  string
	}{
		{"replaced", `{"a":1,"_meta":{"progressToken":"t","x":2},"b":3}`, `"t"`,
			`{"a":1,"b":3,"_meta":{"x":2,"progressToken":7}}`, `{"a":1,"b":3,"_meta":{"x":2}}`},
		{"added to meta", `{"_meta":{}}`, "", `{"_meta":{"progressToken":7}}`, `{"_meta":{}}`},
		{"added with meta", `{"a":1}`, "", `{"a":1,"_meta":{"progressToken":7}}`, `{"a":1}`},
		{"no params", ``, "", `{"_meta":{"progressToken":7}}`, ``},
		{"empty params", `{}`, "", `{"_meta":{"progressToken":7}}`, `{}`},
		{"another case goes", `{"_META":{"progressToken":1},"_meta":{"ProgressToken":2}}`, "", `{"_meta":{"progressToken":7}}`, `{"_meta":{}}`},
		{"a token that is no id goes", `{"_meta":{"progressToken":[1]}}`, "", `{"_meta":{"progressToken":7}}`, `{"_meta":{}}`},
		{"meta that is no object goes", `{"_meta":5}`, "", `{"_meta":{"progressToken":7}}`, `{"_meta":{}}`},
		{"names below stay", `{"a":{"_meta":{"progressToken":1}}}`, "", `{"a":{"_meta":{"progressToken":1}},"_meta":{"progressToken":7}}`, `{"a":{"_meta":{"progressToken":1}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := jsontext.Value(tt.in)
			token, ok := ProgressToken(in)
			if ok != (tt.token != "") || ok && token.String() != tt.token {
				t.Errorf("token %v, %v; want %q", token, ok, tt.token)
			}
			if got := WithProgressToken(in, seven); string(got) != tt.with {
				t.Errorf("with 7: %s\nwant    %s", got, tt.with)
			}
			if got := WithProgressToken(in, ID{}); string(got) != tt.without {
				t.Errorf("without: %s\nwant     %s", got, tt.without)
			}
			if string(in) != tt.in {
				t.Errorf("the input became %s", in)
			}
		})
	}
}

func TestReplaceTokenOfAbsentMeta(t *testing.T) {
	if got := ReplaceToken(nil, ID{}); got != nil {
		t.Errorf("without: %s, want nil", got)
	}
	if got := ReplaceToken(nil, ID{`"t"`}); string(got) != `{"progressToken":"t"}` {
		t.Errorf("with: %s", got)
	}
}

func TestReference(t *testing.T) {
	const progress, cancelled = "notifications/progress", "notifications/cancelled"
	tests := []struct {
		method, in, id, with, without string
	}{
		{progress, `{"progressToken":"t","progress":1}`, `"t"`, `{"progress":1,"progressToken":7}`, `{"progress":1}`},
		{progress, `{"ProgressToken":"t","requestId":2}`, "", `{"requestId":2,"progressToken":7}`, `{"requestId":2}`},
		{progress, `{"progressToken":null}`, "", `{"progressToken":7}`, `{}`},
		{cancelled, `{"requestId":1,"reason":"r"}`, `1`, `{"reason":"r","requestId":7}`, `{"reason":"r"}`},
		{cancelled, `{"progressToken":1}`, "", `{"progressToken":1,"requestId":7}`, `{"progressToken":1}`},
		{cancelled, ``, "", `{"requestId":7}`, `{}`},
		{"notifications/message", `{"requestId":1,"progressToken":1}`, "", `{"requestId":1,"progressToken":1}`, `{"requestId":1,"progressToken":1}`},
	}
	for _, tt := range tests {
		in := jsontext.Value(tt.in)
		id, ok := Reference(tt.method, in)
		if ok != (tt.id != "") || ok && id.String() != tt.id {
			t.Errorf("%s %s: refers to %v, %v; want %q", tt.method, tt.in, id, ok, tt.id)
		}
		if got := WithReference(tt.method, in, IntID(7)); string(got) != tt.with {
			t.Errorf("%s %s: with 7: %s, want %s", tt.method, tt.in, got, tt.with)
		}
		if got := WithReference(tt.method, in, ID{}); string(got) != tt.without {
			t.Errorf("%s %s: without: %s, want %s", tt.method, tt.in, got, tt.without)
		}
	}
}

// checkTokens: whatever the params, a token that is set is found again, one that
// is removed is not, and the params stay strict JSON.
func checkTokens(t *testing.T, params jsontext.Value) {
	t.Helper()
	with := WithProgressToken(params, IntID(7))
	checkStrict(t, with)
	if id, ok := ProgressToken(with); !ok || id != IntID(7) {
		t.Fatalf("token %v, %v in %s", id, ok, with)
	}
	without := WithProgressToken(with, ID{})
	checkStrict(t, without)
	if id, ok := ProgressToken(without); ok {
		t.Fatalf("token %v left in %s", id, without)
	}
	for _, method := range []string{"notifications/progress", "notifications/cancelled"} {
		v := WithReference(method, params, IntID(7))
		checkStrict(t, v)
		if id, ok := Reference(method, v); !ok || id != IntID(7) {
			t.Fatalf("%s refers to %v, %v in %s", method, id, ok, v)
		}
	}
}
