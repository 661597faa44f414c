package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// said is a printed line.
type said struct {
	OK     bool
	Error  string
	Errno  string
	MS     float64
	Detail json.RawMessage
}

func try(t *testing.T, args ...string) said {
	t.Helper()
	var out bytes.Buffer
	if err := run(args, &out); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("not one line: %q", &out)
	}
	var s said
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve answers each connection on loopback with f.
func serve(t *testing.T, f func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); f(conn) }()
		}
	}()
	return l.Addr().String()
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"nothing"}, {"tcp"}, {"tcp", "a", "b"}, {"fds", "x"}} {
		if err := run(args, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "usage: netclient") {
			t.Errorf("%q: %v", args, err)
		}
	}
	for name := range attempts() {
		if !strings.Contains(usage(), "\n  "+name) {
			t.Errorf("the usage lacks %s", name)
		}
	}
}

func TestConnections(t *testing.T) {
	waits := serve(t, func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.Read(make([]byte, 1)) })
	echoes := serve(t, func(c *net.TCPConn) {
		b := make([]byte, maxShown)
		n, _ := c.Read(b)
		c.Write(b[:n])
	})
	closes := serve(t, func(*net.TCPConn) {})
	resets := serve(t, func(c *net.TCPConn) { c.SetLinger(0) })
	for _, c := range []struct {
		args  []string
		ok    bool
		errno string
		shows string // in the error or the detail
	}{
		{[]string{"tcp", waits}, true, "", `"remote":"` + waits},
		{[]string{"tcp", closes}, false, "", "EOF"},
		{[]string{"tcp", resets}, false, "ECONNRESET", "reset by peer"},
		{[]string{"tcp", "127.0.0.1:1"}, false, "ECONNREFUSED", "refused"},
		{[]string{"tcp6", "127.0.0.1:1"}, false, "", "no suitable address"},
		{[]string{"raw", echoes, `a\x00b`}, true, "", `"read":"a\u0000b"`},
		{[]string{"raw", echoes, `a\q`}, false, "", "badly escaped"},
		{[]string{"raw", resets}, false, "ECONNRESET", "reset by peer"},
		{[]string{"hold", echoes}, true, "", `"read":"6 bytes"`},
		{[]string{"udp", "127.0.0.1:1"}, false, "ECONNREFUSED", "refused"},
		{[]string{"tls", echoes, "x.example"}, false, "", "tls:"},
		{[]string{"freebind", "nothing", waits}, false, "", "is no address"},
		{[]string{"icmp", "nothing"}, false, "", "is no address"},
	} {
		s := try(t, c.args...)
		if s.OK != c.ok || s.Errno != c.errno || !strings.Contains(s.Error+string(s.Detail), c.shows) {
			t.Errorf("%q: %+v %s", c.args, s, s.Detail)
		}
		if s.MS < 0 || s.MS > 1000*patience.Seconds() {
			t.Errorf("%q: %v ms", c.args, s.MS)
		}
	}
}

func TestWeb(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			w.Header().Set("Content-Length", "100")
		}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Header.Get("X-Test"), strings.Repeat("x", maxShown))
	}))
	defer server.Close()
	for _, what := range []string{"get", "noproxy"} {
		s := try(t, what, server.URL+"/", "X-Test: v")
		var p page
		if err := json.Unmarshal(s.Detail, &p); err != nil || !s.OK || p.Status != http.StatusTeapot || p.Bytes != maxShown+1 || len(p.Body) != maxShown || p.Body[0] != 'v' {
			t.Errorf("%s: %v: %+v", what, err, p)
		}
	}
	if s := try(t, "get", "http://127.0.0.1:1/"); s.OK || s.Errno != "ECONNREFUSED" {
		t.Errorf("a closed port: %+v", s)
	}
	if s := try(t, "get", "nonsense://x"); s.OK || !strings.Contains(s.Error, "unsupported protocol") {
		t.Errorf("no URL: %+v", s)
	}
}

func TestQuery(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Name == "absent.example." {
			m.SetRcode(q, dns.RcodeNameError)
		} else if rr, err := dns.NewRR(q.Question[0].Name + " 1 IN TXT said"); err == nil {
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})}
	go server.ActivateAndServe()
	<-started
	defer server.Shutdown()
	if s := try(t, "dns", "a.example", conn.LocalAddr().String(), "udp", "txt"); !s.OK || !strings.Contains(string(s.Detail), `TXT \"said\"`) {
		t.Errorf("%+v %s", s, s.Detail)
	}
	if s := try(t, "dns", "absent.example", conn.LocalAddr().String()); s.OK || s.Error != "absent.example: NXDOMAIN" {
		t.Errorf("%+v", s)
	}
	if s := try(t, "dns", "a.example", "127.0.0.1", "udp", "nonsense"); s.OK || !strings.Contains(s.Error, "no record type") {
		t.Errorf("%+v", s)
	}
}

func TestAbstract(t *testing.T) {
	name := fmt.Sprintf("netclient-test-%d", os.Getpid())
	if s := try(t, "abstract", name); s.OK || s.Errno != "ECONNREFUSED" {
		t.Errorf("without a socket: %+v", s)
	}
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s := try(t, "abstract", name); !s.OK {
		t.Errorf("with a socket: %+v", s)
	}
}

func TestInterfaces(t *testing.T) {
	if s := try(t, "interfaces"); !s.OK || !strings.Contains(string(s.Detail), `"lo":["127.0.0.1/8"`) {
		t.Errorf("%+v %s", s, s.Detail)
	}
}

// What the program itself opens is not taken for inherited.
func TestInherited(t *testing.T) {
	program := filepath.Join(t.TempDir(), "netclient")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := func() *exec.Cmd { return exec.Command(program, "fds") }
	clean := cmd()
	given := cmd()
	given.ExtraFiles = []*os.File{os.Stdin}
	before, err := clean.Output()
	if err != nil {
		t.Fatal(err)
	}
	after, err := given.Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(before), `"3":`) || !strings.Contains(string(after), `"3":`) {
		t.Errorf("without: %s with: %s", before, after)
	}
}

// A server that says nothing costs no more than the time that is allowed.
func TestPatience(t *testing.T) {
	silent := serve(t, func(c *net.TCPConn) { c.Read(make([]byte, 100)); c.Read(make([]byte, 1)) })
	start := time.Now()
	if s := try(t, "raw", silent); s.OK || !strings.Contains(s.Error, "timeout") {
		t.Errorf("%+v", s)
	}
	if took := time.Since(start); took < patience || took > patience+time.Second {
		t.Errorf("took %v", took)
	}
}
