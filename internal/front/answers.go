package front

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/internal/upstream"
)

// shownCapabilities are the features of a server that mcprun passes on. Others
// (tasks, experimental ones) are not told of, since their methods are refused.
var shownCapabilities = []string{"tools", "resources", "prompts", "logging", "completions"}

// initialize answers the handshake from what was pinned of the server.
func (c *Session) initialize(g upstream.Greeting, m mcpwire.Message) {
	var asked struct {
		ProtocolVersion string                    `json:"protocolVersion"`
		Capabilities    map[string]jsontext.Value `json:"capabilities"`
	}
	if err := json.Unmarshal(m.Params, &asked); err != nil || asked.ProtocolVersion == "" {
		c.refuse(m, codeParams, "wire", "initialize needs a protocolVersion and capabilities")
		return
	}
	version := negotiate(asked.ProtocolVersion, g.ProtocolVersion)
	c.mu.Lock()
	c.elicits = hasForms(version, asked.Capabilities["elicitation"])
	for _, f := range []string{"sampling", "elicitation", "roots"} {
		_, c.features[f] = asked.Capabilities[f]
	}
	c.mu.Unlock()
	answer := map[string]any{
		"protocolVersion": version,
		"capabilities":    capabilities(g.Capabilities),
		"serverInfo":      g.ServerInfo,
	}
	if g.Instructions != "" {
		answer["instructions"] = g.Instructions
	}
	raw, err := json.Marshal(answer, json.Deterministic(true))
	if err != nil {
		c.refuse(m, codeRefused, "handshake", "the server's own description is damaged: "+err.Error())
		return
	}
	c.box.Send(mcpwire.AppendResult(nil, m.ID, raw))
}

// negotiate agrees to an older revision that the client asks for: the messages
// that pass here are the same in all of them.
func negotiate(asked, server string) string {
	if upstream.KnownProtocol(asked) && asked < server {
		return asked
	}
	return server
}

func capabilities(raw jsontext.Value) map[string]any {
	var all map[string]jsontext.Value
	json.Unmarshal(raw, &all)
	out := map[string]any{"tools": map[string]bool{"listChanged": true}}
	for _, name := range shownCapabilities {
		if v, ok := all[name]; ok && name != "tools" {
			out[name] = v
		}
	}
	return out
}

// listTools answers from the pins; the server is not asked.
func (c *Session) listTools(p *gate.Policy, m mcpwire.Message) {
	out := []byte(`{"tools":[`)
	for i, def := range p.Listed() {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, def...)
	}
	c.box.Send(mcpwire.AppendResult(nil, m.ID, append(out, "]}"...)))
}

// sentence is a refusal as a model reads it.
func sentence(d mcprun.Decision) string {
	s := "mcprun refused this call: " + d.Reason
	if d.Hint != "" {
		s += ". Hint: " + d.Hint
	}
	return s + " [" + d.Rule + "]"
}

// refusal is a tool result that says why there is none.
func refusal(d mcprun.Decision, id mcprun.CallID) jsontext.Value {
	out := []byte(`{"call":`)
	out, _ = jsontext.AppendQuote(out, string(id))
	out = append(out, `,"rule":`...)
	out, _ = jsontext.AppendQuote(out, d.Rule)
	out = append(out, `,"risk":`...)
	out, _ = jsontext.AppendQuote(out, d.Risk.String())
	return refusalWith(sentence(d), append(out, '}'))
}

// refusalWith is one with data for programs.
func refusalWith(text string, data jsontext.Value) jsontext.Value {
	out := []byte(`{"content":[{"type":"text","text":`)
	out, _ = jsontext.AppendQuote(out, text)
	out = append(out, `}],"isError":true,"_meta":{"mcprun/decision":`...)
	return append(append(out, data...), "}}"...)
}

// stringMember reads one string member of an object, "" if it is not there.
func stringMember(obj jsontext.Value, name string) string {
	var m map[string]jsontext.Value
	var s string
	if json.Unmarshal(obj, &m) != nil || json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

func errorObject(code int, message string) jsontext.Value {
	raw, err := json.Marshal(map[string]any{"code": code, "message": message})
	if err != nil {
		return jsontext.Value(`{"code":-32000,"message":"refused"}`)
	}
	return raw
}
