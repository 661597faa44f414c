package front

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/audit"
)

// detailStrain is where the record of a result keeps what its server ran into.
const detailStrain = "strain"

// explain adds to a result that says it failed which limit of its container the server
// ran into meanwhile: what it says itself is often no more than "killed".
func (r *route) explain(raw jsontext.Value, rec *audit.Record) jsontext.Value {
	var parts struct {
		IsError bool             `json:"isError"`
		Content []jsontext.Value `json:"content"`
	}
	if json.Unmarshal(raw, &parts) != nil || !parts.IsError {
		return raw
	}
	why := r.strain(rec)
	if why == "" {
		return raw
	}
	text, err := jsontext.AppendQuote(nil, why)
	if err != nil {
		return raw
	}
	added, err := json.Marshal(append(parts.Content, jsontext.Value(`{"type":"text","text":`+string(text)+`}`)))
	if err != nil {
		return raw
	}
	return withMember(raw, "content", added)
}

// explainError does the same for an error of the protocol.
func (r *route) explainError(raw jsontext.Value, rec *audit.Record) jsontext.Value {
	why := r.strain(rec)
	if why == "" {
		return raw
	}
	text, err := jsontext.AppendQuote(nil, stringMember(raw, "message")+" ["+why+"]")
	if err != nil {
		return raw
	}
	return withMember(raw, "message", text)
}

func (r *route) strain(rec *audit.Record) string {
	why := r.life.Strained(Flight{r.tool, r.call}, r.begun)
	if why == "" {
		return ""
	}
	if rec.Detail == nil {
		rec.Detail = map[string]string{}
	}
	rec.Detail[detailStrain] = why[:min(len(why), audit.MaxDetailValue)]
	return "mcprun: " + why
}

// withMember replaces one member of an object; all others stay as they are.
func withMember(obj jsontext.Value, name string, value jsontext.Value) jsontext.Value {
	var all map[string]jsontext.Value
	if json.Unmarshal(obj, &all) != nil {
		return obj
	}
	all[name] = value
	out, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return obj
	}
	return out
}
