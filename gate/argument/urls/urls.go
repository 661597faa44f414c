// Package urls judges an argument that names a page or a service on the network:
// (value, [Spec]) → finding. Hosts, addresses and patterns are judged by the code
// that egress uses (package netpolicy), so both say the same.
//
// Two kinds of programs read URLs: those that follow RFC 3986 (Go, Python, curl)
// and those that follow the WHATWG (browsers, node). A value passes only if both
// find the same scheme, host and port in it; whatever one of them drops, mends or
// maps is refused.
//
// What it does not protect: a name is not looked up here. A public name may have a
// private address (and have it only at the second look), and an allowed host may
// redirect; egress judges the connection. A host that fetches what it is asked to
// fetch is a relay: only an address that stands in the URL as a URL is seen. What
// the path and the query mean to the host is not judged, and neither is what a
// tool does with a fragment.
package urls

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// maxURL is what common servers take as a request line, and what netpolicy takes
	// as a path.
	maxURL = 8 << 10
	// maxList bounds the work of one check; longer lists are generated, and nobody
	// reads them.
	maxList = 64
	// maxScheme is the longest scheme that is looked at; those in use are shorter.
	maxScheme = 32
)

// Spec says which URLs are accepted. The zero value accepts none.
type Spec struct {
	// Schemes in lower case; none listed is https alone. Only schemes whose URLs name
	// a host can be listed.
	Schemes []string
	// Hosts are the hosts that pass.
	Hosts []netpolicy.Pattern
	// Ports lists the ports that pass; none listed is the scheme's own.
	Ports []uint16
	// Unlisted is the verdict on public hosts that no pattern names, Refuse or Hold.
	// Hosts that are not public are refused all the same.
	Unlisted argument.Verdict
	// Private opens those of Hosts that are private addresses, or names inside a
	// private network (db.internal, printer). Nothing opens loopback, link-local and
	// metadata services.
	Private bool
	// Blank accepts about:blank, with which browsers begin.
	Blank bool
}

// defaultPorts holds the schemes whose port need not be written.
var defaultPorts = map[string]uint16{
	"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ftps": 990, "sftp": 22, "ssh": 22, "git": 9418,
	"ldap": 389, "ldaps": 636, "gopher": 70, "gemini": 1965, "imap": 143, "imaps": 993, "smtp": 25, "smtps": 465,
	"postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "rediss": 6379, "mongodb": 27017, "amqp": 5672, "amqps": 5671,
}

// hostless are schemes that read a file, run code or wrap another URL: there is no
// host to judge, so they cannot be listed.
var hostless = []string{"file", "javascript", "vbscript", "data", "blob", "filesystem", "view-source", "about", "chrome", "jar", "php",
	"phar", "zip", "netdoc", "unix", "ext", "mailto", "tel", "intent", "content", "res", "expect", "glob", "urn"}

// Validate returns nil or all that is wrong with the spec, joined.
func (s Spec) Validate() error {
	var errs []error
	for _, scheme := range s.Schemes {
		if rest, ok := cutScheme(scheme + ":"); !ok || rest != "" || strings.ToLower(scheme) != scheme {
			errs = append(errs, fmt.Errorf("schemes: %+.64q is no scheme in lower case", scheme))
		} else if slices.Contains(hostless, scheme) {
			errs = append(errs, fmt.Errorf("schemes: %s names no host that could be judged", scheme))
		} else if defaultPorts[scheme] == 0 && len(s.Ports) == 0 {
			errs = append(errs, fmt.Errorf("schemes: %s has no port of its own; list the ports", scheme))
		}
	}
	if len(s.Hosts) == 0 && s.Unlisted == argument.Refuse && !s.Blank {
		errs = append(errs, errors.New("hosts: no host is named, so no URL would be accepted"))
	}
	if slices.Contains(s.Hosts, netpolicy.Pattern{}) {
		errs = append(errs, errors.New("hosts: a pattern is empty"))
	}
	if slices.Contains(s.Ports, 0) {
		errs = append(errs, errors.New("ports: 0 is no port"))
	}
	if s.Unlisted > argument.Hold {
		errs = append(errs, errors.New("unlisted: must be refuse or hold; what passes is listed"))
	}
	if n := max(len(s.Schemes), len(s.Hosts), len(s.Ports)); n > maxList {
		errs = append(errs, fmt.Errorf("a list of %d; at most %d", n, maxList))
	}
	return errors.Join(errs...)
}

// Judge says whether value is a URL that the spec accepts.
func (s Spec) Judge(value string) argument.Finding {
	if f := checkText(value); f.Verdict != argument.Pass {
		return f
	}
	if s.Blank && isBlank(value) {
		return argument.Passed
	}
	scheme, rest, f := s.splitScheme(value)
	if f.Verdict != argument.Pass {
		return f
	}
	authority, tail, f := splitAuthority(rest)
	if f.Verdict != argument.Pass {
		return f
	}
	host, port, f := s.parseAuthority(scheme, authority)
	if f.Verdict != argument.Pass {
		return f
	}
	if f := checkTail(tail); f.Verdict != argument.Pass {
		return f
	}
	f = s.judgeHost(host)
	if f.Verdict == argument.Refuse {
		return f
	}
	return argument.Worse(argument.Worse(s.judgePort(scheme, port), f), judgeRelay(tail))
}

// schemes is the list with its default.
func (s Spec) schemes() []string {
	if len(s.Schemes) == 0 {
		return []string{"https"}
	}
	return s.Schemes
}

// judgePort is about the port alone, whatever the host.
func (s Spec) judgePort(scheme string, port uint16) argument.Finding {
	switch {
	case len(s.Ports) == 0 && port == defaultPorts[scheme], slices.Contains(s.Ports, port):
		return argument.Passed
	case len(s.Ports) == 0:
		return refuse("url.port", "the URL names a port that is not the scheme's own", "leave the port out")
	}
	return refuse("url.port", "the URL has a port that is not allowed", fmt.Sprintf("use one of the ports %v", s.Ports[:min(len(s.Ports), maxHint)]))
}

// maxHint is how many names a hint lists; more is no help.
const maxHint = 3

func refuse(rule, reason, hint string) argument.Finding {
	return argument.Finding{Rule: rule, Reason: reason, Hint: hint}
}
