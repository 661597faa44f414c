package mcpwire

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// Call is the parameters of tools/call.
type Call struct {
	Name      string
	Arguments jsontext.Value // always an object
	Meta      jsontext.Value // an object, nil if absent
	Token     ID             // the progress token in Meta; zero if there is none
}

// ParseCall reads the params of a tools/call that ParseClient returned. The error
// lacks the id: it is an answer to the message that the params came from.
func ParseCall(params jsontext.Value) (Call, *Error) {
	c := Call{Arguments: jsontext.Value("{}")}
	var name jsontext.Value
	for n, value := range strictjson.Members(params) {
		switch string(n) {
		case "name":
			name = value
		case "arguments":
			c.Arguments = value
		case "_meta":
			c.Meta = value
		case "task":
			return Call{}, refuseCall("task-augmented calls are not supported yet")
		default:
			e := unknownMember(CodeInvalidParams, n, "name", "arguments", "_meta", "task")
			e.Answerable = true
			return Call{}, e
		}
	}
	if name.Kind() != jsontext.KindString {
		return Call{}, refuseCall("params.name must be a string")
	}
	c.Name = unquote(name)
	if c.Arguments.Kind() != jsontext.KindBeginObject {
		return Call{}, refuseCall("params.arguments must be an object")
	}
	var why string
	if c.Token, why = metaToken(c.Meta); why != "" {
		return Call{}, refuseCall(why)
	}
	return c, nil
}

func refuseCall(why string) *Error {
	return &Error{Code: CodeInvalidParams, Message: why, Answerable: true}
}

// Params returns the call as params again: what was read and nothing more.
func (c Call) Params() jsontext.Value {
	out := append(make([]byte, 0, len(c.Name)+len(c.Arguments)+len(c.Meta)+64), `{"name":`...)
	out, _ = jsontext.AppendQuote(out, c.Name)
	out = append(out, `,"arguments":`...)
	if len(c.Arguments) == 0 {
		out = append(out, "{}"...)
	}
	out = append(out, c.Arguments...)
	if len(c.Meta) > 0 {
		out = append(append(out, `,"_meta":`...), c.Meta...)
	}
	return append(out, '}')
}
