package mcpwire

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

const (
	metaMember  = "_meta"
	tokenMember = "progressToken"
)

// metaToken returns the progress token of a _meta object, and what is wrong with
// it. A token in another case is refused: a server that ignores case would use a
// token that was never replaced.
func metaToken(meta jsontext.Value) (id ID, why string) {
	if meta == nil {
		return ID{}, ""
	}
	if meta.Kind() != jsontext.KindBeginObject {
		return ID{}, "params._meta must be an object"
	}
	for name, value := range strictjson.Members(meta) {
		switch {
		case string(name) == tokenMember:
			token, err := ParseID(value)
			if err != nil {
				return ID{}, "params._meta.progressToken: " + err.Error()
			}
			id = token
		case strings.EqualFold(string(name), tokenMember):
			return ID{}, "params._meta.progressToken must be written just so"
		}
	}
	return id, ""
}

// ProgressToken returns params._meta.progressToken of any request; false if there
// is none, or none that is a legal id.
func ProgressToken(params jsontext.Value) (ID, bool) {
	return idMember(strictjson.Member(params, metaMember), tokenMember)
}

// WithProgressToken returns params with this progress token, without any if it is
// zero.
func WithProgressToken(params jsontext.Value, token ID) jsontext.Value {
	if len(params) == 0 && token.IsZero() {
		return params
	}
	return SetMeta(params, ReplaceToken(strictjson.Member(params, metaMember), token))
}

// SetMeta returns params with this _meta, without any if it is nil.
func SetMeta(params, meta jsontext.Value) jsontext.Value {
	return withMember(params, metaMember, meta)
}

// ReplaceToken returns a _meta object with this progress token, without any if it
// is zero. All else in it stays.
func ReplaceToken(meta jsontext.Value, token ID) jsontext.Value {
	if token.IsZero() {
		if meta == nil {
			return nil
		}
		return withMember(meta, tokenMember, nil)
	}
	return withMember(meta, tokenMember, jsontext.Value(token.text))
}

// referenceMember names the member of a notification's params that refers to a
// request; "" if the notification refers to none.
func referenceMember(method string) string {
	switch method {
	case "notifications/progress":
		return tokenMember
	case "notifications/cancelled":
		return "requestId"
	}
	return ""
}

// Reference returns the progress token of notifications/progress and the request
// id of notifications/cancelled; false for all other methods and if it is missing
// or not a legal id.
func Reference(method string, params jsontext.Value) (ID, bool) {
	return idMember(params, referenceMember(method))
}

// WithReference returns the params of such a notification about another request,
// about none if id is zero. The params of other methods stay as they are.
func WithReference(method string, params jsontext.Value, id ID) jsontext.Value {
	name := referenceMember(method)
	if name == "" {
		return params
	}
	if id.IsZero() {
		return withMember(params, name, nil)
	}
	return withMember(params, name, jsontext.Value(id.text))
}

func idMember(object jsontext.Value, name string) (ID, bool) {
	if name == "" {
		return ID{}, false
	}
	v := strictjson.Member(object, name)
	if v == nil {
		return ID{}, false
	}
	id, err := ParseID(v)
	return id, err == nil
}
