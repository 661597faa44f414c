package credentials

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The servers of these tests are stand-ins, for the wire format, redirects and
// TLS alone. The client meets a real Vault and a real token endpoint in the
// integration tests.

func TestAddresses(t *testing.T) {
	for _, r := range []struct{ address, want string }{
		{"https://login.example.com/token", ""},
		{"https://login.example.com:8443/a/b?tenant=1", ""},
		{"https://10.0.0.1/token", ""},
		{"http://127.0.0.1:8200", ""},
		{"http://127.9.9.9", ""},
		{"http://[::1]:8200", ""},
		{"http://[::ffff:127.0.0.1]", ""},
		{"http://localhost:8200", ""},
		{"http://LOCALHOST", ""},
		{"http://login.example.com", "write https://"},
		{"http://10.0.0.1", "write https://"},
		{"http://0.0.0.0", "write https://"},
		{"http://127.1", "write https://"},
		{"http://2130706433", "write https://"},
		{"http://localhost.example.com", "write https://"},
		{"http://127.0.0.1.example.com", "write https://"},
		{"ftp://127.0.0.1", "write https://"},
		{"unix:///run/vault.sock", "write an address"},
		{"https://", "write an address"},
		{"https:login.example.com", "write an address"},
		{"login.example.com", "write an address"},
		{"", "write an address"},
		{"https://login.example.com:port", "write an address"},
		{"https://login.example.com/a b", "write an address"},
		{"https://login.example.com/\n", "write an address"},
		{"https://löwe.example.com", "write an address"},
		{"https://login.example.com/" + strings.Repeat("a", maxParameter), "write an address"},
		{"https://" + canary + "@login.example.com", "leave the user and password out"},
		{"https://login.example.com/#" + canary, "leave out #"},
	} {
		checkError(t, checkAddress("a", r.address), r.want)
		if got := printableAddress(r.address); strings.Contains(got, canary) || strings.Contains(got, "?") || (r.want != "") != (got == "(no valid address)") {
			t.Errorf("%q is printed as %q", r.address, got)
		}
	}
}

// A "localhost" that the resolver takes elsewhere, or to a file, is not dialled.
func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80": "", "[::1]:80": "", "[::ffff:127.0.0.1]:80": "",
		"192.0.2.1:80": "not loopback", "[2001:db8::1]:80": "not loopback", "/run/x": "not loopback", "": "not loopback",
	} {
		checkError(t, onlyLoopback("tcp", address, nil), want)
	}
}

// clientOf is a source that asks a token endpoint, and so any stand-in.
func clientOf(address string) Source {
	return Source{OAuth: &OAuth{TokenURL: address, ClientID: "mcprun", Secret: &Source{Env: "CLIENT"}}}
}

var clientEnv = map[string]string{"CLIENT": canary}

const goodToken = `{"access_token":"token-1","token_type":"Bearer"}`

func TestRedirectsAreRefused(t *testing.T) {
	var reached atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		io.WriteString(w, goodToken)
	}))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		from := httptest.NewServer(http.RedirectHandler(target.URL+"/?"+canary, status))
		defer from.Close()
		s, err := fetch(t, clientOf(from.URL), clientEnv)
		checkFetch(t, s, err, "", fmt.Sprintf("it answered %d, a redirect, which is refused", status))
		vault := Source{Vault: &Vault{Address: from.URL, Path: "secret/data/x", Field: "f", Token: &Source{Env: "CLIENT"}}}
		s, err = fetch(t, vault, clientEnv)
		checkFetch(t, s, err, "", "a redirect, which is refused")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the target was asked %d times", n)
	}
	// The control: the target itself is a good one.
	s, err := fetch(t, clientOf(target.URL), clientEnv)
	checkFetch(t, s, err, "token-1", "")
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"data":{"f":"value-1"}}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of every client that hangs up
	server.StartTLS()
	defer server.Close()
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ name, address, ca, value, want string }{
		{"its own authority", server.URL, put(t, "ca.pem", roots, 0o644), "value-1", ""},
		{"none", server.URL, "", "", "certificate signed by unknown authority"},
		{"another name", "https://localhost:" + port, put(t, "ca.pem", roots, 0o644), "", "certificate is valid for"},
		{"a file that others write", server.URL, put(t, "ca.pem", roots, 0o666), "", "others can write it"},
		{"a file of something else", server.URL, put(t, "ca.pem", canary, 0o644), "", "holds no certificate in PEM form"},
		{"no file", server.URL, "/no/such/file", "", "no such file"},
		{"plain http to it", "http://127.0.0.1:" + port, "", "", "it answered 400"},
	} {
		t.Run(r.name, func(t *testing.T) {
			v := &Vault{Address: r.address, Path: "secret/x", Field: "f", Token: &Source{Env: "CLIENT"}, CA: r.ca}
			s, err := fetch(t, Source{Vault: v}, clientEnv)
			checkFetch(t, s, err, r.value, r.want)
		})
	}
}

// rude answers every connection with the same bytes and what it was sent.
func rude(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, answer)
			}
			c.Close()
		}
	})
	return "http://" + l.Addr().String()
}

// net/http quotes lines that are not HTTP in its errors; a peer may echo there
// what it was sent.
func TestAnswersThatAreNotHTTP(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(goodToken)) + "\r\n\r\n" + goodToken: "",
		canary + "\r\n\r\n":                                                       "no usable HTTP answer",
		"HTTP/1.1 " + canary + "\r\n\r\n":                                         "no usable HTTP answer",
		"HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n":                               "no usable HTTP answer",
		"HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n":               "no usable HTTP answer",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n": "no usable HTTP answer",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat(canary, 10000) + "\r\n\r\n":     "no usable HTTP answer",
		"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + canary:                  "unexpected EOF",
		"": "EOF",
	} {
		s, err := fetch(t, clientOf(rude(t, answer)), clientEnv)
		if checkError(t, err, want); want == "" && s.Reveal() != "token-1" {
			t.Errorf("the secret is %q", s.Reveal())
		}
	}
}

func TestPeerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	l.Close()
	_, err = fetch(t, clientOf(address), clientEnv)
	checkError(t, err, "fetching the secret from oauth "+address+" client mcprun: dial tcp")
	checkError(t, err, "connection refused")
}

func TestAnswerIsBounded(t *testing.T) {
	var pad atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, goodToken)
		w.Write([]byte(strings.Repeat(" ", int(pad.Load()))))
	}))
	defer server.Close()
	for n, want := range map[int]string{maxAnswer - len(goodToken): "", maxAnswer - len(goodToken) + 1: "its answer has more than 1048576 bytes"} {
		pad.Store(int64(n))
		_, err := fetch(t, clientOf(server.URL), clientEnv)
		checkError(t, err, want)
	}
}
