package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// measured is what a measurement found: times in microseconds, or MiB a second.
type measured struct {
	N         int     `json:"n"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	MiBPerSec float64 `json:"mibPerSecond,omitempty"`
}

// warmUps are not counted: caches, and the first connection of a pool.
const warmUps = 20

// connects times new connections, each to the first byte of an answer.
func connects(ctx context.Context, args []string) (any, error) {
	return repeat(ctx, args, func(ctx context.Context, u string, dial dialer) error {
		t := transport(dial)
		defer t.CloseIdleConnections()
		return fetchAll(ctx, t, u)
	})
}

// requests times requests on one connection that is kept.
func requests(ctx context.Context, args []string) (any, error) {
	var t *http.Transport
	return repeat(ctx, args, func(ctx context.Context, u string, dial dialer) error {
		if t == nil {
			t = transport(dial)
		}
		return fetchAll(ctx, t, u)
	})
}

// transfer times the body of one answer.
func transfer(ctx context.Context, args []string) (any, error) {
	dial, err := resolved(ctx, args[0])
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport(dial).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	start := time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 256<<10))
	return measured{N: 1, MiBPerSec: float64(n) / (1 << 20) / time.Since(start).Seconds()}, err
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// resolved asks for the name once, so that what is timed is the connection.
func resolved(ctx context.Context, target string) (dialer, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(addrs[0].Unmap().String(), port))
	}, nil
}

// transport speaks HTTP/1.1, so that both sides of a comparison do.
func transport(dial dialer) *http.Transport {
	return &http.Transport{DialContext: dial, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, DisableCompression: true}
}

func fetchAll(ctx context.Context, t http.RoundTripper, u string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func repeat(ctx context.Context, args []string, one func(context.Context, string, dialer) error) (any, error) {
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%q is not how often", args[1])
	}
	dial, err := resolved(ctx, args[0])
	if err != nil {
		return nil, err
	}
	var took []float64
	for i := range n + warmUps {
		start := time.Now()
		if err := one(ctx, args[0], dial); err != nil {
			return nil, err
		}
		if i >= warmUps {
			took = append(took, float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	slices.Sort(took)
	return measured{N: n, P50: took[n/2], P99: took[n*99/100]}, nil
}
