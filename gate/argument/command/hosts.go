package command

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun/netpolicy"
)

// metadataNames lead to a metadata service inside the cloud that has it.
var metadataNames = toSet("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal", "metadata.azure.internal",
	"metadata.azure.com", "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net", "rancher-metadata", "metadata.oraclecloud.com")

// isMetadata reports whether a word holds a host that is a metadata service, in any
// spelling that programs read: 0xa9fea9fe, 2852039166, [::ffff:a9fe:a9fe],
// 169.254.169.254.nip.io. Link-local addresses go with it: nothing else is there.
func isMetadata(s string) bool {
	if strings.Contains(s, "%") {
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
	}
	s = strings.ToLower(s)
	if strings.Contains(s, "/computemetadata/") {
		return true
	}
	for part := range strings.FieldsFuncSeq(s, endsHost) {
		if strings.Count(part, ":") > 1 && addressIsMetadata(part) {
			return true
		}
		for piece := range strings.SplitSeq(part, ":") {
			piece = strings.TrimRight(piece, ".")
			// Alone, the word metadata is only a word.
			if metadataNames[piece] && (strings.Contains(piece, ".") || strings.Contains(s, "://"+piece) || strings.Contains(s, "@"+piece)) || nameIsMetadata(piece) {
				return true
			}
		}
	}
	return false
}

func endsHost(r rune) bool { return strings.ContainsRune(" \t\n\"'`/@?#=,;<>|&(){}[]\\", r) }

func addressIsMetadata(s string) bool {
	s, _, _ = strings.Cut(s, "%")
	host, err := netpolicy.ParseHost(s)
	if err != nil {
		return false
	}
	addr, ok := host.Addr()
	return ok && bad(addr)
}

// bad unwraps an address that carries another one.
func bad(addr netip.Addr) bool {
	switch netpolicy.Classify(addr) {
	case netpolicy.Metadata, netpolicy.LinkLocal:
		return true
	case netpolicy.Embedded:
		b := addr.As16()
		for _, at := range []int{12, 2, 4} { // mapped and NAT64, 6to4, Teredo's server
			if inner := netip.AddrFrom4([4]byte(b[at : at+4])); netpolicy.Classify(inner) == netpolicy.Metadata || netpolicy.Classify(inner) == netpolicy.LinkLocal {
				return true
			}
		}
	}
	return false
}

// nameIsMetadata reads a name as inet_aton does, and the address that a name
// spells for a name server of its own.
func nameIsMetadata(s string) bool {
	if s == "" || strings.IndexAny(s, "0123456789") < 0 {
		return false
	}
	if addr, ok := parseNumeric(s); ok {
		return bad(addr)
	}
	if strings.IndexByte(s, '.') < 0 {
		return false
	}
	if strings.HasPrefix(s, "a9fea9fe.") {
		return true
	}
	for _, sep := range []string{".", "-"} {
		if parts := strings.Split(s, sep); len(parts) > 3 {
			for i := 0; i+4 <= len(parts); i++ {
				last, _, _ := strings.Cut(parts[i+3], ".")
				if addr, ok := parseNumeric(parts[i] + "." + parts[i+1] + "." + parts[i+2] + "." + last); ok && netpolicy.Classify(addr) == netpolicy.Metadata {
					return true
				}
			}
		}
	}
	return false
}

// parseNumeric reads an IPv4 address as the C library does: one to four numbers,
// each decimal, octal or hex, the last one filling what is left.
func parseNumeric(s string) (netip.Addr, bool) {
	if c := s[0]; c < '0' || c > '9' {
		return netip.Addr{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 || len(parts) == 1 && len(s) < 8 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, p := range parts {
		n, ok := parseNumber(p)
		switch {
		case !ok:
			return netip.Addr{}, false
		case i < len(parts)-1:
			value |= (n & 0xff) << (24 - 8*i)
		default:
			value |= n
		}
	}
	value &= 0xffffffff
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func parseNumber(s string) (uint64, bool) {
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}
