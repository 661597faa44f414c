package lab

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Web is one web server in net. What it answers is in pages.go.
type Web struct {
	Addr netip.AddrPort

	lab         *Lab
	mu          sync.Mutex
	pages       map[string]http.Handler
	requests    record[Request]
	hellos      record[Hello]
	failures    record[string]
	connections atomic.Int64
}

// Request is one request as it came in, before anything looked at it.
type Request struct {
	Method  string
	Target  string // of the request line
	Host    string
	Proto   string
	Header  http.Header
	Body    []byte // the first maxBody bytes that the page read
	Remote  netip.AddrPort
	SNI     string // of the connection; empty without TLS
	Trailer http.Header
}

// Hello is what a client offered to begin TLS.
type Hello struct {
	SNI       string
	Protocols []string // ALPN
	Remote    netip.AddrPort
}

// HTTP serves the pages without TLS at an address and port of net.
func (l *Lab) HTTP(addr string) *Web {
	l.t.Helper()
	return l.web(addr, nil)
}

// HTTPS serves the pages with TLS, as HTTP/2 and HTTP/1.1, at an address and
// port of net, with a certificate for names.
func (l *Lab) HTTPS(addr string, names ...string) *Web {
	l.t.Helper()
	return l.web(addr, &tls.Config{Certificates: []tls.Certificate{l.CA.Leaf(names...)}})
}

func (l *Lab) web(addr string, config *tls.Config) *Web {
	l.t.Helper()
	w := &Web{lab: l, Addr: l.addrPort(addr), pages: pages()}
	listener, err := l.Listen(Net, "tcp", addr)
	l.must(err, "serving at %s", addr)
	s := &http.Server{Handler: http.HandlerFunc(w.serve), ErrorLog: log.New(failureLog{w}, "", 0), ConnState: w.state}
	serve := func() error { return s.Serve(listener) }
	if config != nil {
		config.GetConfigForClient = w.hello
		s.TLSConfig = config
		serve = func() error { return s.ServeTLS(listener, "", "") }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			w.failures.add(err.Error())
		}
	}()
	l.t.Cleanup(func() {
		s.Close()
		if !wait(done) {
			l.t.Errorf("the web server at %s does not end", addr)
		}
	})
	return w
}

// Handle puts a page of the test's own at a path; at a path that ends with a
// slash, also at all below it.
func (w *Web) Handle(path string, page http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[path] = page
}

// Requests lists what came in, also what is still being answered.
func (w *Web) Requests() []Request {
	return w.requests.all(func(r Request) Request {
		r.Body = slices.Clone(r.Body)
		r.Trailer = r.Trailer.Clone()
		return r
	})
}

// Hellos lists what clients offered to begin TLS.
func (w *Web) Hellos() []Hello { return w.hellos.all(same) }

// Failures lists what the server complained of: handshakes that failed, mostly.
func (w *Web) Failures() []string { return w.failures.all(same) }

// Connections counts the connections that were accepted.
func (w *Web) Connections() int { return int(w.connections.Load()) }

func (w *Web) state(_ net.Conn, s http.ConnState) {
	if s == http.StateNew {
		w.connections.Add(1)
	}
}

func (w *Web) hello(h *tls.ClientHelloInfo) (*tls.Config, error) {
	w.hellos.add(Hello{SNI: h.ServerName, Protocols: slices.Clone(h.SupportedProtos), Remote: remote(h.Conn.RemoteAddr())})
	return nil, nil
}

// failureLog is the server's log.
type failureLog struct{ w *Web }

func (f failureLog) Write(p []byte) (int, error) {
	f.w.failures.add(strings.TrimSpace(string(p)))
	return len(p), nil
}

func remote(addr net.Addr) netip.AddrPort {
	a, _ := netip.ParseAddrPort(addr.String()) // the zero value for what is no address
	return a
}

// serve remembers a request and hands it to its page.
func (w *Web) serve(rw http.ResponseWriter, r *http.Request) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	seen := Request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Proto: r.Proto, Header: r.Header.Clone(), Remote: from}
	if r.TLS != nil {
		seen.SNI = r.TLS.ServerName
	}
	at := w.requests.add(seen)
	r.Body = &heard{ReadCloser: r.Body, note: func(p []byte) {
		w.requests.change(at, func(seen *Request) { seen.Body = grow(seen.Body, p) })
	}}
	defer func() { w.requests.change(at, func(seen *Request) { seen.Trailer = r.Trailer.Clone() }) }()
	w.page(r.URL.Path).ServeHTTP(rw, r)
}

// page finds the page of a path: its own, else the nearest folder's. Paths are
// taken as they come; "/a/../b" is none of ours.
func (w *Web) page(path string) http.Handler {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.pages[path]; ok {
		return p
	}
	best := "/"
	for prefix := range maps.Keys(w.pages) {
		if strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return w.pages[best]
}

// heard is a body that is remembered as it is read.
type heard struct {
	io.ReadCloser
	note func([]byte)
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if n > 0 {
		h.note(p[:n])
	}
	return n, err
}
