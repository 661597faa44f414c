package mcpwire

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// maxMethod bounds a method name; the longest of the specification has 36 bytes.
const maxMethod = 128

// notificationPrefix starts the method of every notification of MCP, and of no
// request. Holding senders to it means that a request without its id, which
// nobody could answer, is never taken for a notification.
const notificationPrefix = "notifications/"

// Kind is what a message is. The zero Kind is no message.
type Kind uint8

const (
	Invalid Kind = iota
	Request
	Notification
	Response
	ErrorResponse
)

func (k Kind) String() string {
	switch k {
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Response:
		return "response"
	case ErrorResponse:
		return "error response"
	}
	return "invalid"
}

// Message is one JSON-RPC message. Its values are parts of one buffer that
// strictjson wrote for this message; they stay valid for as long as they are kept.
type Message struct {
	Kind   Kind
	ID     ID             // of a Request, Response or ErrorResponse
	Method string         // of a Request or Notification
	Params jsontext.Value // an object, nil if absent
	Result jsontext.Value // of a Response; any JSON value
	Error  jsontext.Value // of an ErrorResponse: code, message and perhaps data
}

// ParseClient reads a line from a client. Members that JSON-RPC does not know are
// refused, and so is all that strictjson.Request refuses.
func ParseClient(line []byte) (Message, *Error) { return parse(line, strictjson.Request) }

// ParseServer reads a line from a server. Members that JSON-RPC does not know are
// dropped from the message and from an error object; keys inside results are data
// (strictjson.Data).
func ParseServer(line []byte) (Message, *Error) { return parse(line, strictjson.Data) }

func parse(line []byte, mode strictjson.Mode) (Message, *Error) {
	v, err := strictjson.Parse(line, mode)
	if err != nil {
		return Message{}, refuseLine(line, err)
	}
	f, refused := split(v, mode)
	if refused != nil {
		return Message{}, refuseValue(v, refused)
	}
	m, refused := f.message(mode)
	if refused != nil {
		return Message{}, refuseValue(v, refused)
	}
	return m, nil
}

// fields are the members of a message; nil if absent.
type fields struct {
	version, id, method, params, result, err jsontext.Value
}

func split(v jsontext.Value, mode strictjson.Mode) (f fields, refused *Error) {
	switch v.Kind() {
	case jsontext.KindBeginObject:
	case jsontext.KindBeginArray:
		return f, refusal(CodeInvalidRequest, "batches are not accepted; send one message a line")
	default:
		return f, refusal(CodeInvalidRequest, "a message is a JSON object")
	}
	for name, value := range strictjson.Members(v) {
		switch string(name) {
		case "jsonrpc":
			f.version = value
		case "id":
			f.id = value
		case "method":
			f.method = value
		case "params":
			f.params = value
		case "result":
			f.result = value
		case "error":
			f.err = value
		default:
			if mode == strictjson.Request {
				return f, unknownMember(CodeInvalidRequest, name, "jsonrpc", "id", "method", "params", "result", "error")
			}
		}
	}
	return f, nil
}

// unknownMember refuses a member by name, and names the one that was meant if
// only the case is wrong.
func unknownMember(code int, name []byte, known ...string) *Error {
	for _, k := range known {
		if strings.EqualFold(k, string(name)) {
			return refusal(code, "unknown member %q; it is written %q", shown(name), k)
		}
	}
	return refusal(code, "unknown member %q", shown(name))
}

func (f *fields) message(mode strictjson.Mode) (Message, *Error) {
	if string(f.version) != `"2.0"` {
		return Message{}, refusal(CodeInvalidRequest, `jsonrpc must be "2.0"`)
	}
	var m Message
	if f.id != nil {
		id, err := ParseID(f.id)
		if err != nil {
			return Message{}, refusal(CodeInvalidRequest, "%v", err)
		}
		m.ID = id
	}
	if f.method != nil {
		return f.call(m)
	}
	return f.response(m, mode)
}

// call completes a request or notification.
func (f *fields) call(m Message) (Message, *Error) {
	if f.result != nil || f.err != nil {
		return Message{}, refusal(CodeInvalidRequest, "a message has either a method or a result or an error")
	}
	if f.method.Kind() != jsontext.KindString {
		return Message{}, refusal(CodeInvalidRequest, "method must be a string")
	}
	m.Method = unquote(f.method)
	if !isMethod(m.Method) {
		return Message{}, refusal(CodeInvalidRequest, "a method is 1 to %d printable ASCII characters without spaces", maxMethod)
	}
	m.Kind = Request
	if m.ID.IsZero() {
		m.Kind = Notification
	}
	if (m.Kind == Notification) != strings.HasPrefix(m.Method, notificationPrefix) {
		return Message{}, refusal(CodeInvalidRequest, "a method starts with %q if and only if there is no id", notificationPrefix)
	}
	if f.params != nil && f.params.Kind() != jsontext.KindBeginObject {
		return Message{}, refusal(CodeInvalidParams, "params must be an object")
	}
	m.Params = f.params
	return m, nil
}

func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxMethod
}

// response completes a response or error response.
func (f *fields) response(m Message, mode strictjson.Mode) (Message, *Error) {
	switch {
	case f.result == nil && f.err == nil:
		return Message{}, refusal(CodeInvalidRequest, "a message needs a method, a result or an error")
	case f.result != nil && f.err != nil:
		return Message{}, refusal(CodeInvalidRequest, "a response has either a result or an error")
	case f.params != nil:
		return Message{}, refusal(CodeInvalidRequest, "a response has no params")
	case m.ID.IsZero():
		return Message{}, refusal(CodeInvalidRequest, "a response needs an id")
	case f.result != nil:
		m.Kind, m.Result = Response, f.result
		return m, nil
	}
	var refused *Error
	m.Kind = ErrorResponse
	if m.Error, refused = errorObject(f.err, mode); refused != nil {
		return Message{}, refused
	}
	return m, nil
}

// errorObject checks the error of a response: an integer code, a string message,
// perhaps data, and nothing else.
func errorObject(v jsontext.Value, mode strictjson.Mode) (jsontext.Value, *Error) {
	if v.Kind() != jsontext.KindBeginObject {
		return nil, refusal(CodeInvalidRequest, "error must be an object")
	}
	var code, message, data jsontext.Value
	extra := false
	for name, value := range strictjson.Members(v) {
		switch string(name) {
		case "code":
			code = value
		case "message":
			message = value
		case "data":
			data = value
		default:
			if mode == strictjson.Request {
				return nil, unknownMember(CodeInvalidRequest, name, "code", "message", "data")
			}
			extra = true
		}
	}
	if code.Kind() != jsontext.KindNumber {
		return nil, refusal(CodeInvalidRequest, "the code of an error must be an integer")
	}
	if _, err := wholeNumber(code); err != nil {
		return nil, refusal(CodeInvalidRequest, "the code of an error: %v", err)
	}
	if message.Kind() != jsontext.KindString {
		return nil, refusal(CodeInvalidRequest, "the message of an error must be a string")
	}
	if extra {
		v = appendErrorObject(nil, code, message, data)
	}
	return v, nil
}
