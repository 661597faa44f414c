package mcpwire

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestAppend(t *testing.T) {
	object := jsontext.Value(`{"a":1}`)
	id := ID{`"i"`}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"request", AppendRequest(nil, id, "tools/call", object), `{"jsonrpc":"2.0","id":"i","method":"tools/call","params":{"a":1}}`},
		{"request without params", AppendRequest(nil, IntID(-3), "ping", nil), `{"jsonrpc":"2.0","id":-3,"method":"ping"}`},
		{"method with a quote", AppendRequest(nil, id, "a\"b\n\xff", nil), `{"jsonrpc":"2.0","id":"i","method":"a\"b\n` + "\ufffd" + `"}`},
		{"notification", AppendNotification(nil, "notifications/x", object), `{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1}}`},
		{"result", AppendResult(nil, id, object), `{"jsonrpc":"2.0","id":"i","result":{"a":1}}`},
		{"empty result", AppendResult(nil, id, nil), `{"jsonrpc":"2.0","id":"i","result":{}}`},
		{"error", AppendError(nil, id, CodeParse, "no \"x\"", nil), `{"jsonrpc":"2.0","id":"i","error":{"code":-32700,"message":"no \"x\""}}`},
		{"error with data, to nobody", AppendError(nil, ID{}, 1, "", object), `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"","data":{"a":1}}}`},
		{"no kind", AppendMessage([]byte("kept\n"), Message{ID: id, Method: "ping", Result: object}), "kept"},
		{"space that ends lines", AppendResult(nil, id, jsontext.Value("{\n\"a\":\r\n1}")), `{"jsonrpc":"2.0","id":"i","result":{ "a":  1}}`},
		{"a lone carriage return", AppendResult(nil, id, jsontext.Value("{\r}")), `{"jsonrpc":"2.0","id":"i","result":{ }}`},
		{"characters that end lines", AppendResult(nil, id, jsontext.Value("\"a\u2028b\u2029c–d\u202a\"")), `{"jsonrpc":"2.0","id":"i","result":"a\u2028b\u2029c–d` + "\u202a" + `"}`},
		{"the same in a message", AppendError(nil, id, 1, "\u2028", nil), `{"jsonrpc":"2.0","id":"i","error":{"code":1,"message":"\u2028"}}`},
		{"behind other lines", AppendRequest([]byte("\u2028\n"), id, "ping", nil), "\u2028\n" + `{"jsonrpc":"2.0","id":"i","method":"ping"}`},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want+"\n" {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, tt.got, tt.want+"\n")
		}
	}
}
