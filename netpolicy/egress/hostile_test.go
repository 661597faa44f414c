package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// What a hostile container, or a host that is allowed, once got away with.

// A container that asked its stub over TCP and read no answer held up the end of
// its way out, and with it every kill. The end waits for nobody.
func TestCloseWaitsForNobody(t *testing.T) {
	f := newFar(t, func(http.ResponseWriter, *http.Request) {})
	for _, mss := range []int{128, 300, 700} {
		l := openLive(t, f, Credentials{})
		var c net.Conn
		if err := l.ns.Do(func() (err error) {
			small := func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) {
					syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
					syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, mss)
					syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_WINDOW_CLAMP, 1)
				})
			}
			c, err = (&net.Dialer{Control: small}).Dial("tcp4", "198.18.0.1:53")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		question, err := new(mdns.Msg).SetQuestion(strings.Repeat(strings.Repeat("a", 61)+".", 4), mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		go c.Write(bytes.Repeat(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...), 128))
		time.Sleep(300 * time.Millisecond) // so that the stub writes, and waits
		begun := time.Now()
		l.Close(errors.New("killed"))
		if took := time.Since(begun); took > 200*time.Millisecond {
			t.Errorf("with segments of %d bytes the end took %v", mss, took)
		}
	}
}

// A stream that was open before a secret was first used showed its echo, and so
// did an answer in the next life of the server that nothing was used in yet.
func TestEchoesBeforeTheFirstUse(t *testing.T) {
	last := make(chan string, 1)
	f := newFar(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			last <- r.Header.Get("Authorization")
			return
		}
		rw.WriteHeader(http.StatusOK)
		rw.(http.Flusher).Flush()
		fmt.Fprintf(rw, "data: %s\n\n", <-last)
	})
	for _, life := range []string{"a stream that was open before", "a new life"} {
		l := openLive(t, f, f.reader(t, nil), f.rule(t, "GET"))
		c := l.client(t, false)
		if life == "a new life" {
			last <- "Bearer " + theSecret // the host knows it from before
			if _, _, body := l.get(t, c, "/events"); !strings.Contains(body, "data: Bearer ****") || strings.Contains(body, theSecret) {
				t.Errorf("%s: the container reads %q", life, body)
			}
			continue
		}
		resp, err := c.Get(f.url("/events"))
		if err != nil {
			t.Fatal(err)
		}
		if status, _, body := l.get(t, c, "/use", bearer); status != http.StatusOK {
			t.Fatalf("the control: %d %s", status, body)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), "data: Bearer ****") || strings.Contains(string(body), theSecret) {
			t.Errorf("%s: the container reads %q, %v", life, body, err)
		}
	}
}

// A request that a tool's call was allowed went on after that call, as long as it
// had more to send: the connection was another rule's as well.
func TestRequestsEndWithTheirTool(t *testing.T) {
	got := make(chan string, 1)
	f := newFar(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	})
	post := f.rule(t, "POST")
	post.Tools = []mcprun.ToolName{"create_issue"}
	for _, goesOn := range []bool{true, false} {
		l := openLive(t, f, Credentials{}, f.rule(t, "GET"), post)
		l.call(Flight{Tool: "create_issue", Call: "c-1"})
		body, more := io.Pipe()
		req, err := http.NewRequest(http.MethodPost, f.url("/x"), body)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan int, 1)
		c := l.client(t, false)
		go func() {
			resp, err := c.Do(req)
			if err != nil {
				resp = &http.Response{}
			}
			done <- resp.StatusCode
		}()
		io.WriteString(more, "begun in the call; ")
		time.Sleep(200 * time.Millisecond)
		if !goesOn {
			l.call()
		}
		l.Recheck()
		time.Sleep(100 * time.Millisecond)
		go func() { io.WriteString(more, "after it"); more.Close() }()
		if status := <-done; (status == http.StatusOK) != goesOn {
			t.Errorf("the call goes on: %v; the request ends with %d", goesOn, status)
		}
		if read := <-got; strings.Contains(read, "after it") != goesOn {
			t.Errorf("the call goes on: %v; the host reads %q", goesOn, read)
		}
	}
}

// The connections to a host were bounded on the container's side only, and HTTP/2
// made many of one.
func TestConnectionsToTheHostAreBounded(t *testing.T) {
	release := make(chan struct{})
	f := newFar(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	})
	rule := f.rule(t, "GET")
	rule.Limits.Connections = 2
	l := openLive(t, f, Credentials{}, rule)
	c := l.client(t, true)
	if status, _, body := l.get(t, c, "/"); status != http.StatusOK { // so that there is one connection
		t.Fatalf("the control: %d %s", status, body)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { l.get(t, c, "/slow") })
	}
	time.Sleep(500 * time.Millisecond)
	close(release)
	all.Wait()
	if n := f.most.Load(); n < 1 || n > 2 {
		t.Errorf("%d connections to the host at a time, want 2 at most", n)
	}
}

// Dials went on for requests that had been given up, each with a file of the
// daemon's.
func TestDialsAreBounded(t *testing.T) {
	f := newFar(t, func(http.ResponseWriter, *http.Request) {})
	rule := f.rule(t, "GET")
	rule.Grant.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	l := openLive(t, f, Credentials{}, rule)
	l.resolver.set(netip.MustParseAddr("192.0.2.77")) // nobody answers there
	c := l.client(t, true)
	before := openFiles(t)
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Do(req)
		cancel()
	}
	if n := openFiles(t) - before; n > maxUpstream+16 {
		t.Errorf("%d files more are open, want %d at most", n, maxUpstream+16)
	}
}

// Only the first rule about a host counted the bytes of requests.
func TestEachRulePaysForItsRequests(t *testing.T) {
	f := newFar(t, func(rw http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, n)
	})
	post := f.rule(t, "POST")
	post.Limits.Bytes = 10 << 10
	l := openLive(t, f, Credentials{}, f.rule(t, "GET", "PUT"), post)
	c := l.client(t, false)
	for method, allowed := range map[string]bool{http.MethodPut: true, http.MethodPost: false} {
		req, err := http.NewRequest(method, f.url("/"), bytes.NewReader(make([]byte, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if arrived := err == nil && resp.StatusCode == http.StatusOK; arrived != allowed {
			t.Errorf("%s of 1 MiB: %v, %v", method, arrived, err)
		}
	}
}

// An answer in parts, or packed twice over, hid a secret from the search.
func TestAnswersCanBeSearched(t *testing.T) {
	f := newFar(t, func(rw http.ResponseWriter, r *http.Request) {
		echo := "you sent " + r.Header.Get("Authorization") + ", thank you"
		switch r.URL.Path {
		case "/range":
			http.ServeContent(rw, r, "x.txt", time.Now(), strings.NewReader(echo))
		case "/twice":
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			io.WriteString(z, echo)
			z.Close()
			rw.Header()["Content-Encoding"] = []string{"identity", "gzip"}
			rw.Write(packed.Bytes())
		case "/name":
			rw.Header()["X-"+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] = []string{"1"}
		case "/headers":
			fmt.Fprint(rw, r.Header)
		}
	})
	l := openLive(t, f, f.reader(t, nil), f.rule(t, "GET"))
	c := l.client(t, false)
	if _, _, body := l.get(t, c, "/range", bearer); !strings.HasPrefix(body, "you sent Bearer ****") {
		t.Errorf("the control: %q", body)
	}
	_, _, first := l.get(t, c, "/range", bearer, "Range: bytes=0-24")
	_, _, second := l.get(t, c, "/range", bearer, "Range: bytes=25-100")
	if strings.Contains(first+second, theSecret) {
		t.Errorf("in two parts: %q and %q", first, second)
	}
	if status, _, body := l.get(t, c, "/twice", bearer); status != http.StatusBadGateway {
		t.Errorf("with two encodings: %d %q", status, body)
	}
	if _, h, _ := l.get(t, c, "/name", bearer); len(h) == 0 || strings.Contains(fmt.Sprint(h), theSecret) {
		t.Errorf("in a header's name: %v", h)
	}
	_, _, headers := l.get(t, c, "/headers", bearer, "Sec-Websocket-Extensions: permessage-deflate", "Grpc-Accept-Encoding: gzip", "X-Kept: yes")
	if strings.Contains(headers, "deflate") || strings.Contains(headers, "Grpc") || !strings.Contains(headers, "X-Kept") {
		t.Errorf("what arrives: %s", headers)
	}
}

// Why a secret cannot be had was told to the container, with what the program that
// prints it wrote to its log.
func TestErrorsStayOutside(t *testing.T) {
	f := newFar(t, func(http.ResponseWriter, *http.Request) {})
	const secretive = "exec /opt/get-token: exit status 1: + curl -H 'X-Vault-Token: hvs.real' https://10.2.3.4:8200"
	l := openLive(t, f, f.reader(t, func(c *Credential) {
		c.Get = func(context.Context) (string, error) { return "", errors.New(secretive) }
	}), f.rule(t, "GET"))
	status, _, body := l.get(t, l.client(t, false), "/", bearer)
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "credential reader cannot be had") || strings.Contains(body, "hvs") || strings.Contains(body, "10.2.3.4") {
		t.Errorf("the container reads %d %q", status, body)
	}
	found := false
	l.records.mu.Lock()
	for _, r := range l.records.all {
		found = found || strings.Contains(r.Reason, secretive)
	}
	l.records.mu.Unlock()
	if !found {
		t.Error("the operator does not see why")
	}
	// Where an allowed name leads inside the operator's network is not for it either.
	l.resolver.set(netip.MustParseAddr("10.9.8.7"))
	l.addresses.names = nil
	if status, _, body := l.get(t, l.client(t, false), "/"); status != http.StatusForbidden || strings.Contains(body, "10.9.8.7") {
		t.Errorf("a name that leads inside: %d %q", status, body)
	}
}

// After a change of rules a connection that was kept for the next request went to
// an address that the new rules do not open.
func TestNothingKeptOutlivesItsRule(t *testing.T) {
	f := newFar(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
		}
		fmt.Fprint(rw, "answered at ", r.Context().Value(http.LocalAddrContextKey))
	}, "h2")
	l := openLive(t, f, Credentials{}, f.rule(t, "GET"))
	if _, _, body := l.get(t, l.client(t, true), "/"); !strings.Contains(body, hostAddr.String()) {
		t.Fatalf("the control: %q", body)
	}
	go l.client(t, true).Get(f.url("/hang"))
	time.Sleep(200 * time.Millisecond)
	other := f.rule(t, "GET")
	other.Grant.Networks = []netip.Prefix{netip.PrefixFrom(otherAddr, 32)}
	p, err := netpolicy.NewPolicy([]netpolicy.Rule{other})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Change(p); err != nil {
		t.Fatal(err)
	}
	l.resolver.set(otherAddr)
	l.addresses.mu.Lock()
	l.addresses.names = nil
	l.addresses.mu.Unlock()
	if _, _, body := l.get(t, l.client(t, true), "/"); !strings.Contains(body, otherAddr.String()) {
		t.Errorf("after the change: %q", body)
	}
}

// Names that do not exist, asked for without end, hid a misused credential.
func TestNoiseHidesNoMisuse(t *testing.T) {
	f := newFar(t, func(http.ResponseWriter, *http.Request) {})
	l := openLive(t, f, f.reader(t, nil), f.rule(t, "GET"))
	for i := range 300 {
		l.denyName(fmt.Sprintf("n%d.example.org", i), netpolicy.ReasonHost)
	}
	if n := l.records.with("egress.host"); n < deniedBurst || n > 2*deniedBurst {
		t.Errorf("the control: %d records of names", n)
	}
	if status, _, body := l.get(t, l.client(t, false), "/", "X-Other: "+placeholder); status != http.StatusForbidden {
		t.Errorf("the misuse: %d %s", status, body)
	}
	if n := l.records.with("credential.misuse"); n != 1 {
		t.Errorf("%d records of a misuse, want 1", n)
	}
}

// Headers that ask for another path came through with low lines in their names, and
// spaces in a query stood in the request line of HTTP/1.1.
func TestOneReading(t *testing.T) {
	f := newFar(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "arrived") }, "h2", "http/1.1")
	l := openLive(t, f, Credentials{}, f.rule(t, "GET"))
	for _, http2 := range []bool{false, true} {
		c := l.client(t, http2)
		if status, _, body := l.get(t, c, "/", "X_Other_Header: a"); status != http.StatusOK || body != "arrived" {
			t.Errorf("the control: %d %q", status, body)
		}
		for _, header := range []string{"X_HTTP_METHOD_OVERRIDE: DELETE", "X_ORIGINAL_URL: /admin", "X-Envoy-Original-Path: /admin"} {
			if status, _, body := l.get(t, c, "/", header); status != http.StatusForbidden {
				t.Errorf("%s: %d %q", header, status, body)
			}
		}
	}
	req, err := http.NewRequest(http.MethodGet, f.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery = "x y HTTP/1.1"
	if resp, err := l.client(t, true).Do(req); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a space in the query: %v, %v", resp, err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range 4096 {
		if _, err := syscall.Getsockname(fd); err == nil {
			n++
		}
	}
	return n
}

// L1, L3: a handshake that hides its name, or names another host, is answered with
// an alert that says so, and reaches nobody; the host's own name in the clear does.
func TestHandshakesThatHide(t *testing.T) {
	f := newFar(t, func(http.ResponseWriter, *http.Request) {})
	rule := f.rule(t, "GET")
	rule.Inspect, rule.Methods, rule.Paths = false, nil, nil
	l := openLive(t, f, Credentials{}, rule)
	for _, row := range []struct {
		name   string
		config *tls.Config
		alert  string // "" is none
		rule   string
	}{
		{"control", &tls.Config{ServerName: hostName, RootCAs: f.roots}, "", ""},
		{"L3 a hidden name", hidden(t, "evil.example.org", hostName), "access denied", "egress.ech"},
		{"L1 another name", named("evil.example.org"), "unrecognized name", "egress.sni"},
	} {
		before := f.total.Load()
		c, err := l.dial()
		if err != nil {
			t.Fatal(err)
		}
		tc := tls.Client(c, row.config)
		err = tc.Handshake()
		if (err == nil) != (row.alert == "") || err != nil && !strings.Contains(err.Error(), row.alert) {
			t.Errorf("%s: %v, want %q", row.name, err, row.alert)
		}
		if row.alert != "" && (f.total.Load() != before || l.records.with(row.rule) != 1) {
			t.Errorf("%s: %d connections arrived, %d records of %s", row.name, f.total.Load()-before, l.records.with(row.rule), row.rule)
		}
		tc.Close()
	}
}
