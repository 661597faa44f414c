package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// page is what came back over HTTP.
type page struct {
	Status  int         `json:"status"`
	Proto   string      `json:"proto"`
	Header  http.Header `json:"header"`
	Bytes   int64       `json:"bytes"` // of the body, all of them
	Body    string      `json:"body"`  // the first of them
	Trailer http.Header `json:"trailer,omitempty"`
}

// get fetches a page as a Go program does by default: through the proxy that
// the environment names, if any.
func get(ctx context.Context, args []string) (any, error) {
	return fetch(ctx, http.DefaultTransport, args)
}

// noproxy ignores what the environment says of proxies.
func noproxy(ctx context.Context, args []string) (any, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return fetch(ctx, t, args)
}

func fetch(ctx context.Context, t http.RoundTripper, args []string) (any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	if err != nil {
		return nil, err
	}
	for _, h := range args[1:] {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Add(name, strings.TrimSpace(value))
	}
	// No redirect is followed: where it leads to is an attempt of its own.
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	p := page{Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header}
	first, err := io.ReadAll(io.LimitReader(resp.Body, maxShown))
	if err == nil {
		p.Bytes, err = io.Copy(io.Discard, resp.Body)
	}
	p.Bytes += int64(len(first))
	p.Body, p.Trailer = string(first), resp.Trailer
	if err != nil {
		return p, fmt.Errorf("reading the body after %d bytes: %w", p.Bytes, err)
	}
	return p, nil
}

// webSocket sends one message and waits for one.
func webSocket(ctx context.Context, args []string) (any, error) {
	u, err := url.Parse(args[0])
	if err != nil {
		return nil, err
	}
	config, err := websocket.NewConfig(args[0], "http://"+u.Host+"/")
	if err != nil {
		return nil, err
	}
	conn, err := config.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return nil, err
	}
	answer := make([]byte, maxShown)
	n, err := conn.Read(answer)
	return map[string]string{"answer": string(answer[:n])}, err
}

// health asks a gRPC server whether it is well.
func health(ctx context.Context, args []string) (any, error) {
	creds := credentials.NewTLS(&tls.Config{})
	if len(args) == 2 && args[1] == "insecure" {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return nil, err
	}
	return map[string]string{"status": answer.GetStatus().String()}, nil
}
