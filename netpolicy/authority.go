package netpolicy

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// ParseAuthority reads a Host header, an :authority or a CONNECT target. Without a
// port in s the port is defaultPort. User info is refused, not skipped: of
// allowed@evil some programs take the one half and some the other.
func ParseAuthority(s string, defaultPort uint16) (Host, uint16, error) {
	if strings.Contains(s, "@") {
		return Host{}, 0, fmt.Errorf("authority %+.64q has user info; take it out", s)
	}
	text, port, err := splitPort(s)
	if err != nil {
		return Host{}, 0, err
	}
	if port == 0 {
		port = defaultPort
	}
	if port == 0 {
		return Host{}, 0, fmt.Errorf("authority %+.64q has no port", s)
	}
	h, err := ParseHost(text)
	if err != nil {
		return Host{}, 0, err
	}
	return h, port, nil
}

// splitPort returns port 0 where s has none. An IPv6 address keeps its brackets,
// which it must have: in ::1:80 nobody knows where the port begins.
func splitPort(s string) (host string, port uint16, err error) {
	host, digits, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']') + 1
		if end < len(s) && end > 0 {
			host, digits, hasPort = s[:end], s[end+1:], true
			if s[end] != ':' {
				return "", 0, fmt.Errorf("authority %+.64q goes on after its bracket", s)
			}
		}
	} else if host, digits, hasPort = strings.Cut(s, ":"); strings.Contains(digits, ":") {
		return "", 0, fmt.Errorf("authority %+.64q is an IPv6 address without brackets, or has two ports", s)
	}
	if !hasPort {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != digits {
		return "", 0, fmt.Errorf("authority %+.64q has a port that is not 1 to 65535", s)
	}
	return host, uint16(n), nil
}

// JoinHostPort writes a host and a port as an authority, an IPv6 address in
// brackets.
func JoinHostPort(h Host, port uint16) string {
	return net.JoinHostPort(h.String(), strconv.Itoa(int(port)))
}

// CheckHello judges a TLS handshake on a connection to d: its name must be the
// host that was connected to, and must be readable. A connection to an address has
// no name ("Literal IPv4 and IPv6 addresses are not permitted", RFC 6066 3).
//
// It says nothing of the Host inside: without inspection that is not seen.
func CheckHello(d Dest, serverName string, ech bool) (Reason, bool) {
	if ech {
		return ReasonECH, false
	}
	if _, literal := d.Host.Addr(); literal {
		return sameOr(ReasonSNI, serverName == "")
	}
	h, err := ParseHost(serverName)
	return sameOr(ReasonSNI, err == nil && h == d.Host)
}

// CheckAuthority judges the Host, the :authority or the absolute URL of a request
// on a connection to d; every one of these that a request has must be judged.
func CheckAuthority(d Dest, p Protocol, authority string) (Reason, bool) {
	h, port, err := ParseAuthority(authority, p.defaultPort())
	return sameOr(ReasonAuthority, err == nil && h == d.Host && port == d.Port)
}

func sameOr(r Reason, same bool) (Reason, bool) {
	if same {
		return "", true
	}
	return r, false
}
