package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// headerTimeout bounds the wait for a request's header.
	headerTimeout = 10 * time.Second
	// maxHeader bounds a request's header: generous for cookies and tokens.
	maxHeader = 64 << 10
	// keepAlive is how long a connection may wait for its next request.
	keepAlive = 2 * time.Minute
	// maxIdle bounds the upstream connections kept for the next request, to one host.
	maxIdle = 16
	// maxUpstream bounds the connections to one host, also those that are being made,
	// where the rule does not; requests above it wait.
	maxUpstream = 32
	// maxRequests bounds the requests of one container at a time.
	maxRequests = 256
	// maxAnswerHeader bounds what an upstream host sends before its answer.
	maxAnswerHeader = 256 << 10
)

// overHTTP2 bounds what HTTP/2 keeps in memory for a peer that does not read: of
// each of 64 streams, and of a connection with all its streams.
func overHTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: 64, MaxReceiveBufferPerStream: 512 << 10, MaxReceiveBufferPerConnection: 2 << 20}
}

const (
	// copyBuffer is how much of a body is carried at a time: with TLS on both sides
	// each piece costs two system calls and a wake-up.
	copyBuffer = 256 << 10
	// smallBuffer is for what carries little, and for all when much of the other is
	// lent out: a container must not take the daemon's memory with many connections.
	smallBuffer = 16 << 10
	// answerBuffer is read into from an upstream host, for each connection to one.
	answerBuffer = 64 << 10
	maxLent      = 64
)

// buffers lends them.
type buffers struct {
	pool sync.Pool
	lent atomic.Int64 // large ones
}

func (b *buffers) Get() []byte {
	if b.lent.Add(1) > maxLent {
		b.lent.Add(-1)
		return make([]byte, smallBuffer)
	}
	if v, ok := b.pool.Get().(*[]byte); ok {
		return *v
	}
	return make([]byte, copyBuffer)
}

func (b *buffers) Put(v []byte) {
	if len(v) == copyBuffer {
		b.lent.Add(-1)
		b.pool.Put(&v)
	}
}

// webConn is the container's side of a connection whose requests are read here:
// in the clear, or under TLS that ends here.
type webConn struct {
	net.Conn
	conn *conn
	once sync.Once

	fake netpolicy.Protocol // what it speaks to a fake internet; 0 where the internet is real
	read atomic.Bool        // fake: a request was
}

// Close comes from the web server, once it is done with the connection.
func (w *webConn) Close() error {
	err := w.Conn.Close()
	w.once.Do(func() {
		if w.fake != 0 {
			w.ended()
			return
		}
		w.conn.closed(w.conn.outcome(nil))
		w.conn.end()
	})
	return err
}

// handover is the listener of the web server: it accepts what it is given.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over; with a configuration TLS ends here. What is given
// is closed by the web server, or here if there is none any more.
func (h *handover) give(w *webConn, config *tls.Config) {
	w.conn.opened("")
	h.hand(w, config)
}

func (h *handover) hand(w *webConn, config *tls.Config) {
	var c net.Conn = w
	if config != nil {
		c = tls.Server(w, config)
	}
	select {
	case h.conns <- c:
	case <-h.closed:
		w.Close()
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// connKey is under which a request finds its connection.
type connKey struct{}

// startWeb makes the web server that reads requests, and the client that makes
// those that are allowed.
func (w *Way) startWeb() {
	w.toWeb = newHandover()
	w.web = &http.Server{
		Handler:           http.HandlerFunc(w.handle),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             overHTTP2(),
		// What it reports is what a container did wrong, and stands in the record
		// where it matters.
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, // so that HTTP/2 is set up; each connection has a configuration of its own
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c.(*webConn))
		},
	}
	w.wg.Go(func() { w.web.Serve(w.toWeb) })
}

// clients make the requests that are allowed, in the version of HTTP in which the
// container asked: what is not translated can neither change its meaning nor cost
// the time. A host that does not know HTTP/2 is asked in HTTP/1.1 either way.
type clients struct{ http1, http2 *http.Transport }

func (w *Way) newClients(most int) *clients {
	return &clients{w.newClient(false, most), w.newClient(true, most)}
}

func (c *clients) of(major int) *http.Transport {
	if major == 2 {
		return c.http2
	}
	return c.http1
}

func (c *clients) close() {
	if c == nil {
		return
	}
	c.http1.CloseIdleConnections()
	c.http2.CloseIdleConnections()
}

func (w *Way) newClient(http2 bool, most int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	return &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dialFor(ctx) },
		TLSClientConfig:     &tls.Config{RootCAs: w.cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: headerTimeout,
		Protocols:           protocols,
		HTTP2:               overHTTP2(),
		MaxConnsPerHost:     most,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     keepAlive,
		DisableCompression:  true, // what the container asked for is what is asked for
		ReadBufferSize:      answerBuffer,

		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// leafConfig ends TLS as host, and for no other.
func (w *Way) leafConfig(host netpolicy.Host) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return w.authority.Leaf(host.String())
		},
	}
}

// requestKey is under which a dial finds the request that it is for.
type requestKey struct{}

// dialFor dials for the request in ctx, one of the addresses that were judged. The
// connection may serve later requests to the same host and port, about which all
// rules grant the same; so it ends with the way, not with one connection of the
// container's.
func (w *Way) dialFor(ctx context.Context) (net.Conn, error) {
	q, ok := ctx.Value(requestKey{}).(*request)
	if !ok || len(q.addrs) == 0 {
		return nil, errors.New("no request asks for it")
	}
	up, err := w.dialOne(ctx, q.addrs, q.conn.dest.Port)
	if err != nil {
		return nil, err
	}
	return w.keep(up, q.limits)
}

// kept is an upstream connection that may outlive the request it was made for. It
// serves requests of one rule, and ends with that.
type kept struct {
	*net.TCPConn
	way    *Way
	limits *ruleLimits
}

// keep puts an upstream connection on the list of those that Close cuts.
func (w *Way) keep(up *net.TCPConn, limits *ruleLimits) (net.Conn, error) {
	k := &kept{up, w, limits}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil || limits.gone {
		up.Close()
		return nil, cmp.Or(w.cause, ErrClosed)
	}
	w.kept[k] = struct{}{}
	return k, nil
}

func (k *kept) Close() error {
	k.way.mu.Lock()
	delete(k.way.kept, k)
	k.way.mu.Unlock()
	return k.TCPConn.Close()
}

// handle judges one request and passes it on.
func (w *Way) handle(rw http.ResponseWriter, r *http.Request) {
	if w.cfg.Fake {
		w.handleFake(rw, r, webConnOf(r.Context()))
		return
	}
	c := webConnOf(r.Context()).conn
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	q := &request{conn: c, dest: c.dest, cancel: cancel, major: r.ProtoMajor, method: r.Method, upgrade: r.Header.Get("Upgrade") != ""}
	if status, reason, note := w.admitRequest(q, r); reason != "" {
		w.refuseRequest(rw, q, status, reason, note)
		return
	}
	if q.unresolved != nil {
		w.failRequest(rw, q, http.StatusBadGateway, fmt.Errorf("%w: %w", errUnresolved, q.unresolved))
		return
	}
	swap, err := w.swap(r.Context(), q, r)
	var misuse *misuseError
	switch {
	case errors.As(err, &misuse):
		w.refuseRequest(rw, q, http.StatusForbidden, netpolicy.ReasonCredential, err.Error())
		return
	case err != nil:
		w.failRequest(rw, q, http.StatusServiceUnavailable, err)
		return
	}
	if reason := w.begin(q); reason != "" {
		w.refuseRequest(rw, q, map[netpolicy.Reason]int{netpolicy.ReasonLimit: http.StatusTooManyRequests, netpolicy.ReasonTool: http.StatusForbidden}[reason], reason, "")
		return
	}
	defer w.finish(q)
	if err := w.passed(q); err != nil {
		http.Error(rw, "mcprun: the request was refused, since it cannot be recorded", http.StatusServiceUnavailable)
		return
	}
	r.Body = q.charge(r.Body)
	proxy := httputil.ReverseProxy{
		Transport:      quiet{w, q},
		BufferPool:     &w.buffers, // events and answers of unknown length flow as they come all the same
		ErrorLog:       w.web.ErrorLog,
		Rewrite:        func(p *httputil.ProxyRequest) { q.rewrite(p.Out, swap) },
		ModifyResponse: func(a *http.Response) error { return swap.response(a, q) },
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, err error) {
			w.failRequest(rw, q, http.StatusBadGateway, swap.text(err))
		},
	}
	proxy.ServeHTTP(rw, r)
}

// quiet makes one request, without what the reverse proxy hangs on its context:
// that would pass informational responses (1xx) on with their headers as they
// are, before anything could be taken out of them.
type quiet struct {
	way *Way
	q   *request
}

func (t quiet) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithValue(t.way.open, requestKey{}, t.q))
	context.AfterFunc(r.Context(), cancel) // the request's own end, which outlives the response's body
	return t.q.limits.web.of(t.q.major).RoundTrip(r.WithContext(ctx))
}

// request is one request as it is judged, and as it is sent.
type request struct {
	conn    *conn
	dest    netpolicy.Dest // the connection's, with the calls that are in flight now
	major   int            // version of HTTP
	scheme  string
	method  string
	path    string // canonical
	upgrade bool   // to another protocol on the same connection
	addrs   []netip.Addr
	grant   netpolicy.Grant
	limits  *ruleLimits   // of the rule that pays for it
	used    []*Credential // whose secrets it carries
	cancel  func()

	unresolved error // why addrs is empty though the request is allowed
}

// admitRequest says with which status and why a request is refused; no reason
// means that it is not.
func (w *Way) admitRequest(q *request, r *http.Request) (status int, reason netpolicy.Reason, note string) {
	c := q.conn
	protocol := c.decision.Protocol
	q.scheme = "https"
	if protocol == netpolicy.HTTP {
		q.scheme = "http"
	}
	// A whole URL as the target is for proxies, and this is none: which of the two
	// names counts would depend on who reads it.
	if reason, ok := netpolicy.CheckAuthority(c.dest, protocol, r.Host); !ok || r.URL.IsAbs() || r.URL.Host != "" {
		return http.StatusMisdirectedRequest, cmp.Or(reason, netpolicy.ReasonAuthority), ""
	}
	target, _, _ := strings.Cut(r.RequestURI, "?")
	var err error
	if q.path, err = netpolicy.CanonicalPath(target); err != nil {
		return http.StatusBadRequest, netpolicy.ReasonPath, err.Error()
	}
	if strings.ContainsFunc(r.URL.RawQuery, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return http.StatusBadRequest, netpolicy.ReasonPath, "the query holds a space or a control character as it is"
	}
	if reason, note := overrides(r.Header); reason != "" {
		return http.StatusForbidden, reason, note
	}
	if q.upgrade && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return http.StatusForbidden, netpolicy.ReasonWebSocket, "only WebSocket can be allowed"
	}
	q.dest.InFlight = tools(w.cfg.InFlight())
	d := c.rules.policy.Request(q.dest, q.method, q.path, q.upgrade)
	if !d.Allowed() {
		return http.StatusForbidden, d.Reason, ""
	}
	q.grant, q.limits = d.Grant, c.rules.limits[d.Rules[0]]
	// A connection was paid for by its first rule; its first request is in that.
	if paid := d.Rules[0] == c.rule && c.paid.CompareAndSwap(true, false); !paid && !q.limits.once() {
		return http.StatusTooManyRequests, netpolicy.ReasonLimit, ""
	}
	addrs, err := w.resolve(r.Context(), c.dest.Host)
	if err != nil {
		q.unresolved = err
		return 0, "", ""
	}
	if q.addrs, reason = w.judge(addrs, d.Grant); len(q.addrs) == 0 {
		q.dest.Addr = addrs[0] // so that the lines to add open it
		return http.StatusForbidden, reason, joinAddrs(addrs)
	}
	return 0, "", ""
}

// overriding are headers by which some hosts, and what stands before them, take
// another method or path for the request's own: what was judged would not be what
// is done.
var overriding = map[string]netpolicy.Reason{
	"X-Http-Method-Override": netpolicy.ReasonMethod, "X-Http-Method": netpolicy.ReasonMethod, "X-Method-Override": netpolicy.ReasonMethod,
	"X-Original-Method": netpolicy.ReasonMethod, "X-Forwarded-Method": netpolicy.ReasonMethod,
	"X-Original-Url": netpolicy.ReasonPath, "X-Rewrite-Url": netpolicy.ReasonPath, "X-Original-Uri": netpolicy.ReasonPath, "X-Forwarded-Uri": netpolicy.ReasonPath,
	"X-Forwarded-Path": netpolicy.ReasonPath, "X-Forwarded-Prefix": netpolicy.ReasonPath, "X-Envoy-Original-Path": netpolicy.ReasonPath, "X-Replaced-Path": netpolicy.ReasonPath,
}

// overrides finds such a header. To CGI and its heirs a low line is a hyphen.
func overrides(h http.Header) (reason netpolicy.Reason, note string) {
	for name := range h {
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		if reason, ok := overriding[name]; ok {
			return reason, name + " asks for another"
		}
	}
	return "", ""
}

// rewrite makes the request that is sent: the one canonical path that was judged,
// the one name that was asked for.
func (q *request) rewrite(out *http.Request, swap *swapped) {
	path, err := url.PathUnescape(q.path)
	if err != nil {
		path = q.path // CanonicalPath leaves no broken escape
	}
	out.URL.Scheme, out.URL.Path, out.URL.RawPath = q.scheme, path, q.path
	out.URL.Host = netpolicy.JoinHostPort(q.conn.dest.Host, q.conn.dest.Port)
	out.Host = out.URL.Host
	if q.conn.dest.Port == map[string]uint16{"https": 443, "http": 80}[q.scheme] {
		out.Host = q.conn.dest.Host.String()
	}
	swap.request(out)
}
