package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settle is how long a new connection is watched: a proxy that accepts for
	// everybody refuses by cutting right after.
	settle = 250 * time.Millisecond
	// maxHold bounds a held connection: longer than any test waits before it cuts.
	maxHold = 2 * time.Minute
)

// link says between what a connection was.
type link struct {
	Local  string `json:"local"`
	Remote string `json:"remote"`
	Read   string `json:"read,omitempty"`
}

func linkOf(conn net.Conn) link {
	return link{Local: conn.LocalAddr().String(), Remote: conn.RemoteAddr().String()}
}

// dial connects within the attempt's time and gives the connection its deadline.
func dial(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return conn, nil
}

// stays says that the other side neither cuts a new connection nor, unasked,
// closes it.
func stays(conn net.Conn) (link, error) {
	l := linkOf(conn)
	conn.SetReadDeadline(time.Now().Add(settle))
	first := make([]byte, maxShown)
	n, err := conn.Read(first)
	l.Read = string(first[:n])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return l, err
}

// tcp connects to an address, and says nothing.
func tcp(network string) func(context.Context, []string) (any, error) {
	return func(ctx context.Context, args []string) (any, error) {
		return connect(ctx, net.Dialer{}, network, args[0])
	}
}

func connect(ctx context.Context, d net.Dialer, network, address string) (any, error) {
	conn, err := dial(ctx, d, network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return stays(conn)
}

// raw sends a text and reads until the other side ends, or falls silent.
func raw(ctx context.Context, args []string) (any, error) {
	text := "hello\n"
	if len(args) == 2 {
		var err error
		if text, err = unescape(args[1]); err != nil {
			return nil, err
		}
	}
	conn, err := dial(ctx, net.Dialer{}, "tcp", args[0])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := linkOf(conn)
	if _, err := io.WriteString(conn, text); err != nil {
		return l, err
	}
	var got []byte
	for buf := make([]byte, maxShown); len(got) < maxShown; {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		l.Read = shown(got)
		if errors.Is(err, io.EOF) || len(got) > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		conn.SetReadDeadline(time.Now().Add(settle))
	}
	return l, nil
}

// unescape reads a text with the escapes of Go's strings.
func unescape(s string) (string, error) {
	text, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		return "", fmt.Errorf("the text %q is badly escaped: %w", s, err)
	}
	return text, nil
}

// udp sends one datagram and waits for one.
func udp(ctx context.Context, args []string) (any, error) {
	conn, err := dial(ctx, net.Dialer{}, "udp", args[0])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := linkOf(conn)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return l, err
	}
	buf := make([]byte, maxShown)
	n, err := conn.Read(buf)
	l.Read = string(buf[:n])
	return l, err
}

// session is a finished TLS handshake.
type session struct {
	Version  string   `json:"version"`
	Protocol string   `json:"protocol,omitempty"` // ALPN
	Names    []string `json:"names"`
	Issuer   string   `json:"issuer"`
	Verified string   `json:"verified"` // "yes", or why the certificate is not good
}

// handshake offers a name, or none, to an address, whoever answers there. A
// certificate that is not good is no error, but said.
func handshake(ctx context.Context, args []string) (any, error) {
	name := ""
	if len(args) == 2 {
		var err error
		if name, err = unescape(args[1]); err != nil {
			return nil, err
		}
	}
	conn, err := dial(ctx, net.Dialer{}, "tcp", args[0])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err := client.HandshakeContext(ctx); err != nil {
		return linkOf(conn), err
	}
	state := client.ConnectionState()
	leaf := state.PeerCertificates[0]
	s := session{Version: tls.VersionName(state.Version), Protocol: state.NegotiatedProtocol, Names: leaf.DNSNames, Issuer: leaf.Issuer.CommonName, Verified: "yes"}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Intermediates: between}); err != nil {
		s.Verified = err.Error()
	}
	// With TLS 1.3 a server's refusal comes after the client is done.
	client.SetReadDeadline(time.Now().Add(settle))
	if _, err := client.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return s, err
	}
	return s, nil
}

// option sets a socket option before the socket connects.
func option(level, name, value int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }); e != nil {
			return e
		}
		return os.NewSyscallError("setsockopt", err)
	}
}

// someMark is any number that no rule of ours uses.
const someMark = 0x4d43

// marked connects with a packet mark, which on some hosts skips the rules.
func marked(ctx context.Context, args []string) (any, error) {
	return connect(ctx, net.Dialer{Control: option(unix.SOL_SOCKET, unix.SO_MARK, someMark)}, "tcp", args[0])
}

// freebind connects from an address that is not ours.
func freebind(ctx context.Context, args []string) (any, error) {
	source := net.ParseIP(args[0])
	if source == nil {
		return nil, fmt.Errorf("%q is no address", args[0])
	}
	level, name := unix.SOL_IPV6, unix.IPV6_FREEBIND
	if source.To4() != nil {
		level, name = unix.SOL_IP, unix.IP_FREEBIND
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}, Control: option(level, name, 1)}
	return connect(ctx, d, "tcp", args[1])
}

// abstract connects to a unix socket that has a name and no file.
func abstract(ctx context.Context, args []string) (any, error) {
	conn, err := dial(ctx, net.Dialer{}, "unix", "@"+args[0])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return linkOf(conn), nil
}

// hold keeps a connection open and reports how long it lived.
func hold(ctx context.Context, args []string) (any, error) {
	conn, err := dial(ctx, net.Dialer{Timeout: patience}, "tcp", args[0])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := linkOf(conn)
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return l, err
	}
	conn.SetReadDeadline(time.Now().Add(maxHold))
	n, err := io.Copy(io.Discard, conn) // no error means that the other side closed in order
	l.Read = fmt.Sprint(n, " bytes")
	return l, err
}
