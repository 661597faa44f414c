package urls

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// ipv4Parts is how many numbers an IPv4 address has.
const ipv4Parts = 4

// embedded finds an IPv4 address that a name spells for a name server of its own:
// with dots or dashes (10.0.0.1.example.com, app-10-0-0-1.example.com) or as eight
// hex digits in a label (7f000001.example.com). The first that is not public counts.
func embedded(name string) (netip.Addr, bool) {
	var found netip.Addr
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' })
	for i, p := range parts {
		addr, ok := hexAddr(p)
		if !ok {
			addr, ok = decimalAddr(parts[i:])
		}
		if !ok {
			continue
		}
		if judgeAddress(addr, false).Rule != "" {
			return addr, true
		}
		found = addr
	}
	return found, found.IsValid()
}

func decimalAddr(parts []string) (netip.Addr, bool) {
	if len(parts) < ipv4Parts {
		return netip.Addr{}, false
	}
	var b [ipv4Parts]byte
	for i := range b {
		n, err := strconv.ParseUint(parts[i], 10, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// hexAddr reads a label of exactly eight hex digits, at least one of them decimal:
// "deadbeef" and "facebook" are words.
func hexAddr(label string) (netip.Addr, bool) {
	if len(label) != 2*ipv4Parts || !strings.ContainsAny(label, "0123456789") {
		return netip.Addr{}, false
	}
	b, err := hex.DecodeString(label)
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([ipv4Parts]byte(b)), true
}
