package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	// maxName and maxLabel are DNS's own bounds: 255 bytes on the wire are 253 as
	// text, a label's length has six bits (RFC 1035 2.3.4).
	maxName  = 253
	maxLabel = 63
	// maxHostText bounds what is looked at: no name of maxName bytes is longer when
	// it is written in UTF-8, where a character takes at most four.
	maxHostText = 4 * maxName
)

// Host is a host in its one spelling: a lower-case name in ASCII without a
// trailing dot, or an IP address. It is comparable; the zero Host matches nothing.
type Host struct {
	name string
	addr netip.Addr
}

// IsZero reports whether h is no host.
func (h Host) IsZero() bool { return h == Host{} }

// Addr returns the address where h is an address and not a name.
func (h Host) Addr() (netip.Addr, bool) { return h.addr, h.addr.IsValid() }

// String returns what ParseHost reads back as the same Host. An IPv6 address has
// no brackets.
func (h Host) String() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// LiteralHost returns the Host that is an address. It unmaps nothing; an address
// with a zone is no host.
func LiteralHost(addr netip.Addr) Host {
	if addr.Zone() != "" {
		return Host{}
	}
	return Host{addr: addr}
}

// isLocalhost: "localhost" and everything below it is loopback (RFC 6761 6.3).
func (h Host) isLocalhost() bool {
	return h.name == "localhost" || strings.HasSuffix(h.name, ".localhost")
}

// ParseHost reads a host that comes from outside: a DNS question, the name in a
// TLS handshake, a URL. One trailing dot is dropped and A-Z becomes a-z; nothing
// else is mapped. Characters that IDNA would map or drop (full-width letters and
// dots, zero-width space, soft hyphen, capital Ü) are refused: programs disagree
// about them. Any other character outside ASCII becomes xn--.
//
// Refused as well: names that some programs read as an IPv4 address (0x7f.1,
// 2130706433, 127.1), zones, and everything that is not a-z 0-9 - _ and dot.
func ParseHost(s string) (Host, error) {
	if s == "" {
		return Host{}, errors.New("a host name is empty")
	}
	if len(s) > maxHostText {
		return Host{}, fmt.Errorf("host name of %d bytes; at most %d", len(s), maxName)
	}
	if strings.ContainsAny(s, ":[]") {
		return parseIPv6(s)
	}
	if err := checkHostText(s); err != nil {
		return Host{}, err
	}
	name, err := toASCII(lowerASCII(strings.TrimSuffix(s, ".")))
	if err != nil {
		return Host{}, err
	}
	if err := checkLabels(name); err != nil {
		return Host{}, err
	}
	if looksNumeric(name) {
		return parseIPv4(name)
	}
	return Host{name: name}, nil
}

// parseIPv6 reads an IPv6 address, in brackets or without. A 4-in-6 address stays
// what it is: Classify calls it embedded.
func parseIPv6(s string) (Host, error) {
	bare := s
	if in, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(in, "]"); !ok {
			return Host{}, fmt.Errorf("host %+.64q has a bracket and is no IPv6 address in brackets", s)
		}
	}
	if strings.Contains(bare, "%") {
		return Host{}, fmt.Errorf("host %+.64q has a zone; take it out", s)
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil || !addr.Is6() {
		return Host{}, fmt.Errorf("host %+.64q has a colon or a bracket and is no IPv6 address", s)
	}
	return Host{addr: addr}, nil
}

func parseIPv4(name string) (Host, error) {
	addr, err := netip.ParseAddr(name)
	if err != nil || !addr.Is4() {
		return Host{}, fmt.Errorf("host %q ends in a number, which some programs read as an IPv4 address; write the address as four decimal numbers", name)
	}
	return Host{addr: addr}, nil
}

// looksNumeric: "a host ends in a number" when its last label is digits or a hex
// number (WHATWG URL, "ends-in-a-number checker"); inet_aton takes such a name for
// an address, in decimal, octal or hex and with one to four parts.
func looksNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// checkHostText refuses what no name contains, by its own name, before IDNA gets
// to map or drop it.
func checkHostText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("host %+.64q is not valid UTF-8", s)
	}
	for _, r := range s {
		if r < utf8.RuneSelf && r != '.' && !isNameByte(byte(r)) && !('A' <= r && r <= 'Z') {
			return fmt.Errorf("host %+.64q contains %+q, which no host name has", s, r)
		}
	}
	return nil
}

// isNameByte: letters, digits and hyphen are RFC 1123; the underscore is in many
// names that are in use.
func isNameByte(b byte) bool {
	return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// lookup is IDNA2008 with UTS 46 as browsers look names up, and with the Bidi and
// joiner rules. It is lenient about ASCII, which checkLabels judges: underscores
// and names such as r3---sn-a5m are in use.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
	idna.StrictDomainName(false), idna.CheckHyphens(false), idna.VerifyDNSLength(true))

// toASCII turns labels outside ASCII into xn-- labels and checks those that are.
// Every label must already be what IDNA makes of it, in one form or the other.
func toASCII(name string) (string, error) {
	if !needsIDNA(name) {
		return name, nil
	}
	ascii, err := lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("host %+.64q is not a valid international name: %v", name, err)
	}
	unicode, err := lookup.ToUnicode(ascii)
	if err != nil {
		return "", fmt.Errorf("host %+.64q is not a valid international name: %v", name, err)
	}
	if !sameLabels(name, ascii, unicode) {
		return "", fmt.Errorf("host %+.64q has characters that stand for others; write it as %q", name, ascii)
	}
	return ascii, nil
}

func needsIDNA(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if strings.HasPrefix(label, "xn--") || strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return true
		}
	}
	return false
}

func sameLabels(name, ascii, unicode string) bool {
	n, a, u := strings.Split(name, "."), strings.Split(ascii, "."), strings.Split(unicode, ".")
	if len(n) != len(a) || len(n) != len(u) {
		return false
	}
	for i := range n {
		if n[i] != a[i] && n[i] != u[i] {
			return false
		}
	}
	return true
}

func checkLabels(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("host name of %d bytes; at most %d", len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return fmt.Errorf("host %+.64q has an empty label", name)
		case len(label) > maxLabel:
			return fmt.Errorf("host %+.64q has a label of %d bytes; at most %d", name, len(label), maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("host %+.64q has a label that begins or ends with a hyphen", name)
		case strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf || !isNameByte(byte(r)) }):
			return fmt.Errorf("host %+.64q has a character outside a-z 0-9 - _", name)
		}
	}
	return nil
}
