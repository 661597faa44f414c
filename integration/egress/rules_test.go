package egress

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/lab"
)

// TLS that is carried unread: the name in the handshake must be the host, and must
// be readable.
func TestTLSUnread(t *testing.T) {
	w := newWorld(t)
	web := w.lab.HTTPS(public+":443", "api.example.com", "other.example.com")
	w.lab.TCPEcho(otherPublic + ":443")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "plain.example.com": {otherPublic}})
	w.up("net", trusting+"egress:\n  - {host: api.example.com}\n  - {host: plain.example.com}\n")
	address := w.address("net", "api.example.com")
	w.allowed(w.try("net", "tls", address+":443", "api.example.com"), "the host's own name")
	before := len(web.Hellos())
	w.refused(w.try("net", "tls", address+":443", "other.example.com"), "L1 another name in the handshake")
	w.denied("api.example.com", "egress.sni")
	w.refused(w.try("net", "tls-nosni", address+":443"), "no name in the handshake")
	w.refused(w.try("net", "raw", "plain.example.com:443", `GET / HTTP/1.1\r\n\r\n`), "not TLS at all")
	w.denied("plain.example.com", "egress.protocol")
	if n := len(web.Hellos()); n != before {
		t.Errorf("%d handshakes that were refused reached the host", n-before)
	}
	// L5: what is inside is not read, as docs/egress.md says.
	w.allowed(w.try("net", "get", "https://api.example.com/echo", "Host: other.example.com"), "another Host inside an allowed name")
}

// address asks the stub for a name's address.
func (w *world) address(server, name string) string {
	w.t.Helper()
	a := w.try(server, "dns", name)
	var answer struct{ Answers []string }
	if !a.OK || json.Unmarshal(a.Detail, &answer) != nil || len(answer.Answers) == 0 {
		w.t.Fatalf("%s has no address: %s %s", name, a.Error, a.Detail)
	}
	fields := strings.Fields(answer.Answers[0]) // NAME TTL IN A ADDRESS
	return fields[len(fields)-1]
}

// Requests that are read: method, path and host of each decide, and what decided
// is what arrives.
func TestInspected(t *testing.T) {
	w := newWorld(t)
	web := w.lab.HTTPS(public+":443", "api.example.com")
	plain := w.lab.HTTP(public + ":80")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", `egress:
  - {host: api.example.com, inspect: true, methods: [GET], paths: ["/repos/**", /sse, /bytes, /reflect-auth]}
  - {host: api.example.com, inspect: true, methods: [POST], paths: ["/repos/*/issues"]}
  - {host: api.example.com, port: 80, protocol: http, methods: [GET], paths: ["/repos/**"]}
`)
	curl := func(args string) string { return w.sh("net", "curl -sS --path-as-is -m 5 -w ' [%{http_code}]' "+args) }
	for _, row := range []struct{ name, args, want string }{
		{"an allowed request", "https://api.example.com/repos/x", "[200]"},
		{"over HTTP/1.1", "--http1.1 https://api.example.com/repos/x", "[200]"},
		{"plain http", "http://api.example.com/repos/x", "[200]"},
		{"an allowed method and path", "-X POST -d '{}' https://api.example.com/repos/x/issues", "[200]"},
		{"another path", "https://api.example.com/admin", "[403]"},
		{"another method", "-X DELETE https://api.example.com/repos/x", "[403]"},
		{"the other rule's method", "-X POST -d '{}' https://api.example.com/repos/x", "[403]"},
		{"dots", "https://api.example.com/repos/../admin", "[403]"},
		{"escaped dots", "https://api.example.com/repos/%2e%2e/admin", "[403]"},
		{"an escaped slash", "https://api.example.com/repos/..%2fadmin", "[400]"},
		{"escaped twice", "https://api.example.com/repos/%252e%252e/admin", "[400]"},
		{"dots with parameters", "'https://api.example.com/repos/..;/admin'", "[400]"},
		{"L6 another Host", "-H 'Host: evil.example.com' https://api.example.com/repos/x", "[421]"},
		{"L6 another Host over HTTP/1.1", "--http1.1 -H 'Host: evil.example.com' https://api.example.com/repos/x", "[421]"},
		{"another port in Host", "-H 'Host: api.example.com:8443' https://api.example.com/repos/x", "[421]"},
		{"H11 a whole URL as the target", "--http1.1 --request-target http://evil.example.com/repos/x https://api.example.com/repos/x", "[421]"},
		{"H3 a dot at the end of Host", "-H 'Host: api.example.com.' https://api.example.com/repos/x", "[200]"},
		{"another path, plain", "http://api.example.com/admin", "[403]"},
		{"an upgrade", "--http1.1 -H 'Connection: Upgrade' -H 'Upgrade: h2c' https://api.example.com/repos/x", "[403]"},
		{"CONNECT", "--http1.1 -X CONNECT https://api.example.com/repos/x", "[4"},
	} {
		before := len(web.Requests()) + len(plain.Requests())
		got := curl(row.args)
		if !strings.Contains(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if arrived := len(web.Requests()) + len(plain.Requests()) - before; (row.want == "[200]") != (arrived == 1) {
			t.Errorf("%s: %d requests arrived", row.name, arrived)
		}
		if row.want == "[403]" && !strings.Contains(got, "mcprun refused this request") {
			t.Errorf("%s: the refusal does not say who made it: %s", row.name, got)
		}
	}
	w.denied("api.example.com", "egress.path")
	w.denied("api.example.com", "egress.method")
	w.denied("api.example.com", "egress.authority")
	// What decided is what arrives: one canonical path.
	curl("https://api.example.com/repos/./a/%7Euser//b/../c")
	if got := web.Requests(); got[len(got)-1].Target != "/repos/a/~user/c" {
		t.Errorf("the path that arrives is %s", got[len(got)-1].Target)
	}
	// X4, X2, X5: what two readers would read differently goes nowhere.
	for _, row := range []struct{ name, text string }{
		{"X4 a space before the colon", `GET /repos/x HTTP/1.1\r\nHost: api.example.com\r\nX : y\r\n\r\n`},
		{"X2 an odd transfer encoding", `POST /repos/x/issues HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n`},
		{"two lengths", `GET /repos/x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`},
		{"X5 HTTP/2 in the clear", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`},
		{"no Host", `GET /repos/x HTTP/1.1\r\n\r\n`},
	} {
		before := len(plain.Requests())
		w.try("net", "raw", "api.example.com:80", row.text)
		if n := len(plain.Requests()); n != before {
			t.Errorf("%s: it arrived", row.name)
		}
	}
	// Streams flow: the first event is there long before the last.
	if out := w.sh("net", "timeout 5 curl -sSN https://api.example.com/sse | head -c 20"); !strings.Contains(out, "data") {
		t.Errorf("events: %s", out)
	}
}

// WebSocket only where the rule says so.
func TestWebSocketIsOptIn(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "ws.example.com", "no.example.com")
	w.lab.DNS.Names(map[string][]string{"ws.example.com": {public}, "no.example.com": {public}})
	w.up("net", `egress:
  - {host: ws.example.com, inspect: true, methods: [GET], paths: ["/**"], websocket: true}
  - {host: no.example.com, inspect: true, methods: [GET], paths: ["/**"]}
`)
	w.allowed(w.try("net", "ws", "wss://ws.example.com/ws"), "a WebSocket that is allowed")
	w.refused(w.try("net", "ws", "wss://no.example.com/ws"), "L10 a WebSocket that is not")
	w.denied("no.example.com", "egress.websocket")
}

// Names that lead to addresses which no rule opens are refused when they are
// dialled, and no packet goes there.
func TestAddresses(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "mixed.example.com")
	traps := []*lab.TCP{}
	for _, a := range []string{metadata + ":443", private + ":443", "100.64.1.1:443", "100.100.100.200:443", "10.77.0.1:443"} {
		traps = append(traps, w.lab.TCPEcho(a))
	}
	inside := w.lab.TCPEcho("192.168.50.11:5432")
	names := map[string][]string{
		"meta.example.com": {metadata}, "private.example.com": {private}, "nat.example.com": {"100.64.1.1"}, "loop.example.com": {"127.0.0.1"},
		"alibaba.example.com": {"100.100.100.200"}, "zero.example.com": {"0.0.0.0"}, "mapped.example.com": {"::ffff:127.0.0.1"}, "nat64.example.com": {"64:ff9b::a9fe:a9fe"},
		"own.example.com": {lab.SiteAddr}, "multicast.example.com": {"224.0.0.1"}, "mixed.example.com": {private, public}, "db.internal.example.com": {"192.168.50.11"},
	}
	w.lab.DNS.Names(names)
	var rules strings.Builder
	for _, n := range slices.Sorted(func(yield func(string) bool) {
		for n := range names {
			if !yield(n) {
				return
			}
		}
	}) {
		if n != "db.internal.example.com" {
			fmt.Fprintf(&rules, "  - {host: %s}\n", n)
		}
	}
	w.up("net", trusting+"egress:\n"+rules.String()+"  - {host: db.internal.example.com, port: 5432, protocol: tcp, private: true}\n")
	watch := w.lab.Capture()
	for name, rule := range map[string]string{
		"meta.example.com": "egress.metadata", "private.example.com": "egress.private", "nat.example.com": "egress.private", "loop.example.com": "egress.loopback",
		"alibaba.example.com": "egress.metadata", "zero.example.com": "egress.address", "mapped.example.com": "egress.loopback", "nat64.example.com": "egress.address",
		"own.example.com": "egress.own", "multicast.example.com": "egress.address",
	} {
		w.refused(w.try("net", "get", "https://"+name+"/"), name)
		w.denied(name, rule)
	}
	// D9: of a mixed answer what is private is left out, and the rest is used.
	w.allowed(w.try("net", "get", "https://mixed.example.com/echo"), "D9 a mixed answer")
	w.allowed(w.try("net", "raw", "db.internal.example.com:5432", "hello"), "a private host that a rule opens")
	w.nothingElse(watch, public, "192.168.50.11")
	for _, trap := range traps {
		if len(trap.Conns()) > 0 {
			t.Errorf("%s was reached", trap.Addr)
		}
	}
	if len(inside.Conns()) != 1 {
		t.Errorf("%d connections to the private host, want 1", len(inside.Conns()))
	}
}

// A rule for a tool holds while that tool is called, and not longer.
func TestOnlyWhileTheToolIsCalled(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", trusting+"egress:\n  - {host: api.example.com, tools: [run_command]}\n")
	w.allowed(w.try("net", "get", "https://api.example.com/echo"), "while the tool is called")
	w.sh("net", "(for i in $(seq 100); do curl -sS -m 1 https://api.example.com/echo >/dev/null && echo ok || echo no; sleep 0.02; done >/tmp/later 2>&1 &)")
	time.Sleep(time.Second) // no call is in flight
	out := w.sh("net", "sleep 1; sort /tmp/later | uniq -c")
	if !strings.Contains(out, "no") {
		t.Errorf("between the calls the host could be reached: %s", out)
	}
	found := false
	for _, r := range w.egress() {
		found = found || r.Rule == "egress.tool"
	}
	if !found {
		t.Errorf("no refusal for the tool: %s", w.summary())
	}
}

// Limits of a rule bite in mid-stream, and say so.
func TestRuleLimits(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "bytes.example.com", "rate.example.com")
	w.lab.DNS.Names(map[string][]string{"bytes.example.com": {public}, "rate.example.com": {public}})
	w.up("net", trusting+`egress:
  - {host: bytes.example.com, limits: {bytes: 8MiB}}
  - {host: rate.example.com, limits: {rate: 3/min}}
`)
	out := w.sh("net", "curl -sS -m 20 -o /dev/null -w 'size=%{size_download} ' 'https://bytes.example.com/bytes?n=100000000'")
	// What was on its way when the connection was cut is lost.
	size := out[strings.LastIndex(out, "size=")+len("size="):]
	if n, _ := strconv.ParseInt(strings.SplitN(size, " ", 2)[0], 10, 64); n < 1<<20 || n > 8<<20 {
		t.Errorf("B2: %d bytes came through a budget of 8 MiB: %s", n, out)
	}
	for i := range 5 {
		a := w.try("net", "get", "https://rate.example.com/echo")
		if a.OK != (i < 3) {
			t.Errorf("connection %d: allowed %v, want the first three", i+1, a.OK)
		}
	}
	w.denied("rate.example.com", "egress.limit")
}

// The record has each connection with its open and its close, and mcprun egress
// sums them up.
func TestWhatIsSeen(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", trusting+"egress:\n  - {host: api.example.com}\n  - {host: idle.example.com}\n")
	w.allowed(w.try("net", "get", "https://api.example.com/echo"), "control")
	w.try("net", "get", "https://evil.example.org/")
	var opened, closed record
	for _, r := range w.egress() {
		switch r.Outcome {
		case "open":
			opened = r
		case "closed":
			closed = r
		}
	}
	if opened.Detail["host"] != "api.example.com" || opened.Detail["address"] != public+":443" || opened.Verdict != "allow" || !strings.Contains(opened.Detail["calls"], "run_command") {
		t.Errorf("the record of the open: %+v", opened)
	}
	if closed.Detail["sent"] == "" || closed.Detail["sent"] == "0" || closed.Detail["received"] == "0" {
		t.Errorf("the record of the close: %+v", closed)
	}
	var out struct {
		Rules        []string
		Destinations []struct {
			Host, Reason, Add string
			Port              int
			Allowed           bool
			Sent, Received    int64
		}
	}
	if err := json.Unmarshal([]byte(w.d.Must("egress", "net", "--json")), &out); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range out.Destinations {
		seen[fmt.Sprintf("%s:%d %v %s", d.Host, d.Port, d.Allowed, d.Reason)] = true
		if d.Allowed && (d.Sent == 0 || d.Received == 0) {
			t.Errorf("no bytes are counted: %+v", d)
		}
		if d.Host == "evil.example.org" && !strings.Contains(d.Add, "{host: evil.example.org, port: 443}") {
			t.Errorf("the lines to add: %q", d.Add)
		}
	}
	if !seen["api.example.com:443 true "] || !seen["evil.example.org:0 false host"] {
		t.Errorf("destinations: %v", seen)
	}
	t.Run("tighten", func(t *testing.T) { tightens(t, w) })
}

// tightens holds what is proposed to what the server has done: while it runs, and once
// only the record knows of it.
func tightens(t *testing.T, w *world) {
	before, err := os.ReadFile(filepath.Join(w.d.Dir, "net.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"running", "stopped"} {
		said := w.d.Must("profile", "tighten", "net")
		for _, want := range []string{"1 start, ", "can change: pids: 256: at most ", "can go: egress to idle.example.com:443: never connected to\n-   - {host: idle.example.com}\n", "those that profile node allows are not in the record. To see which it makes: mcprun learn"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: no %q in\n%s", when, want, said)
			}
		}
		for _, not := range []string{"api.example.com", "run_command"} { // the control: they were used
			if strings.Contains(said, not) {
				t.Errorf("%s: %q is in\n%s", when, not, said)
			}
		}
		if when == "running" {
			w.d.Must("stop", "net")
		}
	}
	if after, err := os.ReadFile(filepath.Join(w.d.Dir, "net.yaml")); err != nil || string(after) != string(before) {
		t.Errorf("server.yaml was changed: %v", err)
	}
}
