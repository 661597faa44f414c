package netpolicy

import "fmt"

// Protocol is what a rule lets a connection speak. The zero value is none.
type Protocol uint8

const (
	_    Protocol = iota
	TLS           // the name in the handshake is checked; what is inside is seen where the rule inspects
	HTTP          // plain HTTP/1.1; every request is read
	TCP           // opaque: only host, port and amount are known
)

func (p Protocol) String() string {
	switch p {
	case TLS:
		return "tls"
	case HTTP:
		return "http"
	case TCP:
		return "tcp"
	}
	return "none"
}

// ParseProtocol reads the word that server.yaml uses.
func ParseProtocol(s string) (Protocol, error) {
	for _, p := range []Protocol{TLS, HTTP, TCP} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("protocol %+.64q is not one of tls, http, tcp", s)
}

// defaultPort is the port that a Host header leaves out; 0 where there is none.
func (p Protocol) defaultPort() uint16 {
	switch p {
	case TLS:
		return 443
	case HTTP:
		return 80
	}
	return 0
}
