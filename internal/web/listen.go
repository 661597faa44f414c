package web

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/net/netutil"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/accept"
)

// DefaultPort is where the page is unless the daemon is told otherwise.
const DefaultPort = 7787

// maxConnections bounds those of the page, to each address: browsers keep six. Any
// user of this host can take them; the commands do not depend on them.
const maxConnections = 128

// ParseAddr reads where the page is to be: a port of this host's loopback. The page
// shows what waits and takes decisions, so it is for nobody on the network; who is
// elsewhere forwards the same port (ssh -L 7787:localhost:7787).
func ParseAddr(s string) (port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		host, p = "localhost", s // the port alone
	}
	n, err := strconv.ParseUint(p, 10, 16)
	refuse := func(why string) error {
		return &mcprun.Error{Class: mcprun.Usage, What: "reading where the approval page is to be", Why: fmt.Sprintf("%q %s", s, why), Hint: fmt.Sprintf("-web localhost:%d, or -web off", DefaultPort)}
	}
	if err != nil {
		return 0, refuse("names no port")
	}
	if host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return 0, refuse("is not on loopback: the page is for this host alone")
	}
	return uint16(n), nil
}

// Listen opens the port on both loopback addresses: browsers try both for the name
// localhost, and whoever had the other one would be given the token. Port 0 is any.
func Listen(port uint16) ([]net.Listener, uint16, error) {
	const tries = 16 // for any port that is free on both
	for try := 1; ; try++ {
		ls, got, err := listen(port)
		if err == nil || port != 0 || try == tries {
			return ls, got, err
		}
	}
}

func listen(port uint16) (ls []net.Listener, got uint16, err error) {
	v4, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return nil, 0, err
	}
	got = uint16(v4.Addr().(*net.TCPAddr).Port)
	ls = append(ls, bounded(v4))
	v6, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(int(got))))
	switch {
	case err == nil:
		return append(ls, bounded(v6)), got, nil
	case errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL): // then a browser finds nobody there either
		return ls, got, nil
	}
	v4.Close()
	return nil, 0, err
}

func bounded(l net.Listener) net.Listener {
	return netutil.LimitListener(accept.Listener{Listener: l}, maxConnections)
}
