package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// Policy is what the egress rules say together; the zero Policy, which denies
// everything, if there are none. They have passed Validate.
func (s *Server) Policy() (netpolicy.Policy, error) {
	if len(s.Egress) == 0 {
		return netpolicy.Policy{}, nil
	}
	return netpolicy.NewPolicy(s.Egress)
}

// checkEgress: each rule must say exactly what it opens, and two of them must not
// say different things of one destination.
func checkEgress(s *Server, r *report) {
	_, err := netpolicy.NewPolicy(s.Egress)
	if err == nil {
		return
	}
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		r.fail("egress", "name fewer, wider hosts", "%s", shortError(err))
		return
	}
	for _, e := range all.Unwrap() {
		var f netpolicy.Fault
		if errors.As(e, &f) {
			r.fail(f.Key, cmp.Or(f.Fix, "write another value"), "%s", shortError(errors.New(f.What)))
		}
	}
}

// checkEgressTools: a rule for a tool that is not granted is a slip of the pen, and
// would open nothing.
func checkEgressTools(s *Server, r *report) {
	for i, rule := range s.Egress {
		for j, t := range rule.Tools {
			if _, ok := s.Tools[t]; !ok {
				r.fail(fmt.Sprintf("%s.tools[%d]", egressPath(i), j), "grant the tool under tools, or take it out here", "%s is not a tool of this server", t)
			}
		}
	}
}

var credentialName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// checkCredentialNames: the name stands in the record, in messages and in paths.
func checkCredentialNames(s *Server, r *report) {
	if len(s.Credentials) > MaxCredentials {
		r.fail("credentials", "split the server into several", "%d credentials; at most %d", len(s.Credentials), MaxCredentials)
	}
	for _, c := range s.Credentials {
		if !credentialName.MatchString(c.Name) {
			r.fail(credentialPath(c.Name), "use 1 to 40 of a-z, 0-9 and hyphens, starting with a letter", "%s is not the name of a credential", show(c.Name))
		}
	}
}

// checkCredentialSources: a source that cannot work must not look as if it did.
func checkCredentialSources(s *Server, r *report) {
	for _, c := range s.Credentials {
		if err := c.Source.Validate(); err != nil {
			r.fail(credentialPath(c.Name)+".source", "see docs/credentials.md for each kind of source", "%s", shortError(err))
		}
		inRange(r, credentialPath(c.Name)+".lifetime", c.Lifetime, MinLifetime, MaxLifetime, durationString)
	}
}

// checkCredentialPlaces: a secret goes to one place of requests to one host. What
// is not inspected cannot be swapped, and what is in the clear can be read by all.
func checkCredentialPlaces(s *Server, r *report) {
	for _, c := range s.Credentials {
		path := credentialPath(c.Name)
		if c.InContainer {
			checkHandedOver(c, path, r)
			continue
		}
		if c.Host.IsZero() {
			r.fail(path+".host", "name the host, e.g. host: api.example.com", "is missing")
			continue
		}
		if !slices.ContainsFunc(s.Egress, func(e netpolicy.Rule) bool { return e.Inspect && e.Port == c.Port && e.Host.Match(c.Host) }) {
			r.fail(path+".host", fmt.Sprintf("add an egress rule: {host: %s, port: %d, inspect: true, methods: [GET], paths: [\"/**\"]}", c.Host, c.Port),
				"no egress rule inspects requests to %s, so nothing can be swapped there", netpolicy.JoinHostPort(c.Host, c.Port))
		}
		if what, fix := badPlace(c.Place); what != "" {
			r.fail(path+".place", fix, "%s", what)
		}
		for i, t := range c.Tools {
			if _, ok := s.Tools[t]; !ok {
				r.fail(fmt.Sprintf("%s.tools[%d]", path, i), "grant the tool under tools, or take it out here", "%s is not a tool of this server", t)
			}
		}
	}
}

// checkHandedOver: the secret itself is in the container, so words about where it
// may go would be a promise that nobody keeps.
func checkHandedOver(c Credential, path string, r *report) {
	if c.Place != (Place{}) || !c.Host.IsZero() || len(c.Methods)+len(c.Paths)+len(c.Tools) > 0 {
		r.fail(path+".exposure", "take host, place, methods, paths and tools out, or write exposure: proxy", "hands the secret to the server, which can then use it anywhere")
	}
	if c.Expose.File == "" {
		r.fail(path+".expose", "write expose: {file: NAME}; the server finds it in "+SecretDir, "a secret in the environment would be written to disk with the container's description")
	}
}

func badPlace(p Place) (what, fix string) {
	n := 0
	for _, set := range []bool{p.Header != "", p.Basic != "", p.Query != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return "needs exactly one of header, basic and query", `write e.g. place: {header: Authorization, format: "Bearer {}"}`
	case p.Header == "" && p.Format != "":
		return "only a header has a format", "take format out"
	case p.Header != "" && !validHeader(p.Header):
		return show(p.Header) + " is not a header that a secret can stand in", "write e.g. Authorization or X-Api-Key"
	case p.Header != "" && strings.Count(p.Format, "{}") != 1:
		return "the format has no {} for the secret, or two", `write e.g. "Bearer {}" or "{}"`
	case p.Header != "" && strings.ContainsFunc(p.Format, func(c rune) bool { return c < ' ' || c > '~' }):
		return "the format holds a character that no header has", `write e.g. "Bearer {}"`
	case p.Basic != "" && p.Basic != "username" && p.Basic != "password":
		return "basic is neither username nor password", "write password, or username for hosts that take the token there"
	case p.Query != "" && !queryName.MatchString(p.Query):
		return show(p.Query) + " is not the name of a parameter", "write e.g. access_token"
	}
	return "", ""
}

var (
	headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	queryName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)
)

// validHeader refuses headers that say how a message is read or where it goes.
func validHeader(name string) bool {
	reserved := []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Content-Type", "Accept-Encoding", "Expect"}
	return headerName.MatchString(name) && !slices.Contains(reserved, http.CanonicalHeaderKey(name)) && !strings.HasPrefix(strings.ToLower(name), "proxy-")
}

var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// checkExposures: two credentials in one variable or file would be one, and a
// variable that makes a runtime run code is no place for text from elsewhere.
func checkExposures(s *Server, r *report) {
	seen := map[string]bool{}
	for _, v := range s.Environment {
		seen["env "+v.Name] = true
	}
	for _, c := range s.Credentials {
		path, e := credentialPath(c.Name)+".expose", c.Expose
		switch {
		case (e.Env == "") == (e.File == ""):
			r.fail(path, "write {env: GITHUB_TOKEN} or {file: token}", "needs either env or file")
		case e.Env != "" && (!envName.MatchString(e.Env) || strings.HasPrefix(e.Env, "MCPRUN_") || e.Env == "PATH"):
			r.fail(path+".env", "use another name of A-Z a-z 0-9 and _", "%s is not a variable for a credential", show(e.Env))
		case e.Env != "" && loads(e.Env) != "":
			r.fail(path+".env", "use another variable", "makes %s load or run what it names", loads(e.Env))
		case e.File != "" && !fileName.MatchString(e.File):
			r.fail(path+".file", "write a plain name, e.g. token; it stands in "+SecretDir, "%s is not a file name", show(e.File))
		case strings.Count(e.Text, "{}") != 1 || badText(e.Text) != "":
			r.fail(path+".text", `write e.g. "{}" or "db.internal:5432:*:app:{}"`, "has no {} for the placeholder, or two, or cannot be written")
		}
		for _, key := range []string{"env " + e.Env, "file " + e.File} {
			if key == "env " || key == "file " {
				continue
			}
			if seen[key] {
				r.fail(path, "use another name", "%s is there twice", key)
			}
			seen[key] = true
		}
	}
}

func toolNames(tools []mcprun.ToolName) []string {
	out := make([]string, len(tools))
	for i, t := range tools {
		out[i] = string(t)
	}
	return out
}
