package netpolicy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPath is what common servers take as a whole request line; a longer path
	// would be cut or refused behind us.
	maxPath = 8 << 10
	// maxEncodings is how often a path may be encoded inside an encoding. Twice has
	// been seen in use (a URL as a part of a path); more is somebody probing.
	maxEncodings = 3
)

// CanonicalPath returns the one spelling of an escaped path: the one that rules
// are held against and that is sent. It is for the path of a request target,
// without query.
//
// Escapes of unreserved characters are decoded, hex digits become upper case,
// characters that need an escape get one, dot segments are resolved, runs of
// slashes become one; a trailing slash stays. What a server behind might read in
// another way is refused: an escaped slash, backslash or control character, raw
// ones, a broken escape, an escape of an escape of any of these or of a dot,
// ..;, invalid UTF-8, a path that leaves the root.
func CanonicalPath(escaped string) (string, error) {
	switch {
	case len(escaped) > maxPath:
		return "", fmt.Errorf("path of %d bytes; at most %d", len(escaped), maxPath)
	case escaped == "":
		return "/", nil // http://host asks for the root (RFC 9110 4.2.3)
	case escaped[0] != '/':
		return "", errors.New("a path does not begin with a slash")
	}
	path, decoded, err := normalize(escaped)
	if err != nil {
		return "", err
	}
	if err := checkText(decoded); err != nil {
		return "", err
	}
	if err := checkNested(decoded); err != nil {
		return "", err
	}
	if path, err = resolveDots(path); err != nil {
		return "", err
	}
	if len(path) > maxPath {
		return "", fmt.Errorf("path of %d bytes when it is escaped; at most %d", len(path), maxPath)
	}
	return path, nil
}

// normalize gives every character its one spelling, and the path decoded once.
func normalize(escaped string) (path, decoded string, err error) {
	var out, plain strings.Builder
	for i := 0; i < len(escaped); i++ {
		c, raw := escaped[i], true
		if c == '%' {
			var ok bool
			if c, ok = hexByte(escaped[i+1:]); !ok {
				return "", "", errors.New("a path has a % that is not followed by two hex digits")
			}
			raw = false
			i += 2
		}
		if err := checkByte(c, raw); err != nil {
			return "", "", err
		}
		plain.WriteByte(c)
		if isUnreserved(c) || raw && isPathByte(c) {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String(), plain.String(), nil
}

// checkByte refuses bytes that split a path, or the request, for some server.
func checkByte(c byte, raw bool) error {
	switch {
	case c < 0x20 || c == 0x7f:
		return fmt.Errorf("a path has the control character %#02x", c)
	case c == '\\':
		return errors.New("a path has a backslash, which some servers take for a slash")
	case c == '/' && !raw:
		return errors.New("a path has an escaped slash, which some servers take for a slash")
	case raw && (c == ' ' || c == '?' || c == '#'):
		return fmt.Errorf("a path has a raw %q, which ends it; escape it", c)
	}
	return nil
}

// isUnreserved: "URIs that differ in the replacement of an unreserved character
// with its corresponding percent-encoded US-ASCII octet are equivalent" (RFC 3986
// 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// isPathByte: what may stand raw in a path beside the unreserved characters.
// Escaped, the same characters mean something else, so they are left as they came.
func isPathByte(c byte) bool { return strings.IndexByte("/!$&'()*+,;=:@", c) >= 0 }

func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, s[0]|0x20), strings.IndexByte(hexDigits, s[1]|0x20)
	if hi < 0 || lo < 0 || !isHexChar(s[0]) || !isHexChar(s[1]) {
		return 0, false
	}
	return byte(hi<<4 | lo), true
}

const hexDigits = "0123456789abcdef"

// isHexChar is needed beside hexDigits: setting the bit of lower case turns a
// control character into a digit.
func isHexChar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkText judges the decoded path as text: the second half of the control
// characters is above ASCII, and bytes that are no text are read differently by
// everyone (C0 AE was a dot once).
func checkText(decoded string) error {
	if !utf8.ValidString(decoded) {
		return errors.New("a path is not valid UTF-8")
	}
	if i := strings.IndexFunc(decoded, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(decoded[i:])
		return fmt.Errorf("a path has the control character %U", r)
	}
	return nil
}

// checkNested decodes what was decoded once again, as a careless server behind a
// careful one does, and refuses what changes the path then.
func checkNested(decoded string) error {
	for range maxEncodings {
		again, found, err := decodeNested(decoded)
		if err != nil {
			return err
		}
		if !found {
			return nil
		}
		decoded = again
	}
	return fmt.Errorf("a path is escaped more than %d times over", maxEncodings)
}

func decodeNested(s string) (out string, found bool, err error) {
	if !strings.Contains(s, "%") {
		return s, false, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c, ok := byte(0), false
		if s[i] == '%' {
			c, ok = hexByte(s[i+1:])
		}
		if !ok {
			b.WriteByte(s[i])
			continue
		}
		if c < 0x20 || c == 0x7f || strings.IndexByte(`/\.;`, c) >= 0 {
			return "", false, fmt.Errorf("a path has an escape inside an escape that stands for %q", c)
		}
		b.WriteByte(c)
		found = true
		i += 2
	}
	return b.String(), found, nil
}

// resolveDots removes dot segments and empty ones. It refuses to clamp: a path
// that leaves the root was never meant well. It refuses dots with parameters,
// which Java servers strip after the check of whoever stands before them.
func resolveDots(path string) (string, error) {
	segments := strings.Split(path[1:], "/")
	var kept []string
	for _, s := range segments {
		switch base := withoutParameters(s); {
		case base != s && (base == "." || base == ".."):
			return "", errors.New("a path has dots with parameters (..;)")
		case s == "" || s == ".":
		case s == "..":
			if len(kept) == 0 {
				return "", errors.New("a path leads out of the root")
			}
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, s)
		}
	}
	last := segments[len(segments)-1]
	if len(kept) > 0 && (last == "" || last == "." || last == "..") {
		kept = append(kept, "")
	}
	return "/" + strings.Join(kept, "/"), nil
}

func withoutParameters(segment string) string {
	base, _, _ := strings.Cut(segment, ";")
	base, _, _ = strings.Cut(base, "%3B")
	return base
}
