package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/mcprun/mcprun/integration/lab"
)

// A relay that checks nothing stands between the two sides that are compared: what a
// connection costs as soon as any program carries it. It is what the standard library
// gives, with nothing tuned: two copies, or the reverse proxy.

// relayEnv makes this program such a relay, to this address.
const relayEnv = "BENCH_RELAY"

const (
	relayName  = "relay.example.com"
	relayHost  = "127.0.0.1"
	relayReady = "ready\n"
)

// startRelay runs one beside the daemon until the context ends. It ends TLS with a certificate
// of the lab's, which it is given.
func startRelay(ctx context.Context, l *lab.Lab) (stop func(), err error) {
	leaf := l.CA.Leaf(relayName)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		return nil, err
	}
	var pair bytes.Buffer
	pem.Encode(&pair, &pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]})
	pem.Encode(&pair, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), relayEnv+"="+upstreamAddr, "SSL_CERT_FILE="+l.CA.File)
	cmd.Stdin, cmd.Stderr = &pair, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.Exec(lab.Site, cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { cmd.Process.Kill(); cmd.Wait() }
	said := make([]byte, len(relayReady))
	if _, err := io.ReadFull(out, said); err != nil {
		stop()
		return nil, fmt.Errorf("the relay did not start: %w", err)
	}
	return stop, nil
}

// relay is that program.
func relay(to string) error {
	pair, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return err
	}
	ended := make(chan error, 3)
	for _, port := range []string{"8080", "443"} {
		ln, err := net.Listen("tcp", net.JoinHostPort(relayHost, port))
		if err != nil {
			return err
		}
		go func() { ended <- carry(ln, net.JoinHostPort(to, port)) }()
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(relayHost, "8443"))
	if err != nil {
		return err
	}
	go func() { ended <- proxy(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}), to) }()
	io.WriteString(os.Stdout, relayReady)
	return <-ended
}

func carry(ln net.Listener, to string) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			up, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			go func() {
				io.Copy(up, c)
				up.(*net.TCPConn).CloseWrite()
			}()
			io.Copy(c, up)
			up.Close()
		}()
	}
}

// proxy reads requests and makes them again.
func proxy(ln net.Listener, to string) error {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(to, "443"))
	}
	target := &url.URL{Scheme: "https", Host: strings.Replace(relayName, "relay", "inspected", 1)}
	p := &httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: dial, DisableCompression: true},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	server := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	return server.Serve(ln)
}
