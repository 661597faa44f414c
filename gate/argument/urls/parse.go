package urls

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/netpolicy"
)

// checkText judges the characters. The WHATWG has tabs and newlines taken out
// anywhere, spaces and controls at the ends, and a backslash read as a slash;
// RFC 3986 has none of these characters.
func checkText(value string) argument.Finding {
	switch {
	case value == "":
		return refuse("url.empty", "the URL is empty", "write a whole URL")
	case len(value) > maxURL:
		return refuse("url.long", fmt.Sprintf("the URL has %d bytes; at most %d", len(value), maxURL), "")
	}
	wide := false
	for i := range len(value) {
		switch c := value[i]; {
		case c == ' ':
			return refuse("url.space", "the URL has a space, which some programs drop", "write %20, or take it out")
		case c < 0x20 || c == 0x7f:
			return refuse("url.control", "the URL has a control character, which some programs drop", "take it out")
		case c == '\\':
			return refuse("url.backslash", "the URL has a backslash, which some programs read as a slash", "write / or %5C")
		case c == '"' || c == '<' || c == '>' || c == '`':
			return refuse("url.character", "the URL has a quote or an angle bracket, which ends it for some programs", "escape it")
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	if wide {
		return checkWide(value)
	}
	return argument.Passed
}

// checkWide judges characters outside ASCII; the host has none of them.
func checkWide(value string) argument.Finding {
	if !utf8.ValidString(value) {
		return refuse("url.utf8", "the URL is not valid UTF-8", "percent-encode it")
	}
	for _, r := range value {
		if r < utf8.RuneSelf {
			continue
		}
		if kind := lock.Hidden(r); kind != "" || unicode.IsSpace(r) {
			return refuse("url.invisible", fmt.Sprintf("the URL has the invisible character %U", r), "take it out")
		}
	}
	return argument.Passed
}

// isBlank: about:blank with any fragment is the empty page.
func isBlank(value string) bool {
	before, _, _ := strings.Cut(value, "#")
	return strings.EqualFold(before, "about:blank")
}

// cutScheme returns what follows the scheme and its colon (RFC 3986 3.1).
func cutScheme(value string) (rest string, ok bool) {
	for i := range min(len(value), maxScheme) {
		switch c := value[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return value[i+1:], true
		default:
			return "", false
		}
	}
	return "", false
}

// splitScheme returns the scheme in lower case and what follows its colon.
func (s Spec) splitScheme(value string) (scheme, rest string, f argument.Finding) {
	hint := "begin with " + strings.Join(s.schemes()[:min(len(s.schemes()), maxHint)], ":// or ") + "://"
	rest, ok := cutScheme(value)
	switch {
	case value[0] == '-':
		return "", "", refuse("url.option", "the URL begins with a dash, so a program may take it for an option", hint)
	case strings.HasPrefix(value, "/"):
		return "", "", refuse("url.relative", "the URL has no scheme, so its host depends on the program", hint)
	case !ok:
		return "", "", refuse("url.scheme", "the URL has no scheme", hint)
	}
	scheme = strings.ToLower(value[:len(value)-len(rest)-1])
	if !slices.Contains(s.schemes(), scheme) || slices.Contains(hostless, scheme) {
		return "", "", refuse("url.scheme", "the URL has a scheme that is not allowed: "+scheme, hint)
	}
	return scheme, rest, argument.Passed
}

// splitAuthority takes the authority from behind exactly two slashes. Browsers
// take any number of them, also none.
func splitAuthority(rest string) (authority, tail string, f argument.Finding) {
	after, ok := strings.CutPrefix(rest, "//")
	if !ok || strings.HasPrefix(after, "/") {
		return "", "", refuse("url.slashes", "the URL has not exactly two slashes after its scheme", "write scheme://host/path")
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	authority = after[:end]
	switch {
	case authority == "":
		return "", "", refuse("url.host", "the URL has no host", "name the host")
	case strings.Contains(authority, "@"):
		return "", "", refuse("url.userinfo", "the URL has user info before its host, which hides the host", "take out what is before the @")
	}
	return authority, after[end:], argument.Passed
}

// parseAuthority reads host and port as egress does. A host outside ASCII is
// refused: programs disagree about what it maps to.
func (s Spec) parseAuthority(scheme, authority string) (netpolicy.Host, uint16, argument.Finding) {
	if strings.ContainsFunc(authority, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return netpolicy.Host{}, 0, refuse("url.host", "the host of the URL has characters outside ASCII", "write it in its xn-- form")
	}
	if defaultPorts[scheme] == 0 && !strings.Contains(strings.TrimRight(authority, "0123456789"), ":") {
		return netpolicy.Host{}, 0, refuse("url.port", "the URL has no port and its scheme has none of its own", "write the port")
	}
	host, port, err := netpolicy.ParseAuthority(authority, defaultPorts[scheme])
	if err == nil {
		return host, port, argument.Passed
	}
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		if _, err := netpolicy.ParseHost(authority[:i]); err == nil {
			return netpolicy.Host{}, 0, refuse("url.port", "the port of the URL is not a number from 1 to 65535 without leading zeros", "leave the port out")
		}
	}
	return netpolicy.Host{}, 0, refuse("url.host", "the host of the URL is not a plain name or address, so programs read it differently",
		"write a name in lower case, or an address as four decimal numbers or in brackets")
}

// checkTail judges path, query and fragment: escapes that Go refuses and others
// keep, and those that end a line of the request once they are decoded.
func checkTail(tail string) argument.Finding {
	before, fragment, _ := strings.Cut(tail, "#")
	path, _, _ := strings.Cut(before, "?")
	for _, part := range []string{path, fragment} {
		for i := 0; i < len(part); i++ {
			if part[i] != '%' {
				continue
			}
			c, ok := unhex(part[i+1:])
			if !ok {
				return refuse("url.escape", "the URL has a % that is not followed by two hex digits", "write %25")
			}
			if c < 0x20 || c == 0x7f {
				return refuse("url.control", "the URL has an escaped control character outside of its query", "take it out")
			}
		}
	}
	return argument.Passed
}

func unhex(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, ok1 := hexDigit(s[0])
	lo, ok2 := hexDigit(s[1])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
