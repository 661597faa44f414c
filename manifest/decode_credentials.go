package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/credentials"
)

func credentialPath(name string) string { return "credentials." + keyName(name) }

func decodeCredentials(o object) []Credential {
	var out []Credential
	for _, p := range o.named("credentials", "{github: {source: env:GITHUB_TOKEN, …}}") {
		path := credentialPath(p.key.text)
		o.r.where[path] = place{p.value.pos, path}
		c := decodeCredential(openObject(o.r, "credentials.*", path, p.value))
		c.Name = p.key.text
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Credential) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func decodeCredential(o object) Credential {
	c := Credential{Port: defaultPort, Lifetime: DefaultLifetime, Expose: Expose{Text: "{}", Shape: credentials.Plain}}
	if o.fields != nil {
		o.need("source", "say where the secret is, e.g. source: env:GITHUB_TOKEN")
		o.need("expose", "say where the server finds its placeholder, e.g. expose: {env: GITHUB_TOKEN}")
	}
	c.Source = decodeSource(o, "source", "credentials.*.source")
	o.duration("lifetime", &c.Lifetime)
	set(o, "host", &c.Host, readHost)
	set(o, "port", &c.Port, readPort)
	decodePlace(openAt(o, "place", "credentials.*.place"), &c.Place)
	c.Methods = each(o, "methods", "GET", readMethod)
	c.Paths = each(o, "paths", "/repos/**", readPathPattern)
	c.Tools = each(o, "tools", "get_issue", readToolName)
	decodeExpose(openAt(o, "expose", "credentials.*.expose"), &c.Expose)
	set(o, "shape", &c.Expose.Shape, parsed("github", credentials.ParseShape))
	set(o, "exposure", &c.InContainer, readExposure)
	return c
}

// openAt opens the mapping under a key of an entry whose name the file chose.
func openAt(o object, name, schemaPath string) object {
	n, path, ok := o.take(name)
	if !ok {
		return object{o.r, join(o.path, name), nil}
	}
	return openObject(o.r, schemaPath, path, n)
}

func decodePlace(o object, dst *Place) {
	o.text("header", "Authorization", &dst.Header)
	o.text("format", `"Bearer {}"`, &dst.Format)
	o.text("basic", "password", &dst.Basic)
	o.text("query", "access_token", &dst.Query)
}

func decodeExpose(o object, dst *Expose) {
	o.text("env", "GITHUB_TOKEN", &dst.Env)
	o.text("file", "token", &dst.File)
	o.text("text", `"{}"`, &dst.Text)
}

func readExposure(n node) (bool, problem) {
	text, p := readText(n, "proxy")
	switch {
	case !p.none():
		return false, p
	case text == "proxy":
		return false, problem{}
	case text == "container":
		return true, problem{}
	}
	return false, problem{show(text) + " is not an exposure", "write proxy, or container to hand the secret itself to the server"}
}

// decodeSource reads env:NAME and file:/path, or a mapping for the others.
func decodeSource(o object, name, schemaPath string) credentials.Source {
	var s credentials.Source
	n, path, ok := o.take(name)
	if !ok {
		return s
	}
	if n.kind == scalarKind {
		setAt(o.r, path, n, &s, parsed("env:GITHUB_TOKEN", parseSource))
		return s
	}
	m := openObject(o.r, schemaPath, path, n)
	if m.fields == nil || n.kind != mapKind {
		return s
	}
	if len(m.fields) != 1 {
		o.r.fail(path, "keep one of age, exec, vault, oauth and exchange", "needs exactly one kind of source")
		return s
	}
	if _, ok := m.fields["exec"]; ok {
		s.Exec = each(m, "exec", "/usr/local/bin/print-token", textLike("/usr/local/bin/print-token"))
	}
	if a := openAt(m, "age", schemaPath+".age"); a.fields != nil {
		s.Age = &credentials.Age{}
		a.text("file", "/etc/mcprun/token.age", &s.Age.File)
		a.text("identity", "/etc/mcprun/key.txt", &s.Age.Identity)
	}
	if v := openAt(m, "vault", schemaPath+".vault"); v.fields != nil {
		s.Vault = &credentials.Vault{Token: inner(v, "token")}
		v.text("address", "https://vault.example.com:8200", &s.Vault.Address)
		v.text("path", "secret/data/github", &s.Vault.Path)
		v.text("field", "token", &s.Vault.Field)
		v.text("ca", "/etc/mcprun/vault-ca.pem", &s.Vault.CA)
	}
	if v := openAt(m, "oauth", schemaPath+".oauth"); v.fields != nil {
		s.OAuth = &credentials.OAuth{Secret: inner(v, "secret"), Scopes: each(v, "scopes", "read", textLike("read"))}
		v.text("token-url", "https://login.example.com/oauth/token", &s.OAuth.TokenURL)
		v.text("client", "mcprun", &s.OAuth.ClientID)
		v.text("audience", "https://api.example.com", &s.OAuth.Audience)
	}
	if v := openAt(m, "exchange", schemaPath+".exchange"); v.fields != nil {
		s.Exchange = &credentials.Exchange{Secret: inner(v, "secret"), Subject: inner(v, "subject"), Scopes: each(v, "scopes", "read", textLike("read"))}
		v.text("token-url", "https://login.example.com/oauth/token", &s.Exchange.TokenURL)
		v.text("client", "mcprun", &s.Exchange.ClientID)
		v.text("subject-type", "urn:ietf:params:oauth:token-type:jwt", &s.Exchange.SubjectType)
		v.text("audience", "https://api.example.com", &s.Exchange.Audience)
	}
	return s
}

// inner is a source that another one needs: env:NAME or file:/path.
func inner(o object, name string) *credentials.Source {
	if _, _, ok := o.take(name); !ok {
		return nil
	}
	var s credentials.Source
	set(o, name, &s, parsed("env:VAULT_TOKEN", parseSource))
	return &s
}

// parseSource reads the short form of a source.
func parseSource(s string) (credentials.Source, error) {
	kind, rest, ok := strings.Cut(s, ":")
	switch {
	case ok && kind == "env":
		return credentials.Source{Env: rest}, nil
	case ok && kind == "file":
		return credentials.Source{File: rest}, nil
	}
	// The text is not repeated: somebody may have written the secret itself here.
	return credentials.Source{}, fmt.Errorf("a source is env:NAME, file:/path, or a mapping of age, exec, vault, oauth or exchange")
}
