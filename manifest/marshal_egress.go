package manifest

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/netpolicy"
)

// fields collects "key: value" pairs of a mapping on one line.
type fields []string

func (f *fields) add(set bool, format string, args ...any) {
	if set {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

func (f fields) String() string { return "{" + strings.Join(f, ", ") + "}" }

func texts[T fmt.Stringer](in []T) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = quote(v.String())
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func marshalEgress(s *Server, line func(string, ...any)) {
	if len(s.Egress) == 0 {
		return
	}
	line("egress:")
	for _, r := range s.Egress {
		line("  - %s", ruleFields(r))
	}
}

func ruleFields(r netpolicy.Rule) fields {
	var f fields
	f.add(true, "host: %s", quote(r.Host.String()))
	f.add(true, "port: %d", r.Port)
	f.add(true, "protocol: %s", r.Protocol)
	f.add(r.Inspect, "inspect: true")
	f.add(len(r.Methods) > 0, "methods: [%s]", quoteAll(r.Methods))
	f.add(len(r.Paths) > 0, "paths: %s", texts(r.Paths))
	f.add(r.WebSocket, "websocket: true")
	f.add(r.Grant.Private, "private: true")
	f.add(len(r.Grant.Networks) > 0, "networks: %s", texts(r.Grant.Networks))
	f.add(len(r.Tools) > 0, "tools: [%s]", quoteAll(toolNames(r.Tools)))
	var l fields
	l.add(r.Limits.Connections > 0, "connections: %d", r.Limits.Connections)
	l.add(r.Limits.PerMinute > 0, "rate: %d/min", r.Limits.PerMinute)
	l.add(r.Limits.Bytes > 0, "bytes: %s", sizeString(r.Limits.Bytes))
	f.add(len(l) > 0, "limits: %s", l)
	return f
}

func marshalCredentials(s *Server, line func(string, ...any)) {
	if len(s.Credentials) == 0 {
		return
	}
	line("credentials:")
	for _, c := range s.Credentials {
		line("  %s: %s", quote(c.Name), credentialFields(c))
	}
}

func credentialFields(c Credential) fields {
	var f fields
	f.add(true, "source: %s", sourceText(c.Source))
	f.add(true, "lifetime: %s", durationString(c.Lifetime))
	f.add(!c.Host.IsZero(), "host: %s", quote(c.Host.String()))
	f.add(true, "port: %d", c.Port)
	var p fields
	p.add(c.Place.Header != "", "header: %s", quote(c.Place.Header))
	p.add(c.Place.Format != "", "format: %s", quote(c.Place.Format))
	p.add(c.Place.Basic != "", "basic: %s", c.Place.Basic)
	p.add(c.Place.Query != "", "query: %s", quote(c.Place.Query))
	f.add(len(p) > 0, "place: %s", p)
	f.add(len(c.Methods) > 0, "methods: [%s]", quoteAll(c.Methods))
	f.add(len(c.Paths) > 0, "paths: %s", texts(c.Paths))
	f.add(len(c.Tools) > 0, "tools: [%s]", quoteAll(toolNames(c.Tools)))
	var e fields
	e.add(c.Expose.Env != "", "env: %s", quote(c.Expose.Env))
	e.add(c.Expose.File != "", "file: %s", quote(c.Expose.File))
	e.add(true, "text: %s", quote(c.Expose.Text))
	f.add(true, "expose: %s", e)
	f.add(true, "shape: %s", quote(string(c.Expose.Shape)))
	f.add(c.InContainer, "exposure: container")
	return f
}

func sourceText(s credentials.Source) string {
	var f fields
	switch {
	case s.Env != "":
		return quote("env:" + s.Env)
	case s.File != "":
		return quote("file:" + s.File)
	case s.Age != nil:
		f.add(true, "age: {file: %s, identity: %s}", quote(s.Age.File), quote(s.Age.Identity))
	case len(s.Exec) > 0:
		f.add(true, "exec: [%s]", quoteAll(s.Exec))
	case s.Vault != nil:
		v := fields{"address: " + quote(s.Vault.Address), "path: " + quote(s.Vault.Path), "field: " + quote(s.Vault.Field), "token: " + innerText(s.Vault.Token)}
		v.add(s.Vault.CA != "", "ca: %s", quote(s.Vault.CA))
		f.add(true, "vault: %s", v)
	case s.OAuth != nil:
		v := fields{"token-url: " + quote(s.OAuth.TokenURL), "client: " + quote(s.OAuth.ClientID), "secret: " + innerText(s.OAuth.Secret)}
		v.add(len(s.OAuth.Scopes) > 0, "scopes: [%s]", quoteAll(s.OAuth.Scopes))
		v.add(s.OAuth.Audience != "", "audience: %s", quote(s.OAuth.Audience))
		f.add(true, "oauth: %s", v)
	case s.Exchange != nil:
		x := s.Exchange
		v := fields{"token-url: " + quote(x.TokenURL), "subject: " + innerText(x.Subject)}
		v.add(x.ClientID != "", "client: %s", quote(x.ClientID))
		v.add(x.Secret != nil, "secret: %s", innerText(x.Secret))
		v.add(x.SubjectType != "", "subject-type: %s", quote(x.SubjectType))
		v.add(len(x.Scopes) > 0, "scopes: [%s]", quoteAll(x.Scopes))
		v.add(x.Audience != "", "audience: %s", quote(x.Audience))
		f.add(true, "exchange: %s", v)
	}
	return f.String()
}

func innerText(s *credentials.Source) string {
	if s == nil {
		return `""`
	}
	return sourceText(*s)
}

// String says all of a credential on one line; a source is named, never read.
func (c Credential) String() string {
	place := c.Place.Header + c.Place.Basic + c.Place.Query
	where := "proxy"
	if c.InContainer {
		where = "container"
	}
	return fmt.Sprintf("%s:%q->%s:%d:%q methods=%v paths=%v tools=%v %s%s exposure=%s", c.Name, c.Source.String(), c.Host, c.Port, place,
		c.Methods, c.Paths, c.Tools, c.Expose.Env, c.Expose.File, where)
}
