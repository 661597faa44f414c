package lab

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(withFolder(m)) }

// programs is the folder of what the tests build once.
var programs string

func withFolder(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "lab-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	return m.Run()
}

var buildNetclient = sync.OnceValues(func() (string, error) {
	out := filepath.Join(programs, "netclient")
	cmd := exec.Command("go", "build", "-o", out, "../netclient")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if raw, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, raw)
	}
	return out, os.Chmod(programs, 0o755)
})

// netclient is the client that runs in containers elsewhere.
func netclient(t *testing.T) string {
	t.Helper()
	path, err := buildNetclient()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program in site and returns what it prints.
func run(t *testing.T, l *Lab, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+l.CA.File, "GIT_SSL_CAINFO="+l.CA.File, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "HOME="+l.Dir)
	l.Exec(Site, cmd)
	cmd.Dir = l.Dir
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// said is a line of netclient.
type said struct {
	OK     bool
	Error  string
	Errno  string
	MS     float64
	Detail json.RawMessage
}

func try(t *testing.T, l *Lab, client string, args ...string) said {
	t.Helper()
	out, err := run(t, l, append([]string{client}, args...)...)
	var s said
	if err != nil || json.Unmarshal([]byte(out), &s) != nil {
		t.Fatalf("netclient %v: %v: %s", args, err, out)
	}
	return s
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func get(t *testing.T, l *Lab, address string) (*http.Response, string) {
	t.Helper()
	resp, err := l.Client(Site).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestNames(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{
		"Both.Example":    {"93.184.216.34", "2606:4700::1111", "93.184.216.35"},
		"alias.example":   {"both.example"},
		"mapped.example":  {"::ffff:127.0.0.1"},
		"nothing.example": {},
	})
	l.DNS.Sequence("rebind.example", []string{"93.184.216.34"}, []string{"127.0.0.1"})
	client := netclient(t)
	for _, c := range []struct {
		args   []string
		code   string
		answer []string
	}{
		{[]string{"bOTH.example"}, "NOERROR", []string{"bOTH.example. 1 IN A 93.184.216.34", "bOTH.example. 1 IN A 93.184.216.35"}},
		{[]string{"both.example", NetAddr, "tcp", "AAAA"}, "NOERROR", []string{"both.example. 1 IN AAAA 2606:4700::1111"}},
		{[]string{"alias.example", "", "udp", "AAAA"}, "NOERROR", []string{"alias.example. 1 IN CNAME both.example.", "both.example. 1 IN AAAA 2606:4700::1111"}},
		{[]string{"mapped.example", "", "udp", "AAAA"}, "NOERROR", []string{"mapped.example. 1 IN AAAA ::ffff:127.0.0.1"}},
		{[]string{"nothing.example"}, "NOERROR", nil},
		{[]string{"absent.example"}, "NXDOMAIN", nil},
		{[]string{"rebind.example"}, "NOERROR", []string{"rebind.example. 1 IN A 93.184.216.34"}},
		{[]string{"rebind.example"}, "NOERROR", []string{"rebind.example. 1 IN A 127.0.0.1"}},
		{[]string{"rebind.example"}, "NOERROR", []string{"rebind.example. 1 IN A 127.0.0.1"}},
	} {
		s := try(t, l, client, append([]string{"dns"}, c.args...)...)
		var got struct {
			Code    string
			Answers []string
		}
		if err := json.Unmarshal(s.Detail, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.answer, got.Answers); got.Code != c.code || s.OK != (c.code == "NOERROR") || diff != "" {
			t.Errorf("%v: %s, want %s; %+v (-want +got):\n%s", c.args, got.Code, c.code, s, diff)
		}
	}
	want(t, "the first queries", l.DNS.Queries()[:3], []string{"bOTH.example A udp", "both.example AAAA tcp", "alias.example AAAA udp"})
	if !l.DNS.Asked("BOTH.example.") || l.DNS.Asked("example") {
		t.Error("Asked does not know what was asked")
	}
	if out, err := run(t, l, "getent", "ahostsv4", "both.example"); err != nil || !strings.Contains(out, "93.184.216.34") {
		t.Errorf("the lab's resolv.conf is not in force: %v: %s", err, out)
	}
}

func TestPages(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{"web.example": {"93.184.216.34"}, "six.example": {"2606:4700::1111"}})
	web, plain := l.HTTPS("93.184.216.34:443", "web.example"), l.HTTP("93.184.216.34:80")
	l.HTTPS("[2606:4700::1111]:443", "six.example")

	resp, body := get(t, l, "https://web.example/echo?a=1")
	var echo Echo
	if err := json.Unmarshal([]byte(body), &echo); err != nil {
		t.Fatal(err)
	}
	want(t, "protocol", resp.Proto, "HTTP/2.0")
	want(t, "echo", []string{echo.Method, echo.Path, echo.Host, echo.Proto}, []string{"GET", "/echo?a=1", "web.example", "HTTP/2.0"})
	if _, body = get(t, l, "https://six.example/"); !strings.Contains(body, `"host":"six.example"`) {
		t.Errorf("over IPv6: %s", body)
	}

	resp, body = get(t, l, "http://web.example/bytes?n=100000&pause=1")
	want(t, "bytes", len(body), 100000)
	want(t, "protocol without TLS", resp.Proto, "HTTP/1.1")
	want(t, "requests without TLS", len(plain.Requests()), 1)

	_, body = get(t, l, "https://web.example/sse")
	want(t, "events", strings.Count(body, "data: event"), events)

	resp, _ = get(t, l, "https://web.example/trailers")
	want(t, "trailer", resp.Trailer.Get("X-Checksum"), "12345")

	noFollow := l.Client(Site)
	noFollow.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := noFollow.Get("https://web.example/redirect?code=307&to=https://elsewhere.example/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want(t, "redirect", fmt.Sprint(resp.StatusCode, resp.Header["Location"]), "307 [https://elsewhere.example/x]")

	_, err = l.Client(Site).Post("https://web.example/a/../b", "text/plain", strings.NewReader("the body"))
	if err != nil {
		t.Fatal(err)
	}
	seen := web.Requests()
	last := seen[len(seen)-1]
	want(t, "what was seen", []string{last.Method, last.Target, last.Host, string(last.Body), last.SNI}, []string{"POST", "/a/../b", "web.example", "the body", "web.example"})
	want(t, "from where", last.Remote.Addr().String(), SiteAddr)
	want(t, "what was offered", web.Hellos()[0].Protocols, []string{"h2", "http/1.1"})
	if web.Connections() == 0 {
		t.Error("no connection was counted")
	}

	web.Handle("/own/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "own") }))
	_, body = get(t, l, "https://web.example/own/x")
	want(t, "a page of the test's own", body, "own")

	// The control: who does not trust the lab's authority gets nothing.
	stranger := l.Client(Site)
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs = nil
	if _, err := stranger.Get("https://web.example/"); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the lab's authority: %v", err)
	}
	for end := time.Now().Add(patience); len(web.Failures()) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if f := web.Failures(); len(f) != 1 || !strings.Contains(f[0], "bad certificate") {
		t.Errorf("failures %q", f)
	}
}

func TestReflect(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{"web.example": {"93.184.216.34"}})
	l.HTTPS("93.184.216.34:443", "web.example")
	for _, query := range []string{"", "?chunk=1", "?gzip=1", "?gzip=1&chunk=1", "?header=X-Key"} {
		req, err := http.NewRequest(http.MethodGet, "https://web.example/reflect-auth"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer the-secret")
		req.Header.Set("X-Key", "Bearer the-secret")
		req.Header.Set("Accept-Encoding", "gzip") // so that the client does not unpack
		resp, err := l.Client(Site).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body := io.Reader(resp.Body)
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil || string(text) != "you sent: Bearer the-secret\n" || resp.Header.Get("X-Reflected") != "Bearer the-secret" {
			t.Errorf("%s: %v: %q, header %q", query, err, text, resp.Header.Get("X-Reflected"))
		}
		if packed := strings.Contains(query, "gzip"); packed != (resp.Header.Get("Content-Encoding") == "gzip") {
			t.Errorf("%s: encoding %q", query, resp.Header.Get("Content-Encoding"))
		}
	}
}

func TestWebSocketAndGRPC(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{"web.example": {"93.184.216.34"}, "rpc.example": {"140.82.112.3"}})
	l.HTTPS("93.184.216.34:443", "web.example")
	rpc := l.GRPC("140.82.112.3:443", "rpc.example")
	l.GRPC("140.82.112.3:80")
	client := netclient(t)
	for _, args := range [][]string{{"ws", "wss://web.example/ws"}, {"grpc", "rpc.example:443"}, {"grpc", "rpc.example:80", "insecure"}} {
		s := try(t, l, client, args...)
		if !s.OK || !strings.Contains(string(s.Detail), "hello") && !strings.Contains(string(s.Detail), "SERVING") {
			t.Errorf("%v: %+v", args, s)
		}
	}
	calls := rpc.Calls()
	if len(calls) != 1 || calls[0].Method != "/grpc.health.v1.Health/Check" {
		t.Errorf("calls %+v", calls)
	}
}

func TestEchoes(t *testing.T) {
	l := New(t)
	tcp, udp, trap := l.TCPEcho("104.16.0.1:5000"), l.UDPEcho("104.16.0.1:5000"), l.TCPEcho("169.254.169.254:80")
	every := l.TCPEcho("0.0.0.0:81")
	client := netclient(t)
	for _, c := range []struct {
		args  []string
		ok    bool
		errno string
	}{
		{[]string{"raw", "104.16.0.1:5000", `one\r\ntwo\x00`}, true, ""},
		{[]string{"udp", "104.16.0.1:5000"}, true, ""},
		{[]string{"tcp", "104.16.0.1:5001"}, false, "ECONNREFUSED"},
		{[]string{"udp", "104.16.0.1:5001"}, false, "ECONNREFUSED"},
		{[]string{"tcp6", "[2001:db8::1]:80"}, false, "ECONNREFUSED"},
		{[]string{"tcp", "192.168.50.10:81"}, true, ""},
		{[]string{"mark", "104.16.0.1:5000"}, true, ""},
		{[]string{"freebind", SiteAddr, "104.16.0.1:5000"}, true, ""},
		{[]string{"icmp", "203.0.113.9"}, true, ""},
		{[]string{"icmp", "2001:db8::9"}, true, ""},
	} {
		s := try(t, l, client, c.args...)
		if s.OK != c.ok || s.Errno != c.errno || s.MS > 1000 {
			t.Errorf("%v: %+v", c.args, s)
		}
	}
	conns := tcp.Conns()
	want(t, "connections", len(conns), 3)
	want(t, "what came", string(conns[0].Bytes), "one\r\ntwo\x00")
	want(t, "what came by datagram", string(udp.Datagrams()[0].Bytes), "hello")
	want(t, "connections to any address", len(every.Conns()), 1)
	want(t, "connections to the trap", len(trap.Conns()), 0)
	if s := try(t, l, client, "tcp", "169.254.169.254:80"); !s.OK || len(trap.Conns()) != 1 {
		t.Errorf("the trap does not work: %+v", s)
	}
}

func TestCut(t *testing.T) {
	l := New(t)
	tcp := l.TCPEcho("104.16.0.1:5000")
	cmd := exec.Command(netclient(t), "hold", "104.16.0.1:5000")
	l.Exec(Site, cmd)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	open := func() bool { c := tcp.Conns(); return len(c) == 1 && c[0].Open && len(c[0].Bytes) > 0 }
	for end := time.Now().Add(patience); !open(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("connections %+v", tcp.Conns())
		}
	}
	tcp.Cut()
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), `"ok":true`) {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestTLS(t *testing.T) {
	l := New(t)
	l.HTTPS("104.16.0.1:443", "cdn.example")
	client := netclient(t)
	for _, c := range []struct {
		args     []string
		verified string
	}{
		{[]string{"tls", "104.16.0.1:443", "cdn.example"}, "yes"},
		{[]string{"tls", "104.16.0.1:443", "other.example"}, "x509: certificate is valid for cdn.example, not other.example"},
		{[]string{"tls-nosni", "104.16.0.1:443"}, "yes"},
	} {
		s := try(t, l, client, c.args...)
		var got struct{ Verified, Protocol string }
		if err := json.Unmarshal(s.Detail, &got); err != nil || !s.OK || got.Verified != c.verified || got.Protocol != "h2" {
			t.Errorf("%v: %v: %+v %s", c.args, err, got, s.Detail)
		}
	}
}

func TestGit(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{"git.example": {"140.82.112.3"}})
	web := l.HTTPS("140.82.112.3:443", "git.example")
	open := l.Git(web, GitOptions{Name: "acme/app.git"})
	closed := l.Git(web, GitOptions{Name: "secret.git", User: "bot", Password: "pw"})
	out, err := run(t, l, "git", "ls-remote", "https://git.example"+open.Path, "refs/heads/main")
	if err != nil || !strings.HasPrefix(out, open.Head) {
		t.Fatalf("%v: %s", err, out)
	}
	work := filepath.Join(l.Dir, "work")
	push := `git clone -q https://git.example` + open.Path + ` ` + work + ` && cd ` + work + ` && test -f README && echo more >> README &&
		git -c user.name=a -c user.email=a@b.invalid commit -qam second && git push -q origin main`
	if out, err := run(t, l, "sh", "-c", push); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if head := open.Git("rev-parse", "main"); head == open.Head {
		t.Error("the push did not arrive")
	}
	if out, err := run(t, l, "git", "ls-remote", "https://git.example"+closed.Path); err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("without a password: %v: %s", err, out)
	}
	if out, err := run(t, l, "git", "ls-remote", "https://bot:pw@git.example"+closed.Path); err != nil || !strings.Contains(out, closed.Head) {
		t.Errorf("with the password: %v: %s", err, out)
	}
}

func TestPostgres(t *testing.T) {
	l := New(t)
	l.DNS.Names(map[string][]string{"db.example": {NetAddr}})
	p := l.Postgres(NetAddr + ":5432")
	want(t, "on the server's side", p.SQL("create table t(a int); insert into t values (7); select a from t"), "CREATE TABLE\nINSERT 0 1\n7")
	psql := filepath.Join(newest("/usr/lib/postgresql/*/bin"), "psql")
	out, err := run(t, l, psql, "--tuples-only", "--no-align", "--command=select a+1 from t", p.URL("db.example"))
	if err != nil || out != "8" {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run(t, l, psql, "--command=select 1", strings.Replace(p.URL("db.example"), p.Password, "wrong", 1)); err == nil || !strings.Contains(out, "password authentication failed") {
		t.Errorf("with a wrong password: %v: %s", err, out)
	}
	if log := p.Log(); !strings.Contains(log, "statement: select a+1 from t") || !strings.Contains(log, "connection received: host="+SiteAddr) {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

func TestOIDC(t *testing.T) {
	l := New(t)
	o := l.OIDC(Site, 9998)
	token, err := o.Token(o.ClientID, o.ClientSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	exchanged, err := o.Token(o.ExchangeID, o.ExchangeSecret, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "scope": {"openid"},
		"subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	})
	if err != nil || exchanged == token {
		t.Errorf("%v: %q for %q", err, exchanged, token)
	}
	if _, err := o.Token(o.ClientID, "wrong", url.Values{"grant_type": {"client_credentials"}}); err == nil || !strings.Contains(err.Error(), "invalid") {
		t.Errorf("with a wrong secret: %v", err)
	}
	s := try(t, l, netclient(t), "get", o.Issuer+".well-known/openid-configuration")
	if !s.OK || !strings.Contains(string(s.Detail), `\"token_endpoint\":\"`+o.TokenURL+`\"`) {
		t.Errorf("from a program in site: %s %s", s.Error, s.Detail)
	}
}

func TestCapture(t *testing.T) {
	l := New(t)
	echo := l.TCPEcho("104.16.0.1:5000")
	c := l.Capture()
	client := netclient(t)
	try(t, l, client, "tcp", "127.0.0.1:1")
	try(t, l, client, "dns", "secret.example", "127.0.0.1")
	want(t, "packets of loopback", c.Packets(), []Packet{})
	try(t, l, client, "raw", echo.Addr.String())
	try(t, l, client, "dns", "visible.example")
	try(t, l, client, "icmp", "2001:db8::9")
	try(t, l, client, "tcp6", "[2001:db8::9]:7")
	type side struct{ proto, dst string }
	sent, came := map[side]bool{}, 0
	named := false
	for _, p := range c.Packets() {
		if !p.Out {
			came++
			continue
		}
		sent[side{p.Proto, p.Dst.String()}] = true
		if a := p.Src.Addr(); a != netip.MustParseAddr(SiteAddr) && a != netip.MustParseAddr(SiteAddr6) {
			t.Errorf("a packet from %v", p.Src)
		}
		named = named || bytes.Contains(p.Head, []byte("\x07visible\x07example"))
	}
	for _, s := range []side{{"tcp", "104.16.0.1:5000"}, {"udp", NetAddr + ":53"}, {"icmp6", "[2001:db8::9]:0"}, {"tcp", "[2001:db8::9]:7"}} {
		if !sent[s] {
			t.Errorf("not seen: %v; only %v", s, sent)
		}
	}
	if came == 0 || !named || c.Total() <= came {
		t.Errorf("%d packets of %d came in, name seen: %v", came, c.Total(), named)
	}
}

// What is started is the program itself: a signal reaches it, and its mounts
// are its own.
func TestExec(t *testing.T) {
	l := New(t)
	cmd := exec.Command("sh", "-c", `echo $$; cat /etc/resolv.conf; exec sleep 60`)
	l.Exec(Site, cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	pid, err := lines.ReadString('\n')
	resolv, errs := lines.ReadString('\n')
	if err := errors.Join(err, errs); err != nil {
		t.Fatal(err)
	}
	want(t, "process id", strings.TrimSpace(pid), fmt.Sprint(cmd.Process.Pid))
	want(t, "resolv.conf", resolv, "nameserver "+NetAddr+"\n")
	cmd.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// host is what the machine has that a lab must not change.
type host struct {
	Links, Addrs string
	Mounts       []string // of the lab's files; its namespaces are not mounted
	Processes    []string // that name the lab's files
	Folders      []string
}

func hostNow(t *testing.T) host {
	t.Helper()
	var h host
	h.Links = output(t, "ip", "-o", "link")
	h.Addrs = output(t, "sh", "-c", "ip -o addr; ip route; ip -6 route")
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, folderPattern()) {
			h.Mounts = append(h.Mounts, line)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		if raw, _ := os.ReadFile(name); bytes.Contains(raw, []byte(folderPattern())) {
			h.Processes = append(h.Processes, string(raw))
		}
	}
	h.Folders, _ = filepath.Glob(filepath.Join(os.TempDir(), folderPattern()+"*"))
	return h
}

func output(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return string(out)
}

func TestLeavesNothing(t *testing.T) {
	testenv.Need(t, "root")
	before := hostNow(t)
	spaces := map[string]*os.File{}
	t.Run("everything", func(t *testing.T) {
		l := New(t)
		web := l.HTTPS("93.184.216.34:443", "web.example")
		l.HTTP("93.184.216.34:80")
		l.TCPEcho("104.16.0.1:5000")
		l.UDPEcho("104.16.0.1:5000")
		l.GRPC("140.82.112.3:443", "rpc.example")
		l.Git(web, GitOptions{Name: "app.git"})
		l.Postgres(NetAddr + ":5432")
		l.OIDC(Net, 9998)
		l.Capture()
		l.DNS.Names(map[string][]string{"web.example": {"93.184.216.34"}})
		get(t, l, "https://web.example/bytes?n=1000")
		for ns, file := range l.spaces {
			spaces[ns] = again(t, file)
		}
		during := hostNow(t)
		want(t, "interfaces, addresses and mounts with a lab", []any{during.Links, during.Addrs, during.Mounts}, []any{before.Links, before.Addrs, before.Mounts})
		if len(during.Processes) == 0 || len(during.Folders) != 1 || len(sockets(t, spaces[Net])) < 8 || len(sockets(t, spaces[Site])) == 0 {
			t.Errorf("the lab is not seen: %v, sockets %v and %v", during, sockets(t, spaces[Net]), sockets(t, spaces[Site]))
		}
	})
	want(t, "the machine before and after", hostNow(t), before)
	for ns, file := range spaces {
		if left := sockets(t, file); len(left) > 0 {
			t.Errorf("sockets in %s: %q", ns, left)
		}
		if left := inhabitants(inode(t, file)); len(left) > 0 {
			t.Errorf("processes in %s: %v", ns, left)
		}
		file.Close()
	}
}

// again opens a namespace once more, to look into it after its lab is gone.
func again(t *testing.T, file *os.File) *os.File {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func inode(t *testing.T, file *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// sockets lists those in a namespace that somebody still holds open, of whatever
// kind: a listener or a capture that was forgotten.
func sockets(t *testing.T, file *os.File) []string {
	t.Helper()
	var found []string
	err := onThread(func() error {
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "packet"} {
			raw, err := os.ReadFile("/proc/thread-self/net/" + table)
			if err != nil {
				return err
			}
			for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
				// Closed connections that the kernel keeps for a while have no inode.
				if fields := strings.Fields(line); i > 0 && !(strings.HasPrefix(table, "tcp") && fields[9] == "0") {
					found = append(found, table+" "+line)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A program that its test forgot is named, and ended.
func TestForgottenProgram(t *testing.T) {
	testenv.Need(t, "root")
	fake := &forgiving{TB: t}
	l := &Lab{t: fake, spaces: map[string]*os.File{}}
	file, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	l.spaces[Site] = file
	cmd := exec.Command("nsenter", "--net="+l.path(Site), "--", "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
		return err == nil && string(raw) == "sleep\x0060\x00"
	}
	for end := time.Now().Add(patience); !started(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the program does not enter its namespace")
		}
	}
	l.evict(Site, inhabitants(inode(t, file)))
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the program ended with %v", err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if len(fake.said) != 1 || !strings.Contains(fake.said[0], "is left in site: sleep 60") {
		t.Errorf("said %q", fake.said)
	}
}

// forgiving keeps the errors that a test expects.
type forgiving struct {
	testing.TB
	said []string
}

func (f *forgiving) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestParsePackets(t *testing.T) {
	v6 := func(next byte, rest ...byte) []byte {
		b := make([]byte, 40, 40+len(rest))
		b[0], b[6], b[39] = 0x60, next, 1
		return append(b, rest...)
	}
	v4 := func(proto byte, rest ...byte) []byte {
		b := make([]byte, 20, 20+len(rest))
		b[0], b[9], b[19] = 0x45, proto, 1
		return append(b, rest...)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string // of protocol and destination; empty for what is passed over
	}{
		{"udp", v4(17, 0, 1, 0, 53), "udp 0.0.0.1:53"},
		{"tcp over IPv6", v6(6, 0, 1, 1, 187), "tcp [::1]:443"},
		{"a cut header", v4(6, 0, 1), "tcp 0.0.0.1:0"},
		{"another protocol", v4(47), "47 0.0.0.1:0"},
		{"ping over IPv6", v6(58, 128), "icmp6 [::1]:0"},
		{"neighbour discovery", v6(58, 135), ""},
		{"membership, behind options", v6(0, 58, 0, 5, 2, 0, 0, 1, 0, 143), ""},
		{"options longer than the packet", v6(0, 6, 200, 0, 0, 0, 0, 0, 0), "tcp [::1]:0"},
		{"a header longer than the packet", append([]byte{0x4f}, v4(17)[1:]...), "udp 0.0.0.1:0"},
		{"nothing", nil, ""},
		{"half a header", v6(6)[:39], ""},
	} {
		got := ""
		if p, ok := parse(c.in); ok {
			got = p.Proto + " " + p.Dst.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
