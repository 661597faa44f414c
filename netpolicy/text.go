package netpolicy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun"
)

// fix says what to add to a rule so that it has the grant.
func (g Grant) fix() string { return "add " + strings.Join(g.keys(), ", ") }

// String says all of the rule on one line, as server.yaml would have it.
func (r Rule) String() string {
	keys := []string{"host: " + word(r.Host.String()), "port: " + strconv.Itoa(int(r.Port))}
	if r.Protocol != TLS {
		keys = append(keys, "protocol: "+r.Protocol.String())
	}
	if r.Inspect {
		keys = append(keys, "inspect: true")
	}
	if len(r.Methods) > 0 {
		keys = append(keys, "methods: "+list(r.Methods, word))
	}
	if len(r.Paths) > 0 {
		keys = append(keys, "paths: "+list(r.Paths, func(p PathPattern) string { return strconv.Quote(p.text) }))
	}
	if r.WebSocket {
		keys = append(keys, "websocket: true")
	}
	keys = append(keys, r.Grant.keys()...)
	if len(r.Tools) > 0 {
		keys = append(keys, "tools: "+list(r.Tools, func(t mcprun.ToolName) string { return word(string(t)) }))
	}
	keys = append(keys, r.Limits.keys()...)
	return "{" + strings.Join(keys, ", ") + "}"
}

func (g Grant) keys() (keys []string) {
	if g.Private {
		keys = append(keys, "private: true")
	}
	if len(g.Networks) > 0 {
		keys = append(keys, "networks: "+list(g.Networks, func(n netip.Prefix) string { return strconv.Quote(n.String()) }))
	}
	return keys
}

func (l Limits) keys() (keys []string) {
	if l.Connections != 0 {
		keys = append(keys, "connections: "+strconv.Itoa(l.Connections))
	}
	if l.PerMinute != 0 {
		keys = append(keys, fmt.Sprintf("rate: %d/min", l.PerMinute))
	}
	if l.Bytes != 0 {
		keys = append(keys, "bytes: "+sizeText(l.Bytes))
	}
	if len(keys) == 0 {
		return nil
	}
	return []string{"limits: {" + strings.Join(keys, ", ") + "}"}
}

func list[T any](values []T, text func(T) string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = text(v)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// word writes s so that YAML reads it back as this text: plain where that is sure,
// quoted where it may be a number, a null or an alias (*.example.com).
func word(s string) string {
	plain := len(s) > 1 && strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}) < 0 && ('a' <= s[0]|0x20 && s[0]|0x20 <= 'z')
	if !plain || slices.Contains([]string{"yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}, strings.ToLower(s)) {
		return strconv.Quote(s)
	}
	return s
}

// sizeText writes a size in its largest whole unit, as server.yaml does.
func sizeText(n int64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
