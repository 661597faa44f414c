package manifest

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// defaultPort is that of https, which nearly every rule means.
const defaultPort = 443

func egressPath(i int) string { return fmt.Sprintf("egress[%d]", i) }

func decodeEgress(o object) []netpolicy.Rule {
	items := o.list("egress", "[{host: api.example.com}]")
	if n, ok := o.fields["egress"]; ok && n.kind == listKind && len(items) == 0 {
		o.r.fail("egress", "name a host, or leave the key out: without it there is no network", "is an empty list")
	}
	var rules []netpolicy.Rule
	for i, n := range items {
		path := egressPath(i)
		o.r.where[path] = place{n.pos, path}
		rules = append(rules, decodeRule(openObject(o.r, "egress[]", path, n)))
	}
	return rules
}

func decodeRule(o object) netpolicy.Rule {
	r := netpolicy.Rule{Port: defaultPort, Protocol: netpolicy.TLS}
	if o.fields != nil {
		o.need("host", "name the host, e.g. host: api.example.com")
	}
	set(o, "host", &r.Host, readPattern)
	set(o, "port", &r.Port, readPort)
	set(o, "protocol", &r.Protocol, readProtocol)
	o.bool("inspect", &r.Inspect)
	r.Methods = each(o, "methods", "GET", readMethod)
	r.Paths = each(o, "paths", "/repos/**", readPathPattern)
	o.bool("websocket", &r.WebSocket)
	o.bool("private", &r.Grant.Private)
	r.Grant.Networks = each(o, "networks", "10.1.0.0/16", readNetwork)
	r.Tools = each(o, "tools", "get_issue", readToolName)
	decodeLimits(openAt(o, "limits", "egress[].limits"), &r.Limits)
	return r
}

func decodeLimits(o object, dst *netpolicy.Limits) {
	connections := int64(dst.Connections)
	o.number("connections", "8", &connections)
	dst.Connections = int(connections)
	set(o, "rate", &dst.PerMinute, readRate)
	o.size("bytes", &dst.Bytes)
}

// each reads a list of scalars; a key that is there with an empty list is an
// error, since it looks like "none" and would mean "all".
func each[T any](o object, name, example string, read func(node) (T, problem)) []T {
	items := o.list(name, "["+example+"]")
	if n, path, ok := o.take(name); ok && n.kind == listKind && len(items) == 0 {
		o.r.fail(path, "write at least one, or leave the key out", "is an empty list")
	}
	out := make([]T, len(items))
	for i, n := range items {
		path := fmt.Sprintf("%s[%d]", join(o.path, name), i)
		o.r.where[path] = place{n.pos, fmt.Sprintf("%s[%d]", join(o.r.at(o.path).key, name), i)}
		setAt(o.r, path, n, &out[i], read)
		if o.r.bad[path] {
			o.r.bad[join(o.path, name)] = true // the list is not judged as a whole
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// parsed makes a reader of a scalar from a parser whose errors say what is wrong.
func parsed[T any](example string, parse func(string) (T, error)) func(node) (T, problem) {
	return func(n node) (v T, p problem) {
		text, p := readText(n, example)
		if !p.none() {
			return v, p
		}
		v, err := parse(text)
		if err != nil {
			return v, problem{shortError(err), "write e.g. " + example}
		}
		return v, problem{}
	}
}

var (
	readPattern     = plainHost(parsed("api.example.com", netpolicy.ParsePattern))
	readHost        = plainHost(parsed("api.example.com", netpolicy.ParseHost))
	readPathPattern = parsed("/repos/**", netpolicy.ParsePathPattern)
	readMethod      = parsed("GET", netpolicy.ParseMethod)
	readNetwork     = parsed("10.1.0.0/16", parseNetwork)
	readToolName    = parsed("get_issue", mcprun.ParseToolName)
	readProtocol    = parsed("tls", netpolicy.ParseProtocol)
)

// plainHost refuses letters that a reviewer may take for others: the host of
// api.gіthub.com, with one letter from another alphabet, is somebody else's.
func plainHost[T fmt.Stringer](read func(node) (T, problem)) func(node) (T, problem) {
	return func(n node) (T, problem) {
		v, p := read(n)
		if p.none() && strings.ContainsFunc(n.text, func(r rune) bool { return r > unicode.MaxASCII }) {
			return v, problem{"a host with letters beyond ASCII, which may look like others", "if it is the one that you mean, write " + v.String()}
		}
		return v, p
	}
}

func parseNetwork(s string) (netip.Prefix, error) { return netpolicy.ParseNetwork(s) }

func readPort(n node) (uint16, problem) {
	v, p := readInt(n, "443")
	switch {
	case !p.none():
		return 0, p
	case v < 1 || v > 65535:
		return 0, problem{fmt.Sprintf("%d is not a port", v), "write 1 to 65535"}
	}
	return uint16(v), problem{}
}

var rateText = regexp.MustCompile(`^([1-9][0-9]{0,6})/min$`)

func readRate(n node) (int, problem) {
	const example = "60/min"
	text, p := readText(n, example)
	if !p.none() {
		return 0, p
	}
	m := rateText.FindStringSubmatch(text)
	if m == nil {
		return 0, problem{show(text) + " is not a rate", "write a number of connections or requests a minute, e.g. " + example}
	}
	v, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, problem{"the rate is too large", "write e.g. " + example}
	}
	return v, problem{}
}
