package egress

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/lab"
	"github.com/mcprun/mcprun/netpolicy/dns"
)

// outside runs the client program on the host's side as root, in site or, with
// words before it, wherever these lead: the control beside what is refused inside.
func (w *world) outside(client string, before []string, args ...string) attempt {
	w.t.Helper()
	argv := slices.Concat(before, []string{client}, args)
	if before == nil {
		argv = w.lab.Wrap(lab.Site, argv)
	}
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	var a attempt
	if err != nil || json.Unmarshal(out, &a) != nil {
		w.t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return a
}

// client builds the client program for the host's side, where every user may run it.
func (w *world) client() string {
	w.t.Helper()
	path := filepath.Join(w.lab.Dir, "netclient")
	cmd := exec.Command("go", "build", "-o", path, "../netclient")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return path
}

// T10, T11, T16, T18, T20: nothing in a container goes round its network, and not
// even a root with every capability of the container's user namespace can rebuild
// it. Each attempt works elsewhere, so it is not the attempt that is broken.
func TestNetworkCannotBeRebuilt(t *testing.T) {
	w := newWorld(t)
	client := w.client()
	echo, trap := w.lab.TCPEcho(public+":9000"), w.lab.TCPEcho("0.0.0.0:8443")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "evil.example.org": {otherPublic}})
	w.up("net", "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n")
	watch := w.lab.Capture()
	refused := func(a attempt, what string) {
		t.Helper()
		w.refused(a, what)
		if !a.OK && a.Errno != "EPERM" {
			t.Errorf("%s: refused with %s (%s), want EPERM", what, a.Errno, a.Error)
		}
	}
	refused(w.try("net", "icmp", otherPublic), "T10 ICMP")
	refused(w.try("net", "packet"), "T11 every packet of lo")
	refused(w.try("net", "mark", otherPublic+":8443"), "T18 SO_MARK")
	// A source address of one's own choice needs no right, and changes nothing: the
	// connection is judged, and what leaves comes from the daemon.
	w.refused(w.try("net", "freebind", "1.2.3.4", otherPublic+":8443"), "T20 another source")
	w.denied(otherPublic, "egress.literal")
	w.allowed(w.try("net", "freebind", "1.2.3.4", w.address("net", "api.example.com")+":9000"), "T20 another source, allowed host")
	if c := echo.Conns(); len(c) != 1 || c[0].Remote.Addr().String() != lab.SiteAddr {
		t.Errorf("what arrives with another source: %+v", c)
	}
	var of struct{ PID int }
	if err := json.Unmarshal([]byte(w.d.Must("inspect", "net", "--json")), &of); err != nil || of.PID == 0 {
		t.Fatalf("the container's process: %d, %v", of.PID, err)
	}
	root := []string{"nsenter", "--user", "--net", "--target", strconv.Itoa(of.PID), "--"}
	elsewhere := []string{"unshare", "--net", "--", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}
	for _, what := range []string{"routes", "nft", "veth", "namespace"} {
		refused(w.try("net", "change", what), "T16 "+what)
		if what != "namespace" { // a new one is empty, and leads nowhere
			refused(w.outside(client, root, "change", what), "T16 "+what+" as root of the user namespace")
		}
		w.allowed(w.outside(client, elsewhere, "change", what), "control: "+what+" elsewhere")
	}
	// After all that everything is as before.
	w.allowed(w.try("net", "raw", "api.example.com:9000"), "the allowed host, after the attempts")
	w.refused(w.try("net", "raw", "evil.example.org:8443"), "another host, after the attempts")
	w.denied("evil.example.org", "egress.host")
	w.nothingElse(watch, public)
	seen := func(proto string) bool {
		return slices.ContainsFunc(watch.Packets(), func(p lab.Packet) bool { return p.Out && p.Proto == proto })
	}
	if seen("icmp") || !seen("tcp") || len(trap.Conns()) > 0 {
		t.Errorf("on the cable: icmp %v, tcp %v; %d connections to the trap", seen("icmp"), seen("tcp"), len(trap.Conns()))
	}
	w.allowed(w.outside(client, nil, "icmp", lab.NetAddr), "control: ICMP outside")
	w.allowed(w.outside(client, nil, "packet"), "control: every packet, outside")
	w.allowed(w.outside(client, nil, "mark", otherPublic+":8443"), "control: SO_MARK outside")
	if !seen("icmp") || len(trap.Conns()) != 1 {
		t.Errorf("control: icmp %v on the cable, %d connections to the trap", seen("icmp"), len(trap.Conns()))
	}
}

// T23: what one server listens on, and the way out that it has, is out of reach for
// another one.
func TestServersAreApart(t *testing.T) {
	w := newWorld(t)
	w.lab.TCPEcho(public + ":9000")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("one", "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n")
	w.up("two", "")
	w.sh("one", `python3 -c '
import socket, threading
def serve(s):
    while True: s.accept()[0].sendall(b"one")
tcp4, tcp6 = socket.create_server(("0.0.0.0", 7000)), socket.create_server(("::1", 7001), family=socket.AF_INET6)
path, name = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
path.bind("/tmp/one.sock"); name.bind("\0one")
for s in tcp4, tcp6, path, name: s.listen(); threading.Thread(target=serve, args=(s,)).start()
open("/tmp/ready", "w")
' >/dev/null 2>&1 & timeout 10 sh -c 'until [ -e /tmp/ready ]; do sleep 0.02; done'`)
	unixSocket := func(server string) string {
		return w.sh(server, `python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect("/tmp/one.sock"); print(s.recv(3))' 2>&1 | tail -1`)
	}
	way := w.address("one", "api.example.com") // leads to api.example.com, in the first one's network
	reach := [][]string{{"tcp", "127.0.0.1:7000"}, {"tcp", "[::1]:7001"}, {"abstract", "one"}, {"tcp", way + ":9000"}}
	for i, a := range w.tries("one", reach...) {
		w.allowed(a, "the first reaches itself: "+reach[i][1])
	}
	for i, a := range w.tries("two", reach...) {
		w.refused(a, "the second reaches the first: "+reach[i][1])
	}
	w.denied(way, "egress.literal")
	if own, other := unixSocket("one"), unixSocket("two"); !strings.Contains(own, "one") || !strings.Contains(other, "FileNotFoundError") {
		t.Errorf("the socket in /tmp: itself %s, another one %s", own, other)
	}
	// The daemon's listener in the second one's own network judges by its own rules.
	w.refused(w.try("two", "raw", "127.0.0.1:1", `CONNECT api.example.com:9000 HTTP/1.1\r\nHost: api.example.com:9000\r\n\r\n`), "the daemon's listener as a proxy")
	w.denied("127.0.0.1", "egress.loopback")
	w.refused(w.try("two", "raw", "api.example.com:9000"), "the first one's host")
	w.denied("api.example.com", "egress.host")
}

// T26: the rules of a running server are those that it was started with, whatever
// becomes of its file.
func TestRunningPolicyStays(t *testing.T) {
	w := newWorld(t)
	w.lab.TCPEcho("0.0.0.0:9000")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "later.example.com": {otherPublic}})
	w.up("net", "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n")
	raw, err := os.ReadFile(filepath.Join(w.d.Dir, "net.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, old, new string
		code           int
		says           string
	}{
		{"broken", "host: api.example.com", `host: "*"`, 2, "name the hosts that are needed"},
		{"not YAML", "egress:", "egress: [", 2, "net.yaml:"},
		{"without rules", "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n", "", 1, "it is running"},
		{"with another rule", "egress:", "egress:\n  - {host: later.example.com, port: 9000, protocol: tcp}", 1, "it is running"},
		{"with another limit", "pids: 256", "pids: 200", 1, "it is running"},
	} {
		w.d.Write("net.yaml", strings.Replace(string(raw), row.old, row.new, 1))
		if _, errs, code := w.d.Run("start", "net.yaml"); code != row.code || !strings.Contains(errs, row.says) {
			t.Errorf("a start with a file %s: code %d, %s", row.name, code, errs)
		}
		got := w.tries("net", []string{"raw", "api.example.com:9000"}, []string{"raw", "later.example.com:9000"})
		w.allowed(got[0], "the old rule, with a file "+row.name)
		w.refused(got[1], "a new rule, with a file "+row.name)
	}
	w.denied("later.example.com", "egress.host")
	// The control: a start takes the file as it is then.
	w.d.Must("stop", "net")
	w.d.Write("net.yaml", strings.Replace(string(raw), "api.example.com", "later.example.com", 1))
	w.d.Must("lock", "net.yaml")
	w.d.Must("start", "net.yaml")
	got := w.tries("net", []string{"raw", "api.example.com:9000"}, []string{"raw", "later.example.com:9000"})
	w.refused(got[0], "the old rule after a new start")
	w.allowed(got[1], "the new rule after a new start")
}

// T28: the listeners stand before the first program runs, so a server whose first
// act is a connection has it judged like any other.
func TestFirstActIsJudged(t *testing.T) {
	w := newWorld(t)
	echo, trap := w.lab.TCPEcho(public+":9000"), w.lab.TCPEcho(otherPublic+":9000")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", `command: [/bin/sh, -c, "/app/netclient raw api.example.com:9000 >/tmp/first; /app/netclient tcp `+otherPublic+`:9000 >>/tmp/first; exec node /app/node_modules/mcp-server-commands/build/index.js"]
egress:
  - {host: api.example.com, port: 9000, protocol: tcp}
`)
	const starts = 5
	for i := range starts {
		if i > 0 {
			w.d.Must("stop", "net")
			w.d.Must("start", "net.yaml")
		}
		var first, second attempt
		lines := strings.Split(w.sh("net", "cat /tmp/first"), "\n")
		if len(lines) < 2 || json.Unmarshal([]byte(lines[0]), &first) != nil || json.Unmarshal([]byte(lines[1]), &second) != nil {
			t.Fatalf("start %d: %q", i+1, lines)
		}
		w.allowed(first, "the allowed host as the first act")
		w.refused(second, "another host as the first act")
	}
	// None is of the lock, for which the server ran without any network.
	if len(echo.Conns()) != starts || len(trap.Conns()) > 0 {
		t.Errorf("%d connections arrived, %d in the trap", len(echo.Conns()), len(trap.Conns()))
	}
	if n := strings.Count(fmt.Sprint(w.egress()), otherPublic); n < starts {
		t.Errorf("%d records of the refusals: %s", n, w.summary())
	}
}

// H1, H5, H6, H8, H10, H13, H16: a host has one spelling. What some programs read
// as the allowed host and some as another is no host at all, as a name that is
// asked for, in a request and in a handshake.
func TestSpellingsOfHosts(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com")
	plain, echo := w.lab.HTTP(public+":80"), w.lab.TCPEcho(public+":9000")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "xn--bcher-kva.example.com": {public}, "a.b.wild.example.com": {public}, "wild.example.com": {public}, "notwild.example.com": {public}, "evil.example.org": {otherPublic}})
	w.up("net", trusting+`egress:
  - {host: api.example.com}
  - {host: api.example.com, port: 80, protocol: http, methods: [GET], paths: ["/**"]}
  - {host: api.example.com, port: 9000, protocol: tcp}
  - {host: "*.wild.example.com", port: 9000, protocol: tcp}
  - {host: xn--bcher-kva.example.com, port: 9000, protocol: tcp}
`)
	watch := w.lab.Capture()
	address := w.address("net", "api.example.com")
	// Each host as a question, as the Host of a request and as the name in a handshake.
	three := func(host string) [][]string {
		quoted := strconv.QuoteToASCII(host)
		quoted = quoted[1 : len(quoted)-1]
		return [][]string{{"dns", dnsText(host)}, {"raw", "api.example.com:80", `GET /x HTTP/1.1\r\nHost: ` + quoted + `\r\nConnection: close\r\n\r\n`}, {"tls", address + ":443", quoted}}
	}
	got := w.tries("net", three("aPi.example.com")...)
	for _, a := range got {
		w.allowed(a, "control: the host, in capitals")
	}
	if len(plain.Requests()) != 1 {
		t.Fatalf("control: %d requests arrived: %s", len(plain.Requests()), got[1].Detail)
	}
	for _, row := range []struct{ name, host string }{
		{"H1 NUL before the allowed host", "evil.example.org\x00.api.example.com"},
		{"H1 NUL after it", "api.example.com\x00.evil.example.org"},
		{"H5 an ideographic full stop", "api\u3002example.com"},
		{"H5 a full-width dot", "api\uff0eexample.com"},
		{"H5 full-width letters", "\uff41pi.example.com"},
		{"H5 zero width", "api\u200b.example.com"},
		{"H5 a soft hyphen", "a\u00adpi.example.com"},
		{"H6 the allowed address as one number", "1572395042"},
		{"H6 in hex", "0x5db8d822"},
		{"H6 in octal", "0135.0270.0330.042"},
		{"H6 short", "93.12113954"},
		{"H8 user info", "api.example.com@evil.example.org"},
		{"H8 user info, the other way round", "evil.example.org@api.example.com"},
		{"H16 a zone", "[fe80::1%eth0]"},
	} {
		got := w.tries("net", three(row.host)...)
		if got[0].OK || !strings.Contains(string(got[0].Detail), "NXDOMAIN") {
			t.Errorf("%s: a name that exists: %s %s", row.name, got[0].Error, got[0].Detail)
		}
		w.denied(dnsText(row.host), "egress.name")
		if answer := string(got[1].Detail); !strings.Contains(answer, "HTTP/1.1 421") && !strings.Contains(answer, "HTTP/1.1 400") {
			t.Errorf("%s: the request is answered with %s", row.name, answer)
		}
		w.refused(got[2], row.name+" in a handshake")
	}
	// H5: a name has two forms and is one; a letter of another alphabet makes another.
	got = w.tries("net", []string{"raw", "xn--bcher-kva.example.com:9000"}, []string{"raw", "xn--pi-6kc.example.com:9000"})
	w.allowed(got[0], "H5 the ASCII form of an allowed name")
	w.refused(got[1], "H5 the allowed name with a Cyrillic letter")
	w.denied("xn--pi-6kc.example.com", "egress.host")
	// H10: what is connected to and what a request says must be the same.
	for _, request := range []string{`CONNECT evil.example.org:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n`, `CONNECT api.example.com:80 HTTP/1.1\r\nHost: evil.example.org\r\n\r\n`, `CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n`} {
		if a := w.try("net", "raw", "api.example.com:80", request); !strings.Contains(string(a.Detail), "HTTP/1.1 4") {
			t.Errorf("H10 %s: %s", request, a.Detail)
		}
	}
	w.denied("api.example.com", "egress.authority")
	w.denied("api.example.com", "egress.sni")
	if n := len(plain.Requests()); n != 1 {
		t.Errorf("%d requests arrived, want that of the control", n)
	}
	// H6: programs that read numbers as addresses dial them, and are judged by them.
	for _, host := range []string{"2852039166", "0xa9.0xfea9fe", "0251.0376.0251.0376", "169.254.43518"} {
		if out := w.sh("net", "curl -sS -m 3 http://"+host+"/; sleep 0.1"); !strings.Contains(out, "curl: (") {
			t.Errorf("H6 %s: %s", host, out)
		}
	}
	w.denied(metadata, "egress.metadata")
	w.sh("net", "curl -sS -m 3 http://127.1:1/; curl -sS -m 3 -g 'http://[fe80::1%25lo]/'; sleep 0.1")
	w.denied("127.0.0.1", "egress.loopback")
	w.denied("fe80::1", "egress.address")
	// H8: curl takes what is behind the @.
	w.sh("net", "curl -sS -m 3 https://api.example.com@evil.example.org/; sleep 0.1")
	w.denied("evil.example.org", "egress.host")
	// H13: a wildcard is what is below it.
	got = w.tries("net", []string{"raw", "a.b.wild.example.com:9000"}, []string{"raw", "wild.example.com:9000"}, []string{"raw", "notwild.example.com:9000"})
	w.allowed(got[0], "H13 below the wildcard")
	w.refused(got[1], "H13 the wildcard's own name")
	w.refused(got[2], "H13 a name that ends like it")
	w.denied("wild.example.com", "egress.host")
	w.denied("notwild.example.com", "egress.host")
	if len(echo.Conns()) != 2 {
		t.Errorf("%d connections arrived, want those of the two controls", len(echo.Conns()))
	}
	// D14: what capitals say ends here.
	w.allowed(w.try("net", "raw", "A.B.wILD.eXaMPLE.cOM:9000"), "D14 capitals")
	for _, q := range w.lab.DNS.Queries() {
		name, _, _ := strings.Cut(q, " ")
		if name != strings.ToLower(name) {
			t.Errorf("D14 capitals are asked upstream: %s", q)
		}
	}
	w.nothingElse(watch, public)
}

// dnsText is a host as the client program takes it and the record shows it: with
// the escapes of zone files.
func dnsText(host string) string {
	var out strings.Builder
	for _, b := range []byte(host) {
		switch {
		case b < ' ' || b > '~':
			fmt.Fprintf(&out, `\%03d`, b)
		case b == '@':
			out.WriteString(`\@`)
		default:
			out.WriteByte(b)
		}
	}
	return out.String()
}

// H15, H16, T25: a rule that says less, or more, than it seems to is refused before
// anything starts, with its key.
func TestRulesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ name, rule, says string }{
		{"control: a host, and port 443 by default", "{host: api.example.com}", ""},
		{"control: all names below one", `{host: "*.example.com"}`, ""},
		{"H15 the end is open", `{host: "example.*"}`, "egress[0].host"},
		{"H15 inside a label", `{host: "api-*.example.com"}`, "egress[0].host"},
		{"H15 in the middle", `{host: "api.*.example.com"}`, "egress[0].host"},
		{"H15 two stars", `{host: "*.*.example.com"}`, "egress[0].host"},
		{"H15 every host", `{host: "*"}`, "egress[0].host"},
		{"H15 a public suffix", `{host: "*.com"}`, "egress[0].host"},
		{"H15 a suffix where anyone can have a name", `{host: "*.github.io"}`, "egress[0].host"},
		{"H16 a zone", `{host: "fe80::1%eth0"}`, "egress[0].host"},
		{"H6 a number", `{host: "2130706433"}`, "egress[0].host"},
		{"H8 user info", `{host: "user@api.example.com"}`, "egress[0].host"},
		{"H1 NUL", `{host: "evil.example.org\u0000.api.example.com"}`, "egress[0].host"},
		{"T25 only a port", "{port: 443}", "egress[0].host"},
		{"T25 an empty host", `{host: ""}`, "egress[0].host"},
		{"T25 port 0", "{host: api.example.com, port: 0}", "egress[0].port"},
		{"T25 tcp to a name, with paths", `{host: api.example.com, port: 9000, protocol: tcp, methods: [GET], paths: ["/**"]}`, "egress[0].methods"},
		{"T25 inspect without paths", "{host: api.example.com, inspect: true, methods: [GET]}", "egress[0].paths"},
		{"T25 no methods", `{host: api.example.com, inspect: true, methods: [], paths: ["/**"]}`, "egress[0].methods"},
		{"loopback", "{host: localhost, port: 80, protocol: tcp}", "egress[0].host"},
		{"metadata", "{host: 169.254.169.254, port: 80, protocol: tcp, private: true}", "egress[0].host"},
	} {
		w.d.Write("rule.yaml", "version: 1\nname: rule\nimage: "+imagePath("net")+"\negress:\n  - "+row.rule+"\n")
		out, errs, code := w.d.Run("check", "rule.yaml")
		if row.says == "" && code != 0 || row.says != "" && (code != 2 || !strings.Contains(errs, row.says)) {
			t.Errorf("%s: code %d, %s%s", row.name, code, out, errs)
		}
	}
}

// D13, D16, B5: the stub answers what it is for, whatever else it is sent, and
// what is asked of it reaches nobody.
func TestNameStub(t *testing.T) {
	w := newWorld(t)
	echo := w.lab.TCPEcho(public + ":9000")
	long := strings.Repeat("x", 50) + "." + strings.Repeat("y", 49) // as much as a wildcard stands for
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, long + ".wild.example.com": {public}})
	const rules = "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n  - {host: \"*.wild.example.com\", port: 9000, protocol: tcp}\n"
	w.up("net", rules)
	works := func(server, after string) {
		t.Helper()
		before := len(echo.Conns())
		w.allowed(w.try(server, "raw", "api.example.com:9000"), "the allowed host after "+after)
		if len(echo.Conns()) != before+1 {
			t.Errorf("after %s the allowed host is not reached", after)
		}
	}
	// D13: the labels below a wildcard are few, and a name that is only asked for
	// tells nobody anything.
	got := w.tries("net", []string{"dns", long + ".wild.example.com"}, []string{"dns", "x" + long + ".wild.example.com"})
	w.allowed(got[0], "D13 a long name below the wildcard")
	w.refused(got[1], "D13 a longer one")
	w.denied("x"+long+".wild.example.com", "egress.host")
	if q := w.lab.DNS.Queries(); len(q) > 0 {
		t.Errorf("D13 names that were only asked for are asked upstream: %q", q)
	}
	w.allowed(w.try("net", "raw", long+".wild.example.com:9000"), "D13 a connection")
	if !w.lab.DNS.Asked(long + ".wild.example.com") {
		t.Error("control: the name of a connection is not asked upstream")
	}
	// D16: the header of a question is id, flags, and four counts.
	const head, question = "0007 0100 0001 0000 0000 0000 ", "03617069 076578616d706c65 03636f6d 00 0001 0001"
	for _, row := range []struct{ name, packet, answer string }{
		{"control", head + question, "000781800001000100000000"},
		{"less than a header", "0007 0100 00", "nothing"},
		{"an answer instead of a question", "0007 8180 0001 0000 0000 0000 " + question, "nothing"},
		{"two questions", "0007 0100 0002 0000 0000 0000 " + question + question, "code 1"},
		{"no question", "0007 0100 0000 0000 0000 0000", "code 1"},
		{"a count and no question", head, "code 5"},
		{"a name that ends in the middle", head + "3f6162", "code 1"},
		{"a name that points to itself", head + "c00c 0001 0001", "code 1"},
		{"an update", "0007 2900 0001 0000 0000 0000 " + question, "code 4"},
		{"another class", head + "03617069 076578616d706c65 03636f6d 00 0001 0003", "code 5"},
	} {
		out := w.sh("net", `python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5); s.connect(("198.18.0.1", 53))
s.send(bytes.fromhex("`+row.packet+`"))
try:
    b = s.recv(512); print(b[:12].hex(), "code", b[3] & 15)
except TimeoutError: print("nothing")'`)
		if !strings.Contains(out, row.answer) {
			t.Errorf("D16 %s: %s, want %s", row.name, out, row.answer)
		}
	}
	works("net", "malformed questions")
	// B5: a flood of names is answered or dropped, not kept and not written down.
	before, begun := len(w.egress()), time.Now()
	w.sh("net", `python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("198.18.0.1", 53))
name = lambda text: b"".join(bytes([len(l)]) + l.encode() for l in text.split(".")) + b"\0\0\1\0\1"
for i in range(2000):
    for below in "wild.example.com", "evil.example.org":
        s.send(bytes.fromhex("000701000001000000000000") + name(f"n{i}." + below))'`)
	works("net", "a flood")
	const burst, aSecond = 100, 10 // as netpolicy/egress bounds its records
	most := burst + aSecond*int(time.Since(begun)/time.Second+1)
	if n := len(w.egress()) - before - 2; n < burst/2 || n > most { // without the two of what works
		t.Errorf("B5 %d records of a flood of 2000 forbidden names, want at most %d", n, most)
	}
	// B5: with all addresses in use but one, the names that have one keep it.
	w.d.Write("full.names", fullTable("api.example.com"))
	if err := os.Rename(filepath.Join(w.d.Dir, "full.names"), filepath.Join(w.d.Dirs.Names(), "full")); err != nil {
		t.Fatal(err)
	}
	w.up("full", rules)
	got = w.tries("full", []string{"dns", "last.wild.example.com"}, []string{"dns", "more.wild.example.com"})
	w.allowed(got[0], "B5 the last address")
	w.refused(got[1], "B5 one more")
	w.denied("more.wild.example.com", "egress.limit")
	works("full", "the last address")
}

// fullTable is a table of names in which one address is left.
func fullTable(first string) string {
	var table strings.Builder
	for i := range dns.MaxNames - 1 {
		name := first
		if i > 0 {
			name = fmt.Sprintf("n%d.wild.example.com", i)
		}
		const before = 16 // addresses with a meaning of their own
		fmt.Fprintf(&table, "198.%d.%d.%d %s\n", 18+(i+before)>>16, (i+before)>>8&255, (i+before)&255, name)
	}
	return table.String()
}

// T8, X7, X9, X10, C8: what is written into a request changes nothing but whether
// that request is allowed.
func TestRequestsStayInTheirRule(t *testing.T) {
	w := newWorld(t, "READ_SECRET="+readSecret)
	web, plain := w.lab.HTTPS(public+":443", "api.example.com", "dns.example.com"), w.lab.HTTP(public+":80")
	trap := w.lab.TCPEcho("0.0.0.0:3128")
	web.Handle("/packed", http.HandlerFunc(packedPage))
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "dns.example.com": {public}, "evil.example.org": {otherPublic}})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(fileSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	w.up("net", `egress:
  - {host: api.example.com, inspect: true, methods: [GET, POST], paths: [/echo, /packed]}
  - {host: api.example.com, port: 80, protocol: http, methods: [GET], paths: [/echo]}
  - {host: dns.example.com, inspect: true, methods: [GET, POST], paths: [/resolve]}
credentials:
  reader: {source: "env:READ_SECRET", host: api.example.com, place: {header: Authorization, format: "Bearer {}"}, expose: {env: READ_TOKEN}}
  brief: {source: "file:`+secret+`", lifetime: 1s, host: api.example.com, place: {header: X-Api-Key, format: "{}"}, expose: {env: BRIEF_TOKEN}}
`)
	watch := w.lab.Capture()
	curl := func(args string) string { return w.sh("net", "curl -sS -m 5 -w ' [%{http_code}]' "+args) }
	arrived := func() int { return len(web.Requests()) + len(plain.Requests()) }
	is := func(name, args, want string, requests int) string {
		t.Helper()
		before := arrived()
		out := curl(args)
		if n := arrived() - before; !strings.Contains(out, want) || n != requests {
			t.Errorf("%s: %s, want %s; %d requests arrived, want %d", name, out, want, n, requests)
		}
		return out
	}
	// T8: a resolver that is allowed for something else answers no questions.
	is("control: the resolver's own path", "https://dns.example.com/resolve", "[200]", 1)
	is("T8 a question in the query", "'https://dns.example.com/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB'", "[403]", 0)
	is("T8 a question in the body", "-X POST -H 'Content-Type: application/dns-message' --data-binary x https://dns.example.com/dns-query", "[403]", 0)
	w.denied("dns.example.com", "egress.path")
	// X7: nothing here is a proxy that takes orders.
	is("control: without a proxy", "http://api.example.com/echo", "[200]", 1)
	for _, row := range []struct{ name, args, want string }{
		{"a whole URL to an allowed port", "-x http://api.example.com:80 http://evil.example.org/echo", "[421]"},
		{"a whole URL of the host itself", "-x http://api.example.com:80 http://api.example.com/echo", "[421]"},
		{"CONNECT to an allowed port", "-x http://api.example.com:80 https://evil.example.org/", "response 421"},
		{"a whole URL inside TLS", "-x https://api.example.com:443 --proxy-insecure http://evil.example.org/echo", "[421]"},
		{"the daemon's listener", "-x http://127.0.0.1:1 https://api.example.com/echo", "curl: ("},
		{"another port of the stub", "-x http://198.18.0.1:3128 https://api.example.com/echo", "curl: ("},
		{"SOCKS", "--socks5-hostname api.example.com:80 https://evil.example.org/", "curl: ("},
	} {
		is("X7 "+row.name, row.args+"; sleep 0.1", row.want, 0)
	}
	w.denied("api.example.com", "egress.authority")
	w.denied("127.0.0.1", "egress.loopback")
	w.denied("198.18.0.1", "egress.literal")
	// X9: headers that steer other proxies steer nothing, and what is a matter of
	// proxies alone does not reach the host.
	steer := ""
	forwarding := []string{"Proxy-Authorization", "Proxy-Connection", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
	for _, name := range append([]string{"x-unix-socket", "X-Upstream-Https-Proxy", "X-SRT-Allow"}, forwarding...) {
		steer += " -H '" + name + ": http://evil.example.org:3128/admin'"
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "x-http-method"} {
		is("X9 a header for another method or path", "-H '"+name+": /admin' https://api.example.com/echo", "[403]", 0)
	}
	for _, url := range []string{"https://api.example.com/echo", "--http1.1 https://api.example.com/echo", "http://api.example.com/echo"} {
		is("X9 headers for other proxies", steer+" "+url, "[200]", 1)
		from := web
		if strings.HasPrefix(url, "http:") {
			from = plain
		}
		got := from.Requests()[len(from.Requests())-1]
		if got.Host != "api.example.com" || got.Target != "/echo" || got.Method != "GET" {
			t.Errorf("X9 what arrives: %+v", got)
		}
		for _, name := range forwarding {
			if v := got.Header.Get(name); v != "" {
				t.Errorf("X9 %s arrives: %s", name, v)
			}
		}
	}
	// X10: an answer that echoes the secret is unpacked and cleaned, or refused.
	for _, row := range []struct{ encoding, want string }{
		{"gzip", "you sent: Bearer ***"}, {"deflate", "you sent: Bearer ***"}, {"identity", "you sent: Bearer ***"},
		{"br", "[502]"}, {"zstd", "[502]"}, {"gzip,%20gzip", "[502]"}, {"unheard-of", "[502]"},
	} {
		out := is("X10 an answer in "+row.encoding, `-H 'Accept-Encoding: gzip, br, zstd' -H "Authorization: Bearer $READ_TOKEN" 'https://api.example.com/packed?as=`+row.encoding+"'", row.want, 1)
		if strings.Contains(out, readSecret) {
			t.Errorf("X10 %s: the container reads the secret", row.encoding)
		}
	}
	if got := web.Requests(); got[len(got)-1].Header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("X10 the host is asked for %q", got[len(got)-1].Header.Get("Accept-Encoding"))
	}
	// In a body nothing is swapped, packed or not: what arrives is the placeholder.
	token := firstLine(w.sh("net", "printenv READ_TOKEN"))
	packed := `python3 -c 'import gzip, os, sys; sys.stdout.buffer.write(gzip.compress(os.environ["READ_TOKEN"].encode()))' >/tmp/packed; `
	w.sh("net", packed+`printenv READ_TOKEN >/tmp/plain`)
	for _, body := range []string{"packed", "plain"} {
		is("X10 a placeholder in a "+body+" body", "-H 'Content-Encoding: gzip' --data-binary @/tmp/"+body+" https://api.example.com/echo", "[200]", 1)
		got := web.Requests()[arrived()-len(plain.Requests())-1].Body
		if z, err := gzip.NewReader(bytes.NewReader(got)); err == nil {
			got, _ = io.ReadAll(z)
		}
		if strings.TrimSpace(string(got)) != token {
			t.Errorf("X10 the %s body arrives as %q", body, got)
		}
	}
	// C8: what has run out is not used when there is nothing new.
	is("control: a secret that is fresh", `-H "X-Api-Key: $BRIEF_TOKEN" https://api.example.com/echo`, "[200]", 1)
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	w.sh("net", "sleep 1.1")
	is("C8 a secret that has run out", `-H "X-Api-Key: $BRIEF_TOKEN" https://api.example.com/echo`, "[503]", 0)
	w.nothingElse(watch, public)
	if len(trap.Conns()) > 0 {
		t.Error("a proxy that a header named was reached")
	}
}

// packedPage echoes a secret with whatever Content-Encoding it is asked for; what Go
// cannot write stays as it is, so that it can be seen if it passes.
func packedPage(rw http.ResponseWriter, r *http.Request) {
	as := r.FormValue("as")
	rw.Header().Set("Content-Encoding", as)
	var out io.Writer = rw
	switch as {
	case "gzip":
		z := gzip.NewWriter(rw)
		defer z.Close()
		out = z
	case "deflate":
		z := zlib.NewWriter(rw)
		defer z.Close()
		out = z
	}
	fmt.Fprint(out, "you sent: ", r.Header.Get("Authorization"))
}

// L8, L11 and rebinding: a handshake has five seconds, a name's addresses are used
// for five, and then judged anew; what is not TLS from its first byte needs a rule
// that says so.
func TestOverTime(t *testing.T) {
	w := newWorld(t)
	echo := w.lab.TCPEcho(public + ":9000")
	database := w.lab.TCPEcho(public + ":5432")
	mail := w.lab.TCPEcho(public + ":25")
	trap, inner := w.lab.TCPEcho(metadata+":9000"), w.lab.TCPEcho(private+":9000")
	again := []struct{ name, second, rule string }{
		{"a.again.example.com", metadata, "egress.metadata"}, {"b.again.example.com", private, "egress.private"}, {"c.again.example.com", "127.0.0.1", "egress.loopback"},
	}
	var connect [][]string
	for _, row := range again {
		w.lab.DNS.Sequence(row.name, []string{public}, []string{row.second})
		connect = append(connect, []string{"raw", row.name + ":9000"})
	}
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", `egress:
  - {host: api.example.com}
  - {host: api.example.com, port: 5432}
  - {host: api.example.com, port: 25, protocol: tcp}
  - {host: "*.again.example.com", port: 9000, protocol: tcp}
`)
	watch := w.lab.Capture()
	for i, a := range w.tries("net", connect...) {
		w.allowed(a, "the first answer of "+again[i].name)
	}
	// L8: a client that says nothing, and one that says a byte now and then.
	out := w.sh("net", `python3 -c '
import socket, threading, time
def hello(drip):
    s, begun = socket.create_connection(("api.example.com", 443)), time.time()
    s.settimeout(0.5); begin = bytes.fromhex("160301020001000000fc0303") + bytes(8)
    while time.time() < begun + 8:
        try:
            if drip and begin: s.send(begin[:1]); begin = begin[1:]
            if not s.recv(1): break
        except TimeoutError: continue
        except OSError: break
    print("cut" if 4.5 < time.time() - begun < 6 else "open", time.time() - begun)
for d in False, True: threading.Thread(target=hello, args=(d,)).start()'`)
	if strings.Count(out, "cut") != 2 {
		t.Errorf("L8 a slow handshake: %s", out)
	}
	w.denied("api.example.com", "egress.protocol")
	for i, a := range w.tries("net", connect...) {
		w.refused(a, "the second answer of "+again[i].name)
		w.denied(again[i].name, again[i].rule)
	}
	if len(echo.Conns()) != len(again) || len(trap.Conns())+len(inner.Conns()) > 0 {
		t.Errorf("%d connections to the first answer, %d to the second", len(echo.Conns()), len(trap.Conns())+len(inner.Conns()))
	}
	// L11: PostgreSQL asks for TLS in its own words, mail with STARTTLS.
	const postgres, smtp = `\x00\x00\x00\x08\x04\xd2\x16\x2f`, `EHLO me\r\nSTARTTLS\r\n`
	got := w.tries("net", []string{"raw", "api.example.com:5432", postgres}, []string{"raw", "api.example.com:5432", smtp}, []string{"raw", "api.example.com:25", smtp}, []string{"raw", "api.example.com:25", postgres})
	w.refused(got[0], "L11 PostgreSQL through a tls rule")
	w.refused(got[1], "L11 STARTTLS through a tls rule")
	w.allowed(got[2], "L11 STARTTLS through a tcp rule")
	w.allowed(got[3], "L11 PostgreSQL through a tcp rule")
	if c := mail.Conns(); len(database.Conns()) > 0 || len(c) != 2 || string(c[0].Bytes) != "EHLO me\r\nSTARTTLS\r\n" || len(c[1].Bytes) != 8 {
		t.Errorf("L11 what arrives: %+v through tls, %+v through tcp", database.Conns(), c)
	}
	w.nothingElse(watch, public)
}

// D11: the machine that the daemon runs on is nobody's destination unless a rule
// says private, by whichever of its addresses.
func TestOwnAddresses(t *testing.T) {
	const ownPublic = "93.184.216.99" // as a machine in a data centre has
	w := newWorld(t)
	add := w.lab.Wrap(lab.Site, []string{"ip", "addr", "add", ownPublic + "/32", "dev", "eth0"})
	if out, err := exec.Command(add[0], add[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ln, err := w.lab.Listen(lab.Site, "tcp", "[::]:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	w.lab.DNS.Names(map[string][]string{"four.example.com": {lab.SiteAddr}, "six.example.com": {lab.SiteAddr6}, "public.example.com": {ownPublic}, "stub.example.com": {"198.18.0.1"}, "open.example.com": {ownPublic}})
	w.up("net", `egress:
  - {host: four.example.com, port: 8080, protocol: tcp}
  - {host: six.example.com, port: 8080, protocol: tcp}
  - {host: public.example.com, port: 8080, protocol: tcp}
  - {host: stub.example.com, port: 1, protocol: tcp}
  - {host: open.example.com, port: 8080, protocol: tcp, private: true}
`)
	for _, row := range []struct{ to, rule string }{
		{"four.example.com:8080", "egress.own"}, {"six.example.com:8080", "egress.own"}, {"public.example.com:8080", "egress.own"}, {"stub.example.com:1", "egress.address"},
	} {
		w.refused(w.try("net", "tcp", row.to), row.to)
		host, _, _ := strings.Cut(row.to, ":")
		w.denied(host, row.rule)
	}
	accepted := func() bool {
		ln.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Millisecond))
		c, err := ln.Accept()
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if accepted() {
		t.Error("D11 a connection came to this machine")
	}
	w.try("net", "tcp", "open.example.com:8080")
	if !accepted() {
		t.Errorf("control: no connection came to this machine: %s", w.summary())
	}
}

// withoutNetfilter is the first argument of this test program when it only takes
// netfilter away from the program that follows.
const withoutNetfilter = "without-netfilter"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == withoutNetfilter {
		fmt.Fprintln(os.Stderr, hideNetfilter(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hideNetfilter becomes another program for which the kernel knows no netfilter, as
// one that was built without it.
func hideNetfilter(argv []string) error {
	runtime.LockOSThread()                     // the filter is this thread's, which is to become the program
	const number, family, protocol = 0, 16, 32 // where struct seccomp_data has the call and two of its arguments
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	filter := []unix.SockFilter{
		load(number), unless(unix.SYS_SOCKET, 5),
		load(family), unless(unix.AF_NETLINK, 3),
		load(protocol), unless(unix.NETLINK_NETFILTER, 1),
		{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT)},
		{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	return unix.Exec(argv[0], argv, os.Environ())
}

// Where the kernel has no netfilter there is a listener for each port of a rule, and
// everything else is refused all the same, if unseen.
func TestWithoutNetfilter(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldBehind(t, lab.New(t), []string{self, withoutNetfilter})
	log, err := os.ReadFile(filepath.Join(filepath.Dir(w.d.Dir), "daemon.log"))
	if err != nil || !strings.Contains(string(log), "refused unseen") {
		t.Fatalf("the daemon does not say that it has no netfilter: %v %s", err, log)
	}
	web := w.lab.HTTPS(public+":443", "api.example.com")
	trap := w.lab.TCPEcho("0.0.0.0:8443")
	dns := w.lab.UDPEcho(otherPublic + ":53")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "evil.example.org": {otherPublic}})
	w.up("net", trusting+"egress:\n  - {host: api.example.com}\n")
	watch := w.lab.Capture()
	w.allowed(w.try("net", "get", "https://api.example.com/echo"), "the allowed host")
	for _, row := range []struct {
		name       string
		args       []string
		host, rule string // of the record, if there is one
	}{
		{"another name", []string{"get", "https://evil.example.org/"}, "evil.example.org", "egress.host"},
		{"an address, at a port of a rule", []string{"tcp", otherPublic + ":443"}, otherPublic, "egress.literal"},
		{"an IPv6 address, at a port of a rule", []string{"tcp6", "[" + public6 + "]:443"}, public6, "egress.literal"},
		{"another name in the handshake", []string{"tls", w.address("net", "api.example.com") + ":443", "evil.example.org"}, "api.example.com", "egress.sni"},
		{"metadata, at a port of a rule", []string{"tcp", metadata + ":443"}, metadata, "egress.metadata"},
		{"an address", []string{"tcp", otherPublic + ":8443"}, "", ""},
		{"another port of the allowed host", []string{"raw", "api.example.com:8443"}, "", ""},
		{"another source", []string{"freebind", "1.2.3.4", otherPublic + ":8443"}, "", ""},
		{"UDP", []string{"udp", otherPublic + ":443"}, "", ""},
		{"ICMP", []string{"icmp", otherPublic}, "", ""},
	} {
		w.refused(w.try("net", row.args...), row.name)
		if row.rule != "" {
			w.denied(row.host, row.rule)
		}
	}
	w.allowed(w.try("net", "dns", "api.example.com", otherPublic), "a question to whatever resolver")
	w.nothingElse(watch, public)
	if n := len(trap.Conns()) + len(dns.Datagrams()); n > 0 || len(web.Requests()) != 1 {
		t.Errorf("%d connections or packets reached a trap, %d requests the allowed host", n, len(web.Requests()))
	}
}
