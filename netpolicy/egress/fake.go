package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mcprun/mcprun/netpolicy"
)

// A fake internet is for a server that is watched to learn what it needs. Every name
// has an address and every connection is answered here, with something bland; nothing
// is resolved, dialled or sent on, whatever the rules allow. What was asked for is told to
// Config.Watch.

const (
	// fakeLife bounds a connection to the fake internet, from its first byte to its end.
	fakeLife = 30 * time.Second
	// fakeSilence is how long the client may take to speak: who waits for the other side
	// to begin, as mail and some databases do, speaks neither TLS nor HTTP.
	fakeSilence = time.Second
	// maxFakeBytes bounds what is read of one connection: headers, and a small upload.
	maxFakeBytes = 1 << 20
	// MaxFakeNames bounds the names that exist in one life.
	MaxFakeNames = 4096
)

// errFake is what a way out with a fake internet answers whoever would leave.
var errFake = errors.New("the internet is a fake one, and nothing leaves this machine")

// fakePorts are listened at, beside those of rules, where not every port can be.
var fakePorts = []uint16{80, 443}

// serveFake answers one connection here.
func (w *Way) serveFake(client *net.TCPConn) {
	c := &conn{way: w, client: client, rules: w.now(), began: time.Now()}
	c.aim()
	c.decision = c.rules.policy.Connect(c.dest)
	if err := w.enter(c); err != nil {
		c.refuse(reasonOf(err))
		c.end()
		return
	}
	time.AfterFunc(fakeLife, c.cut)
	first, spoken := listenFor(client)
	in := replay(client, first)
	in = &replayed{in, io.LimitReader(in, maxFakeBytes)}
	switch spoken {
	case netpolicy.TLS:
		w.toWeb.hand(&webConn{Conn: in, conn: c, fake: spoken}, w.fakeLeaf(c.dest.Host))
	case netpolicy.HTTP:
		w.toWeb.hand(&webConn{Conn: in, conn: c, fake: spoken}, nil)
	default:
		c.askedFor(spoken, "", "", false)
		client.Close() // not a reset: who spoke was heard
		c.end()
	}
}

// firstOfTLS is the type of the record that a TLS client begins with.
const firstOfTLS = 22

// maxVerb is as much as tells a request of HTTP/1: its method, a space, and the slash.
const maxVerb = 16

// listenFor reads what a client says first, as much of it as tells which protocol it is.
func listenFor(c net.Conn) (first []byte, spoken netpolicy.Protocol) {
	c.SetReadDeadline(time.Now().Add(fakeSilence))
	defer c.SetReadDeadline(time.Time{})
	buf := make([]byte, maxVerb)
	n := 0
	for n < len(buf) {
		m, err := c.Read(buf[n:])
		n += m
		if n > 0 && buf[0] == firstOfTLS {
			return buf[:n], netpolicy.TLS
		}
		if isRequest(buf[:n]) {
			return buf[:n], netpolicy.HTTP
		}
		if err != nil {
			break
		}
	}
	return buf[:n], netpolicy.TCP
}

// isRequest tells a request line of HTTP/1 by its first bytes.
func isRequest(b []byte) bool {
	verb, rest, ok := bytes.Cut(b, []byte(" "))
	capital := func(r rune) bool { return r >= 'A' && r <= 'Z' }
	return ok && len(verb) >= 3 && len(rest) > 0 && (rest[0] == '/' || rest[0] == '*') && strings.TrimFunc(string(verb), capital) == ""
}

// fakeLeaf ends TLS as whichever host was asked for.
func (w *Way) fakeLeaf(host netpolicy.Host) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := host
			if h, err := netpolicy.ParseHost(hello.ServerName); hello.ServerName != "" && err == nil {
				name = h
			}
			return w.authority.Leaf(name.String())
		},
	}
}

// handleFake answers one request.
func (w *Way) handleFake(rw http.ResponseWriter, r *http.Request, c *webConn) {
	c.read.Store(true)
	target, _, _ := strings.Cut(r.RequestURI, "?")
	path, err := netpolicy.CanonicalPath(target)
	if err != nil {
		path = ""
	}
	upgrade := r.Header.Get("Upgrade") != ""
	c.conn.askedFor(c.fake, r.Method, path, upgrade)
	io.Copy(io.Discard, r.Body) // as much as the connection may carry
	rw.Header().Set("X-Mcprun-Fake", "1")
	rw.Header().Set("Connection", "close")
	if upgrade {
		http.Error(rw, "mcprun: a fake internet has no such protocol", http.StatusNotImplemented)
		return
	}
	kind, text := bland(r.Header.Get("Accept"))
	rw.Header().Set("Content-Type", kind)
	io.WriteString(rw, text)
}

// bland is an answer that says nothing, in the form that was asked for.
func bland(accept string) (kind, text string) {
	switch {
	case strings.Contains(accept, "json"):
		return "application/json", "{}\n"
	case strings.Contains(accept, "html"):
		return "text/html; charset=utf-8", "<!doctype html>\n<title>a fake internet</title>\n<p>mcprun answered this itself: the server is being watched.</p>\n"
	}
	return "text/plain; charset=utf-8", "mcprun answered this itself: the server is being watched.\n"
}

// askedFor tells and records what a connection, or a request on it, was for.
func (c *conn) askedFor(spoken netpolicy.Protocol, method, path string, upgrade bool) {
	d := c.dest
	d.InFlight = tools(c.way.cfg.InFlight())
	p := c.way.now().policy
	decision := p.Connect(d)
	unread := decision.Protocol == netpolicy.TCP || decision.Protocol == netpolicy.TLS && !decision.Inspect
	switch {
	case !decision.Allowed():
	case decision.Protocol != spoken && decision.Protocol != netpolicy.TCP:
		decision = netpolicy.Decision{Reason: netpolicy.ReasonProtocol}
	case method != "" && !unread:
		decision = p.Request(d, method, path, upgrade)
	}
	e := event{host: d.Host.String(), port: d.Port, protocol: spoken.String(), reason: netpolicy.ReasonFake, method: method, path: path}
	if odd := method != "" && path == ""; !decision.Allowed() && !odd { // no line is about a path that is none
		e.suggest = p.Suggest(d, decision.Reason, spoken, method, path)
	}
	one := e.attempt(decision.Allowed())
	one.WebSocket = upgrade
	c.way.watched(one)
	c.way.deny(e)
}

// ended is the end of a connection on which a request was waited for.
func (w *webConn) ended() {
	if !w.read.Load() {
		w.conn.askedFor(w.fake, "", "", false)
	}
	w.conn.end()
}

// webConnOf finds the container's side of a request's connection.
func webConnOf(ctx context.Context) *webConn { return ctx.Value(connKey{}).(*webConn) }
