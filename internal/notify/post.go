package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/manifest"
)

const (
	// tryBound is for one try, the look-up of the name and the TLS handshake included.
	tryBound = 10 * time.Second
	// maxAfter bounds for how long the other side can ask to be left alone.
	maxAfter = 30 * time.Second
)

// fault is why a message could not be sent. The words are ours alone: errors of net/http
// quote the address, and a peer can echo it.
type fault struct {
	why     string // "" if it was sent
	passing bool   // another try may go through
	after   time.Duration
}

// post sends one message. Redirects are not followed, and the answer's body is not read.
func post(ctx context.Context, to manifest.Webhook, env func(string) (string, bool), body []byte) fault {
	ctx, cancel := context.WithTimeout(ctx, tryBound)
	defer cancel()
	address, err := addressOf(ctx, to, env)
	if err != nil {
		return fault{why: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return fault{why: "its address is none"}
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "mcprun")
	client, err := credentials.NewClient(req.URL.Scheme == "http", "")
	if err != nil {
		return fault{why: err.Error()}
	}
	resp, err := client.Do(req)
	if err != nil {
		return fault{why: said(err), passing: true}
	}
	resp.Body.Close()
	return judge(resp)
}

// addressOf reads where to send to. Its errors do not repeat it.
func addressOf(ctx context.Context, to manifest.Webhook, env func(string) (string, bool)) (string, error) {
	address := to.URL
	if address == "" {
		f, err := to.Source.Fetcher(env)
		if err != nil {
			return "", err
		}
		secret, err := f.Fetch(ctx)
		if err != nil {
			return "", err
		}
		address = secret.Reveal()
	}
	if what := manifest.BadWebhookURL(address); what != "" {
		return "", errors.New("its address " + what)
	}
	return address, nil
}

// judge says what an answer means.
func judge(resp *http.Response) fault {
	code := resp.StatusCode
	switch {
	case code >= 200 && code < 300:
		return fault{}
	case code >= 300 && code < 400:
		return fault{why: fmt.Sprintf("it answered %d, a redirect, which is not followed: write the final address", code)}
	case code == http.StatusTooManyRequests || code >= 500:
		return fault{why: fmt.Sprintf("it answered %d", code), passing: true, after: retryAfter(resp)}
	}
	return fault{why: fmt.Sprintf("it answered %d: is the address still the one that the chat program gave?", code)}
}

func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 1<<20))*time.Second, maxAfter)
}

// said puts an error of the network into words of ours.
func said(err error) string {
	var (
		name *net.DNSError
		cert *tls.CertificateVerificationError
		rec  tls.RecordHeaderError
		op   *net.OpError
		slow net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return fmt.Sprintf("it did not answer within %v", tryBound)
	case errors.Is(err, context.Canceled):
		return "the daemon stopped meanwhile"
	case errors.As(err, &name):
		return "the name in its address was not found"
	case errors.As(err, &cert):
		return "its certificate is not one that this machine trusts"
	case errors.As(err, &rec), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak https"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections"
	case errors.As(err, &op) && !strings.HasPrefix(op.Op, "remote"):
		return "it could not be reached"
	}
	return "it, or a proxy on the way, gave no usable answer"
}
