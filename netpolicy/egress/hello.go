package egress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"time"
)

const (
	// helloTimeout bounds the wait for a ClientHello: the first thing that a client
	// of TLS sends, at once.
	helloTimeout = 5 * time.Second
	// maxHello bounds it in bytes: one record of TLS, with room for post-quantum
	// key shares and a second one for a long list of extensions.
	maxHello = 32 << 10
	// extensionECH is encrypted_client_hello, RFC 9849: it hides the real name.
	extensionECH = 0xfe0d
)

// hello is what the first message of a TLS client says, and its bytes.
type hello struct {
	name string // server_name, "" if there is none
	ech  bool
	raw  []byte
}

var (
	errNotTLS  = errors.New("it does not begin with a TLS ClientHello")
	errPeeked  = errors.New("peeked") // how the library is told to stop
	errNoHello = errors.New("no ClientHello came in time")
)

// peekHello reads a ClientHello without answering it. The standard library parses
// it, so that it is read here as the same library would read it elsewhere.
func peekHello(c net.Conn) (hello, error) {
	c.SetReadDeadline(time.Now().Add(helloTimeout))
	defer c.SetReadDeadline(time.Time{})
	seen := &recorder{r: io.LimitReader(c, maxHello)}
	var h hello
	found := false
	err := tls.Server(readOnly{seen}, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		h.name, h.ech, found = info.ServerName, slices.Contains(info.Extensions, extensionECH), true
		return nil, errPeeked
	}}).Handshake()
	h.raw = seen.buf.Bytes()
	switch {
	case found:
		return h, nil
	case isTimeout(err):
		return h, errNoHello
	}
	return h, errNotTLS
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

type recorder struct {
	r   io.Reader
	buf bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.buf.Write(b[:n])
	return n, err
}

// readOnly is a connection to which nothing can be written.
type readOnly struct{ r io.Reader }

func (c readOnly) Read(b []byte) (int, error)     { return c.r.Read(b) }
func (readOnly) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (readOnly) Close() error                     { return nil }
func (readOnly) LocalAddr() net.Addr              { return nil }
func (readOnly) RemoteAddr() net.Addr             { return nil }
func (readOnly) SetDeadline(time.Time) error      { return nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }

// Alerts of TLS, RFC 8446 section 6.2.
const (
	alertAccessDenied     = 49
	alertUnrecognizedName = 112
)

// alert is a fatal alert record in the clear, as a server sends before a handshake.
func alert(code byte) []byte { return []byte{21, 3, 3, 0, 2, 2, code} }

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	first io.Reader
}

func replay(c net.Conn, raw []byte) net.Conn {
	return &replayed{c, io.MultiReader(bytes.NewReader(raw), c)}
}

func (r *replayed) Read(b []byte) (int, error) { return r.first.Read(b) }
