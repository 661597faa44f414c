package mcpwire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun/internal/strictjson"
)

var sameID = cmp.Comparer(func(a, b ID) bool { return a == b })

// reason checks a refusal: its code, a part of its message, the id to answer and
// whether to answer.
type reason struct {
	Code       int
	Message    string
	ID         string
	Answerable bool
}

func (want *reason) check(t *testing.T, got *Error) {
	t.Helper()
	if want == nil || got == nil {
		if want != nil || got != nil {
			t.Errorf("refused: %+v; want %+v", got, want)
		}
		return
	}
	if got.Code != want.Code || !strings.Contains(got.Message, want.Message) ||
		got.ID.String() != want.ID || got.Answerable != want.Answerable {
		t.Errorf("refused: %+v; want %+v", got, want)
	}
}

func TestParse(t *testing.T) {
	one := IntID(1)
	object := jsontext.Value(`{"a":1}`)
	invalid := func(message, id string) *reason {
		return &reason{Code: CodeInvalidRequest, Message: message, ID: id, Answerable: true}
	}
	drop := func(message, id string) *reason {
		return &reason{Code: CodeInvalidRequest, Message: message, ID: id}
	}
	broken := func(message string) *reason {
		return &reason{Code: CodeParse, Message: message, ID: "null", Answerable: true}
	}
	// client and server say why that side may not send the line; nil: it may.
	tests := []struct {
		name, in       string
		want           Message
		client, server *reason
	}{
		{name: "request", in: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":1}}`,
			want: Message{Kind: Request, ID: one, Method: "tools/call", Params: object}},
		{name: "request without params", in: ` { "method" : "ping" , "id" : 1 , "jsonrpc" : "2.0" } `,
			want: Message{Kind: Request, ID: one, Method: "ping"}},
		{name: "escapes", in: `{"\u006asonrpc":"2.0","id":"\u0061","method":"p\u0069ng"}`,
			want: Message{Kind: Request, ID: ID{`"a"`}, Method: "ping"}},
		{name: "a method that needs an escape", in: `{"jsonrpc":"2.0","id":1,"method":"a\"b\\c"}`,
			want: Message{Kind: Request, ID: one, Method: `a"b\c`}},
		{name: "notification", in: `{"jsonrpc":"2.0","method":"notifications/initialized","params":{"a":1}}`,
			want: Message{Kind: Notification, Method: "notifications/initialized", Params: object}},
		{name: "response", in: `{"jsonrpc":"2.0","id":"x","result":{"a":1}}`,
			want: Message{Kind: Response, ID: ID{`"x"`}, Result: object}},
		{name: "null is a result", in: `{"jsonrpc":"2.0","id":1,"result":null}`,
			want: Message{Kind: Response, ID: one, Result: jsontext.Value("null")}},
		{name: "error response", in: `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":[1]}}`,
			want: Message{Kind: ErrorResponse, ID: one, Error: jsontext.Value(`{"code":-1,"message":"m","data":[1]}`)}},

		{name: "an unknown member", in: `{"jsonrpc":"2.0","x":[{"}":","}],"id":1,"result":{"a":1}}`,
			want:   Message{Kind: Response, ID: one, Result: object},
			client: drop(`unknown member "x"`, "1")},
		{name: "a member in another case", in: `{"jsonrpc":"2.0","id":1,"method":"ping","Params":{"a":1}}`,
			want:   Message{Kind: Request, ID: one, Method: "ping"},
			client: invalid(`unknown member "Params"; it is written "params"`, "1")},
		{name: "two cases of one member", in: `{"jsonrpc":"2.0","id":1,"result":{"a":1},"Result":2}`,
			want:   Message{Kind: Response, ID: one, Result: object},
			client: drop(`"result" and "Result" differ only in case`, "1")},
		{name: "keys of a result", in: `{"jsonrpc":"2.0","id":1,"result":{"a":1,"A":2}}`,
			want:   Message{Kind: Response, ID: one, Result: jsontext.Value(`{"a":1,"A":2}`)},
			client: drop("differ only in case", "1")},
		{name: "one key of many in two cases", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":` + manyKeys("k7", "K7") + `}`,
			want:   Message{Kind: Request, ID: one, Method: "x", Params: jsontext.Value(manyKeys("k7", "K7"))},
			client: invalid(`"k7" and "K7" differ only in case`, "1")},
		{name: "one key of many in two cases beyond ASCII", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":` + manyKeys("é\u00c9", "É\u00e9") + `}`,
			want:   Message{Kind: Request, ID: one, Method: "x", Params: jsontext.Value(manyKeys("éÉ", "Éé"))},
			client: invalid(`"éÉ" and "Éé" differ only in case`, "1")},
		{name: "many keys", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":` + manyKeys("a", "b") + `}`,
			want: Message{Kind: Request, ID: one, Method: "x", Params: jsontext.Value(manyKeys("a", "b"))}},
		{name: "many keys in two objects", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":` + manyKeys("k1", "l1") + `,"b":` + manyKeys("K1", "L1") + `}}`,
			want: Message{Kind: Request, ID: one, Method: "x", Params: jsontext.Value(`{"a":` + manyKeys("k1", "l1") + `,"b":` + manyKeys("K1", "L1") + `}`)}},
		{name: "strings that end in escapes", in: `{"jsonrpc":"2.0","x":"\\","id":1,"y":"\\\"","result":{"a":"\\"}}`,
			want:   Message{Kind: Response, ID: one, Result: jsontext.Value(`{"a":"\\"}`)},
			client: drop(`unknown member "x"`, "1")},
		{name: "escapes do not differ in case", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":{"\u001f":1,"\\u001F":2,"\b":3,"\\B":4,"\n":5,"N":6}}`,
			want: Message{Kind: Request, ID: one, Method: "x", Params: jsontext.Value(`{"\u001f":1,"\\u001F":2,"\b":3,"\\B":4,"\n":5,"N":6}`)}},
		{name: "an unknown member of an error", in: `{"jsonrpc":"2.0","id":1,"error":{"x":1,"Message":"n","message":"m","code":1.0}}`,
			want:   Message{Kind: ErrorResponse, ID: one, Error: jsontext.Value(`{"code":1.0,"message":"m"}`)},
			client: drop("differ only in case", "1")},
		{name: "an error in another case", in: `{"jsonrpc":"2.0","id":1,"error":{"Code":1,"message":"m"}}`,
			client: drop(`unknown member "Code"; it is written "code"`, "1"), server: drop("code of an error", "1")},

		{name: "no version", in: `{"id":1,"method":"ping"}`, client: invalid("jsonrpc", "1"), server: invalid("jsonrpc", "1")},
		{name: "version 1", in: `{"jsonrpc":"1.0","id":1,"method":"ping"}`, client: invalid("jsonrpc", "1"), server: invalid("jsonrpc", "1")},
		{name: "version as a number", in: `{"jsonrpc":2.0,"id":1,"method":"ping"}`, client: invalid("jsonrpc", "1"), server: invalid("jsonrpc", "1")},
		{name: "method and result", in: `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, client: invalid("either", "1"), server: invalid("either", "1")},
		{name: "method and error", in: `{"jsonrpc":"2.0","id":1,"method":"ping","error":{}}`, client: invalid("either", "1"), server: invalid("either", "1")},
		{name: "result and error", in: `{"jsonrpc":"2.0","id":1,"result":{},"error":null}`, client: drop("either", "1"), server: drop("either", "1")},
		{name: "response with params", in: `{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, client: drop("no params", "1"), server: drop("no params", "1")},
		{name: "response without id", in: `{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}`, client: drop("needs an id", "null"), server: drop("needs an id", "null")},
		{name: "nothing", in: `{"jsonrpc":"2.0","id":1}`, client: invalid("needs a method", "1"), server: invalid("needs a method", "1")},
		{name: "empty object", in: `{}`, client: invalid("jsonrpc", "null"), server: invalid("jsonrpc", "null")},
		{name: "error as a string", in: `{"jsonrpc":"2.0","id":1,"error":"m"}`, client: drop("must be an object", "1"), server: drop("must be an object", "1")},
		{name: "error with half a code", in: `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"m"}}`, client: drop("1.5 is not an integer", "1"), server: drop("1.5 is not an integer", "1")},
		{name: "error with a code as a string", in: `{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"m"}}`, client: drop("must be an integer", "1"), server: drop("must be an integer", "1")},
		{name: "error without message", in: `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, client: drop("must be a string", "1"), server: drop("must be a string", "1")},

		{name: "id null", in: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, client: invalid("an id is", "null"), server: invalid("an id is", "null")},
		{name: "id bool", in: `{"jsonrpc":"2.0","id":true,"method":"ping"}`, client: invalid("an id is", "null"), server: invalid("an id is", "null")},
		{name: "id above 2^53", in: `{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`, client: invalid("not an integer", "null"), server: invalid("not an integer", "null")},
		{name: "id in another case", in: `{"jsonrpc":"2.0","ID":1,"method":"notifications/x"}`,
			want:   Message{Kind: Notification, Method: "notifications/x"},
			client: invalid(`unknown member "ID"; it is written "id"`, "null")},

		{name: "method empty", in: `{"jsonrpc":"2.0","id":1,"method":""}`, client: invalid("a method is", "1"), server: invalid("a method is", "1")},
		{name: "method long", in: `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 129) + `"}`, client: invalid("a method is", "1"), server: invalid("a method is", "1")},
		{name: "method with a space", in: `{"jsonrpc":"2.0","id":1,"method":"tools call"}`, client: invalid("a method is", "1"), server: invalid("a method is", "1")},
		{name: "method with a control", in: `{"jsonrpc":"2.0","id":1,"method":"ping\u0000"}`, client: invalid("a method is", "1"), server: invalid("a method is", "1")},
		{name: "method beyond ASCII", in: `{"jsonrpc":"2.0","id":1,"method":"pıng"}`, client: invalid("a method is", "1"), server: invalid("a method is", "1")},
		{name: "method as a number", in: `{"jsonrpc":"2.0","id":1,"method":1}`, client: invalid("must be a string", "1"), server: invalid("must be a string", "1")},
		{name: "request without id", in: `{"jsonrpc":"2.0","method":"tools/call"}`, client: drop("if and only if", "null"), server: drop("if and only if", "null")},
		{name: "notification with id", in: `{"jsonrpc":"2.0","id":1,"method":"notifications/x"}`, client: invalid("if and only if", "1"), server: invalid("if and only if", "1")},

		{name: "params array", in: `{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`,
			client: &reason{CodeInvalidParams, "must be an object", "1", true}, server: &reason{CodeInvalidParams, "must be an object", "1", true}},
		{name: "params null", in: `{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`,
			client: &reason{CodeInvalidParams, "must be an object", "1", true}, server: &reason{CodeInvalidParams, "must be an object", "1", true}},
		{name: "params of a notification", in: `{"jsonrpc":"2.0","method":"notifications/x","params":[1]}`,
			client: &reason{CodeInvalidParams, "must be an object", "null", false}, server: &reason{CodeInvalidParams, "must be an object", "null", false}},

		{name: "batch", in: `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, client: invalid("batches", "null"), server: invalid("batches", "null")},
		{name: "empty batch", in: `[]`, client: invalid("batches", "null"), server: invalid("batches", "null")},
		{name: "a string", in: `"id"`, client: invalid("JSON object", "null"), server: invalid("JSON object", "null")},
		{name: "banner", in: `Secure MCP Filesystem Server running on stdio`, client: broken("not JSON at byte 0"), server: broken("not JSON at byte 0")},
		{name: "cut", in: `{"jsonrpc":"2.0","id":1,"method":"ping"`, client: broken("cut off"), server: broken("cut off")},
		{name: "two messages", in: `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, client: broken("follows"), server: broken("follows")},
		{name: "empty", in: ``, client: broken("no JSON"), server: broken("no JSON")},

		{name: "the id of a line with duplicates", in: `{"jsonrpc":"2.0","id":"q","method":"x","params":{"a":1,"a":2}}`, client: invalid("twice", `"q"`), server: invalid("twice", `"q"`)},
		{name: "the id of a response with duplicates", in: `{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}}`, client: drop("twice", "7"), server: drop("twice", "7")},
		{name: "the id beside invalid UTF-8", in: "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"x\",\"params\":{\"a\":\"\xff\"}}", client: invalid("UTF-8", "7"), server: invalid("UTF-8", "7")},
		{name: "the id beside a lone surrogate", in: `{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"\udc00"}}`, client: invalid("surrogate", "7"), server: invalid("surrogate", "7")},
		{name: "a notification with duplicates", in: `{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1,"a":2}}`, client: drop("twice", "null"), server: drop("twice", "null")},
		{name: "two ids", in: `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, client: invalid("twice", "null"), server: invalid("twice", "null")},
		{name: "two spellings of id", in: `{"jsonrpc":"2.0","id":1,"\u0069d":1,"method":"ping"}`, client: invalid("twice", "null"), server: invalid("twice", "null")},
		{name: "two cases of id", in: `{"jsonrpc":"2.0","id":1,"Id":2,"method":"ping","params":{"a":1,"a":1}}`, client: invalid("twice", "null"), server: invalid("twice", "null")},
		{name: "a broken id", in: "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}", client: invalid("UTF-8", "null"), server: invalid("UTF-8", "null")},
		{name: "an id further down", in: `{"jsonrpc":"2.0","method":"ping","params":{"id":1,"a":1,"a":2}}`, client: drop("twice", "null"), server: drop("twice", "null")},
		{name: "too deep", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}}`,
			client: invalid("deeper than 64", "1"), server: invalid("deeper than 64", "1")},
		{name: "far too deep", in: `{"jsonrpc":"2.0","id":1,"method":"x","params":` + strings.Repeat("[", 99999), client: broken("deeper than 64"), server: broken("deeper than 64")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, side := range []struct {
				parse func([]byte) (Message, *Error)
				want  *reason
			}{{ParseClient, tt.client}, {ParseServer, tt.server}} {
				m, err := side.parse([]byte(tt.in))
				side.want.check(t, err)
				want := tt.want
				if side.want != nil {
					want = Message{}
				}
				if d := cmp.Diff(want, m, sameID); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
			}
		})
	}
}

// manyKeys is an object of more keys than are compared one by one, between the
// first and the last.
func manyKeys(first, last string) string {
	s := `{"` + first + `":0`
	for c := 'c'; c <= 'z'; c++ {
		s += `,"` + string(c) + `":{"c":1}`
	}
	return s + `,"` + last + `":0}`
}

func TestErrorsShowLittleOfTheLine(t *testing.T) {
	_, err := ParseClient([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping","` + strings.Repeat("é", 5000) + `":1}`))
	if err == nil || len(err.Message) > 200 || !strings.Contains(err.Message, "...") {
		t.Errorf("refused: %v; want a short message", err)
	}
}

func TestMessageOutlivesTheLine(t *testing.T) {
	line := []byte(`{"jsonrpc":"2.0","id":"i","method":"ping","params":{"a":"b"}}`)
	m, err := ParseClient(line)
	if err != nil {
		t.Fatal(err)
	}
	for i := range line {
		line[i] = '#'
	}
	want := Message{Kind: Request, ID: ID{`"i"`}, Method: "ping", Params: jsontext.Value(`{"a":"b"}`)}
	if d := cmp.Diff(want, m, sameID); d != "" {
		t.Errorf("the message changed with the line's buffer: -want +got\n%s", d)
	}
}

var seeds = []string{
	string(typicalCall),
	`{"jsonrpc":"2.0","id":"\u0061","method":"ping"}`,
	`{"jsonrpc":"2.0","id":1.0,"result":{"content":[{"type":"text","text":"a\nb` + "\u2028" + `"}]},"x":1}`,
	`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":null,"x":{}}}`,
	`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"RequestID":8}}`,
	`{"jsonrpc":"2.0","id":1,"Method":"x"}`,
	`{"jsonrpc":"2.0","id":1,"params":{"name":"a","name":"b"},"method":"tools/call"}`,
	`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`,
	`server running on stdio`,
}

func FuzzParseClient(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := ParseClient(line)
		if err != nil {
			checkRefusal(t, m, err)
			return
		}
		checkRoundTrip(t, m, ParseClient)
		checkReadsTheSame(t, m, line)
		checkReadsTheSame(t, m, AppendMessage(nil, m))
		checkCall(t, m)
		checkTokens(t, m.Params)
	})
}

func FuzzParseServer(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := ParseServer(line)
		if err != nil {
			checkRefusal(t, m, err)
			return
		}
		checkRoundTrip(t, m, ParseServer)
		checkReadsTheSame(t, m, AppendMessage(nil, m))
	})
}

// A refusal leaves nothing of the message, and can be written as an answer.
func checkRefusal(t *testing.T, m Message, e *Error) {
	t.Helper()
	if d := cmp.Diff(Message{}, m, sameID); d != "" {
		t.Fatalf("refused, but: -want +got\n%s", d)
	}
	switch e.Code {
	case CodeParse, CodeInvalidRequest, CodeInvalidParams:
	default:
		t.Fatalf("refused with code %d", e.Code)
	}
	if e.Message == "" || len(e.Message) > 1000 {
		t.Fatalf("refused with the message %q", e.Message)
	}
	line := AppendError(nil, e.ID, e.Code, e.Message, nil)
	var answer struct {
		ID    any
		Error struct{ Code int }
	}
	var id any
	decode(t, jsontext.Value(e.ID.String()), &id)
	decode(t, line, &answer)
	if !cmp.Equal(answer.ID, id) || answer.Error.Code != e.Code {
		t.Fatalf("the answer %s does not carry the id and code of %+v", line, e)
	}
}

// What is written is one line, and is read again as the same message.
func checkRoundTrip(t *testing.T, m Message, parse func([]byte) (Message, *Error)) {
	t.Helper()
	line := AppendMessage(nil, m)
	body, ok := bytes.CutSuffix(line, []byte("\n"))
	if !ok || bytes.ContainsAny(body, "\n\r\u2028\u2029") {
		t.Fatalf("not one line: %q", line)
	}
	again, err := parse(body)
	if err != nil {
		t.Fatalf("%s was written, but is refused: %v", body, err)
	}
	if d := cmp.Diff(m, again, sameID); d != "" {
		t.Fatalf("%s: -written +read\n%s", body, d)
	}
}

// An ordinary reader, one that ignores case and takes the last of two keys, sees
// the same method, id and tool.
func checkReadsTheSame(t *testing.T, m Message, line []byte) {
	t.Helper()
	var r struct {
		Method        string
		ID            any
		Params        struct{ Name any }
		Result, Error json.RawMessage
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", line, err)
	}
	var id, name any
	decode(t, jsontext.Value(m.ID.String()), &id)
	if v := strictjson.Member(m.Params, "name"); v != nil {
		decode(t, v, &name)
	}
	if r.Method != m.Method || !cmp.Equal(r.ID, id) || (name != nil && !cmp.Equal(r.Params.Name, name)) {
		t.Fatalf("%q is read as method %q id %v name %v; judged as %q %v %v", line, r.Method, r.ID, r.Params.Name, m.Method, id, name)
	}
	if (r.Result != nil) != (m.Kind == Response) || (r.Error != nil) != (m.Kind == ErrorResponse) {
		t.Fatalf("%q is read with result %s error %s; judged as %v", line, r.Result, r.Error, m.Kind)
	}
}

func decode(t *testing.T, v jsontext.Value, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", v, err)
	}
}

// checkStrict fails unless v is what strictjson would have written.
func checkStrict(t *testing.T, v jsontext.Value) {
	t.Helper()
	if again, err := strictjson.Parse(v, strictjson.Request); err != nil || !bytes.Equal(v, again) {
		t.Fatalf("%s is not strict JSON: %v", v, err)
	}
}
