package upstream

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// Protocol is the newest revision of MCP with a handshake, which the daemon offers.
const Protocol = "2025-11-25"

// known are the revisions that a server may choose and a client may ask for.
var known = map[string]bool{"2024-11-05": true, "2025-03-26": true, "2025-06-18": true, "2025-11-25": true}

// KnownProtocol reports whether rev is a revision with a handshake.
func KnownProtocol(rev string) bool { return known[rev] }

// maxListPages and maxListed bound a tools/list: a server could page for ever.
const (
	maxListPages = 64
	maxListed    = 1024
)

// Grants are the client features that a server is told of.
type Grants struct{ Sampling, Elicitation, Roots bool }

// Greeting is what a server says of itself in the handshake.
type Greeting struct {
	ProtocolVersion string         `json:"protocolVersion"`
	Capabilities    jsontext.Value `json:"capabilities"`
	ServerInfo      jsontext.Value `json:"serverInfo"`
	Instructions    string         `json:"instructions"`
}

// Initialize performs the handshake as the daemon's own client.
func (c *Conn) Initialize(ctx context.Context, g Grants, version string, timeout time.Duration) (Greeting, error) {
	caps := map[string]any{}
	if g.Sampling {
		caps["sampling"] = struct{}{}
	}
	if g.Elicitation {
		caps["elicitation"] = struct{}{}
	}
	if g.Roots {
		caps["roots"] = map[string]any{"listChanged": true}
	}
	params, err := json.Marshal(map[string]any{
		"protocolVersion": Protocol, "capabilities": caps,
		"clientInfo": map[string]string{"name": "mcprun", "version": version},
	})
	if err != nil {
		return Greeting{}, err
	}
	raw, err := c.Call(ctx, "initialize", params, timeout)
	if err != nil {
		return Greeting{}, fmt.Errorf("greeting the server: %w", err)
	}
	var greeting Greeting
	if err := json.Unmarshal(raw, &greeting); err != nil {
		return Greeting{}, fmt.Errorf("greeting the server: its answer to initialize: %w", err)
	}
	if !known[greeting.ProtocolVersion] {
		return Greeting{}, fmt.Errorf("greeting the server: it speaks revision %q of MCP, which mcprun does not", greeting.ProtocolVersion)
	}
	c.Notify("notifications/initialized", nil)
	return greeting, nil
}

// Tools lists every tool definition, raw and whole, in the server's order.
func (c *Conn) Tools(ctx context.Context, timeout time.Duration) ([]jsontext.Value, error) {
	var out []jsontext.Value
	var cursor *string
	for range maxListPages {
		params := map[string]any{}
		if cursor != nil {
			params["cursor"] = *cursor
		}
		raw, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		page, err := c.Call(ctx, "tools/list", raw, timeout)
		if err != nil {
			return nil, fmt.Errorf("listing the server's tools: %w", err)
		}
		var list struct {
			Tools      []jsontext.Value `json:"tools"`
			NextCursor *string          `json:"nextCursor"`
		}
		if err := json.Unmarshal(page, &list); err != nil {
			return nil, fmt.Errorf("listing the server's tools: %w", err)
		}
		for _, t := range list.Tools {
			// Definitions are held to the rules for requests: they reach a model.
			v, err := strictjson.Parse(t, strictjson.Request)
			if err != nil {
				return nil, fmt.Errorf("listing the server's tools: a definition: %w", err)
			}
			out = append(out, v)
		}
		if len(out) > maxListed {
			return nil, fmt.Errorf("the server lists more than %d tools", maxListed)
		}
		if list.NextCursor == nil || *list.NextCursor == "" {
			return out, nil
		}
		cursor = list.NextCursor
	}
	return nil, fmt.Errorf("the server's tool list has more than %d pages", maxListPages)
}
