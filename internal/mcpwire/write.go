package mcpwire

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The writers append one line, "\n" included, to dst. Values must be valid JSON;
// ids that are zero are written as null.

// AppendMessage appends a message of any kind. A message of no kind appends
// nothing.
func AppendMessage(dst []byte, m Message) []byte {
	switch m.Kind {
	case Request:
		return AppendRequest(dst, m.ID, m.Method, m.Params)
	case Notification:
		return AppendNotification(dst, m.Method, m.Params)
	case Response:
		return AppendResult(dst, m.ID, m.Result)
	case ErrorResponse:
		return AppendErrorObject(dst, m.ID, m.Error)
	}
	return dst
}

// AppendRequest appends a request; nil params are left out.
func AppendRequest(dst []byte, id ID, method string, params jsontext.Value) []byte {
	start := len(dst)
	dst = appendID(dst, id)
	return appendCall(dst, start, method, params)
}

// AppendNotification appends a notification; nil params are left out.
func AppendNotification(dst []byte, method string, params jsontext.Value) []byte {
	start := len(dst)
	dst = append(dst, `{"jsonrpc":"2.0"`...)
	return appendCall(dst, start, method, params)
}

func appendCall(dst []byte, start int, method string, params jsontext.Value) []byte {
	dst = append(dst, `,"method":`...)
	dst, _ = jsontext.AppendQuote(dst, method) // invalid UTF-8 becomes U+FFFD
	if len(params) > 0 {
		dst = append(append(dst, `,"params":`...), params...)
	}
	return endLine(dst, start)
}

// AppendResult appends a response; a nil result is the empty one of MCP, {}.
func AppendResult(dst []byte, id ID, result jsontext.Value) []byte {
	start := len(dst)
	dst = append(appendID(dst, id), `,"result":`...)
	if len(result) == 0 {
		result = jsontext.Value("{}")
	}
	return endLine(append(dst, result...), start)
}

// AppendError appends an error response; nil data are left out.
func AppendError(dst []byte, id ID, code int, message string, data jsontext.Value) []byte {
	quoted, _ := jsontext.AppendQuote(nil, message) // invalid UTF-8 becomes U+FFFD
	object := appendErrorObject(nil, strconv.AppendInt(nil, int64(code), 10), quoted, data)
	return AppendErrorObject(dst, id, object)
}

// AppendErrorObject appends an error response with a whole error object, such as
// the Error of a Message.
func AppendErrorObject(dst []byte, id ID, object jsontext.Value) []byte {
	start := len(dst)
	dst = append(appendID(dst, id), `,"error":`...)
	return endLine(append(dst, object...), start)
}

func appendErrorObject(dst []byte, code, message, data jsontext.Value) []byte {
	dst = append(append(dst, `{"code":`...), code...)
	dst = append(append(dst, `,"message":`...), message...)
	if len(data) > 0 {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

func appendID(dst []byte, id ID) []byte {
	return id.AppendTo(append(dst, `{"jsonrpc":"2.0","id":`...))
}

// endLine closes the message that starts at dst[start] and ends its line. What a
// reader might take for the end of a line goes: a line feed or carriage return,
// which between JSON tokens is mere space, and U+2028 and U+2029, at which the
// readline of some Node releases cuts a line, and which only a string can hold.
func endLine(dst []byte, start int) []byte {
	dst = append(dst, '}')
	line := dst[start:]
	if bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, '\r') >= 0 || bytes.Contains(line, []byte("\xe2\x80")) {
		dst = appendOneLine(dst[:start], bytes.Clone(line))
	}
	return append(dst, '\n')
}

func appendOneLine(dst, line []byte) []byte {
	for i := 0; i < len(line); i++ {
		switch rest := line[i:]; {
		case line[i] == '\n' || line[i] == '\r':
			dst = append(dst, ' ')
		case bytes.HasPrefix(rest, []byte("\u2028")):
			dst = append(dst, `\u2028`...)
			i += len("\u2028") - 1
		case bytes.HasPrefix(rest, []byte("\u2029")):
			dst = append(dst, `\u2029`...)
			i += len("\u2029") - 1
		default:
			dst = append(dst, line[i])
		}
	}
	return dst
}
