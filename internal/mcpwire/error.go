package mcpwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// The codes of JSON-RPC 2.0, section 5.1, that this package gives.
const (
	CodeParse          = -32700 // not JSON
	CodeInvalidRequest = -32600 // JSON, but no message that is accepted
	CodeInvalidParams  = -32602 // a message whose parameters are not
)

// Error says why a line is no message, and how to answer it.
type Error struct {
	Code    int
	Message string // fit for the sender

	// ID is the id of the broken message if there is no doubt about it. With
	// Answerable it is the request to be answered; without, it is the request
	// whose answer was broken, and which will get no other.
	ID ID

	// Answerable is false for a broken notification or response, which must be
	// dropped: an answer to it would be taken for the answer to something else.
	Answerable bool
}

func (e *Error) Error() string { return e.Message }

// refusal is an Error of which the outline is still to be found.
func refusal(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// outline is what can still be said of a line that is no message.
type outline struct {
	ids      int            // members called id, in whatever case
	id       jsontext.Value // of the last one called id exactly
	method   bool
	response bool // has a result or an error
}

func (o *outline) see(name string, value jsontext.Value) {
	switch {
	case strings.EqualFold(name, "id"):
		o.ids++
		if name == "id" {
			o.id = value.Clone()
		}
	case strings.EqualFold(name, "method"):
		o.method = true
	case strings.EqualFold(name, "result"), strings.EqualFold(name, "error"):
		o.response = true
	}
}

// refuse makes the error for a line with this outline.
func (o *outline) refuse(code int, message string) *Error {
	e := &Error{Code: code, Message: message}
	if o.ids == 1 && o.id != nil {
		if v, err := strictjson.Parse(o.id, strictjson.Request); err == nil {
			e.ID, _ = ParseID(v)
		}
	}
	notification := o.method && o.ids == 0
	response := o.response && !o.method
	e.Answerable = !notification && !response
	return e
}

// refuseValue is the error for a line that strictjson accepts.
func refuseValue(v jsontext.Value, e *Error) *Error {
	var o outline
	for name, value := range strictjson.Members(v) {
		o.see(string(name), value)
	}
	return o.refuse(e.Code, e.Message)
}

// refuseLine is the error for a line that strictjson refuses for the given cause.
// If the line is JSON all the same, but for duplicate keys and broken UTF-8, its
// outline is looked up in a second, lenient scan whose result goes nowhere else.
func refuseLine(line []byte, cause error) *Error {
	var o outline
	if err := o.scan(line); err != nil {
		return &Error{Code: CodeParse, Message: cause.Error(), Answerable: true}
	}
	return o.refuse(CodeInvalidRequest, cause.Error())
}

// scan reads the outline of one JSON value, and fails unless the line is just
// that.
func (o *outline) scan(line []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(line), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != jsontext.KindBeginObject {
		return endOf(dec, dec.SkipValue())
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		o.see(name, value)
	}
	_, err := dec.ReadToken()
	return endOf(dec, err)
}

// endOf fails if err is set or if anything follows in dec.
func endOf(dec *jsontext.Decoder, err error) error {
	if err != nil {
		return err
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}
