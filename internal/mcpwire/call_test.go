package mcpwire

import (
	"encoding/json"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestParseCall(t *testing.T) {
	empty := jsontext.Value(`{}`)
	tests := []struct {
		name, in, why string
		want          Call
	}{
		{name: "all", in: `{"_meta":{"progressToken":"t","x":1},"name":"echo","arguments":{"name":"n","_meta":5}}`,
			want: Call{Name: "echo", Arguments: jsontext.Value(`{"name":"n","_meta":5}`), Meta: jsontext.Value(`{"progressToken":"t","x":1}`), Token: ID{`"t"`}}},
		{name: "no arguments", in: `{"name":"echo"}`, want: Call{Name: "echo", Arguments: empty}},
		{name: "a name with escapes", in: `{"name":"a\"b"}`, want: Call{Name: `a"b`, Arguments: empty}},
		{name: "meta without token", in: `{"name":"a","_meta":{}}`, want: Call{Name: "a", Arguments: empty, Meta: empty}},
		{name: "no params", in: ``, why: "params.name must be a string"},
		{name: "no name", in: `{"arguments":{}}`, why: "params.name must be a string"},
		{name: "name as an array", in: `{"name":["echo"]}`, why: "params.name must be a string"},
		{name: "name in another case", in: `{"Name":"echo"}`, why: `unknown member "Name"; it is written "name"`},
		{name: "arguments in another case", in: `{"name":"echo","Arguments":{}}`, why: `unknown member "Arguments"; it is written "arguments"`},
		{name: "meta in another case", in: `{"name":"echo","_META":{}}`, why: `unknown member "_META"; it is written "_meta"`},
		{name: "arguments as an array", in: `{"name":"echo","arguments":["m"]}`, why: "params.arguments must be an object"},
		{name: "arguments null", in: `{"name":"echo","arguments":null}`, why: "params.arguments must be an object"},
		{name: "task", in: `{"name":"echo","task":{"ttl":1}}`, why: "task-augmented calls are not supported yet"},
		{name: "another member", in: `{"name":"echo","uri":"x"}`, why: `unknown member "uri"`},
		{name: "meta null", in: `{"name":"echo","_meta":null}`, why: "params._meta must be an object"},
		{name: "a token that is no id", in: `{"name":"echo","_meta":{"progressToken":1.5}}`, why: "params._meta.progressToken: 1.5 is not an integer within ±2^53"},
		{name: "a token in another case", in: `{"name":"echo","_meta":{"ProgressToken":1}}`, why: "params._meta.progressToken must be written just so"},
		{name: "not what strictjson wrote", in: ` {"name":"echo"}`, why: "params.name must be a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCall(jsontext.Value(tt.in))
			if d := cmp.Diff(tt.want, got, sameID); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if tt.why == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			want := &Error{Code: CodeInvalidParams, Message: tt.why, Answerable: true}
			if d := cmp.Diff(want, err, sameID); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestParamsOfTheZeroCall(t *testing.T) {
	if got := string(Call{}.Params()); got != `{"name":"","arguments":{}}` {
		t.Errorf("Params = %s", got)
	}
}

// checkCall: a call that is accepted is sent as it was read, and an ordinary
// reader of what is sent sees the same name.
func checkCall(t *testing.T, m Message) {
	t.Helper()
	c, err := ParseCall(m.Params)
	if err != nil {
		return
	}
	sent := c.Params()
	checkStrict(t, sent)
	again, err := ParseCall(sent)
	if err != nil {
		t.Fatalf("%s was written, but is refused: %v", sent, err)
	}
	if d := cmp.Diff(c, again, sameID); d != "" {
		t.Fatalf("-written +read\n%s", d)
	}
	var r struct{ Name string }
	if err := json.Unmarshal(sent, &r); err != nil || r.Name != c.Name {
		t.Fatalf("%s is read as a call of %q; judged as %q, %v", sent, r.Name, c.Name, err)
	}
}
