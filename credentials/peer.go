package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// peerBound is for one request: a token endpoint that is slower makes the
	// call that waits for it time out anyway. Below the bound of the Cache.
	peerBound = 10 * time.Second

	// maxAnswer is the largest entry that Vault stores by default.
	maxAnswer = 1 << 20

	// maxAnswerHead is far above the headers of Vault and of token endpoints.
	maxAnswerHead = 64 << 10

	// maxRoots holds the certificates of every public authority, twice.
	maxRoots = 1 << 20
)

// checkAddress judges an address that secrets are sent to. It does not repeat it:
// it may hold a password.
func checkAddress(field, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || !isVisible(address) || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%s: write an address such as https://login.example.com/token", field)
	case u.User != nil:
		return fmt.Errorf("%s: leave the user and password out of the address", field)
	case u.Fragment != "":
		return fmt.Errorf("%s: leave out # and what follows", field)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s: write https://; plain http:// is only for a loopback address or localhost", field)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// printableAddress is the address without what may hold a secret.
func printableAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || checkAddress("", address) != nil {
		return "(no valid address)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// answer is what a peer answered; its body is not for messages.
type answer struct {
	status int
	body   []byte
	asked  time.Time // before the request: times that the peer counts begin later
}

// send makes one request. roots is the file of further certificate authorities,
// or "".
func send(ctx context.Context, req *http.Request, roots string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, peerBound)
	defer cancel()
	client, err := NewClient(req.URL.Scheme == "http", roots)
	if err != nil {
		return answer{}, err
	}
	a := answer{asked: time.Now()}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return answer{}, transportError(err)
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if a.status >= 300 && a.status < 400 {
		return answer{}, fmt.Errorf("it answered %d, a redirect, which is refused: write the final address", a.status)
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, transportError(err)
	}
	if len(a.body) > maxAnswer {
		return answer{}, fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	}
	return a, nil
}

// NewClient makes a client for one request. It follows no redirect: net/http
// would send the headers of Vault, and the form of a token request, along to
// whatever host the peer names. A proxy of the daemon's environment is used for
// https only, where it sees the host's name and no more.
func NewClient(plain bool, roots string) (*http.Client, error) {
	t := &http.Transport{
		DisableKeepAlives:      true, // the next request comes in minutes; nothing is to outlive a kill
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHead,
	}
	if plain {
		t.DialContext = (&net.Dialer{Control: onlyLoopback}).DialContext
	} else {
		pool, err := rootPool(roots)
		if err != nil {
			return nil, err
		}
		t.Proxy = http.ProxyFromEnvironment
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// onlyLoopback refuses a "localhost" that the host's resolver takes elsewhere.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return errors.New("plain http leads to an address that is not loopback")
	}
	return nil
}

// rootPool is the system's authorities and those of a file.
func rootPool(path string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	if path == "" {
		return pool, nil
	}
	raw, err := readFile(path, maxRoots, public)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

// transportError keeps what the network and TLS say, and hides the rest: net/http
// quotes lines of the peer's that are no HTTP, and a peer may echo what it got.
func transportError(err error) error {
	var (
		outer *url.Error
		op    *net.OpError
		cert  *tls.CertificateVerificationError
		tlsH  tls.RecordHeaderError
	)
	if errors.As(err, &outer) {
		err = outer.Err // without the address, whose query may hold a secret
	}
	switch {
	case errors.As(err, &op), errors.As(err, &cert), errors.As(err, &tlsH),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		strings.HasPrefix(err.Error(), "tls: "): // crypto/tls has no types for most
		return err
	}
	return errors.New("it, or a proxy on the way, gave no usable HTTP answer")
}
