package egress

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/lab"
	"github.com/mcprun/mcprun/internal/testenv"
)

// Whatever program and library a server uses, it reaches the allowed host by its
// name, and nothing else: names do not exist, addresses are reset, packets are
// refused, at once and on the record. Rows of shared/cases/egress.md by number.
func TestNothingLeavesButWhatIsAllowed(t *testing.T) {
	for _, wall := range []string{"runc", "gvisor"} {
		t.Run(wall, func(t *testing.T) { nothingLeaves(t, wall) })
	}
}

func nothingLeaves(t *testing.T, wall string) {
	if wall == "gvisor" {
		testenv.Need(t, "gvisor")
	}
	w := newWorld(t)
	web := w.lab.HTTPS(public+":443", "api.example.com")
	trap := w.lab.TCPEcho("0.0.0.0:8443")
	trap6 := w.lab.TCPEcho("[" + public6 + "]:443")
	dns := w.lab.UDPEcho(otherPublic + ":53")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "evil.example.org": {otherPublic}})
	w.up("net", "isolation: "+wall+"\n"+trusting+"egress:\n  - {host: api.example.com}\n")
	watch := w.lab.Capture()
	w.allowed(w.try("net", "get", "https://api.example.com/echo"), "the allowed host")
	for _, row := range []struct {
		name       string
		args       []string
		host, rule string
	}{
		{"T1 a client that ignores proxies", []string{"noproxy", "https://evil.example.org/"}, "evil.example.org", "egress.host"},
		{"T3 an IPv6 literal", []string{"tcp6", "[" + public6 + "]:443"}, public6, "egress.literal"},
		{"T6 DNS over TLS", []string{"tcp", otherPublic + ":853"}, otherPublic, "egress.literal"},
		{"T16 the allowed host's own address", []string{"tls", public + ":443", "api.example.com"}, public, "egress.literal"},
		{"T21 another port of the allowed host", []string{"raw", "api.example.com:8443"}, "api.example.com", "egress.port"},
		{"T30 plain HTTP", []string{"get", "http://api.example.com/echo"}, "api.example.com", "egress.port"},
		{"D1 metadata", []string{"tcp", metadata + ":80"}, metadata, "egress.metadata"},
		{"D18 an address of the pool that is nobody's", []string{"tcp", "198.18.99.99:443"}, "198.18.99.99", "egress.literal"},
		{"UDP", []string{"udp", otherPublic + ":443"}, otherPublic, "egress.protocol"},
		{"UDP over IPv6", []string{"udp", "[" + public6 + "]:443"}, public6, "egress.protocol"},
	} {
		w.refused(w.try("net", row.args...), row.name)
		w.denied(row.host, row.rule)
	}
	// T5: whatever resolver is asked, the stub answers, and it knows allowed names only.
	for _, server := range []string{otherPublic, "1.1.1.1", "127.0.0.1"} {
		for _, network := range []string{"udp", "tcp"} {
			w.allowed(w.try("net", "dns", "api.example.com", server, network), "a question to "+server+" by "+network)
			if a := w.try("net", "dns", "secret-text.evil.example.org", server, network); a.OK && !strings.Contains(string(a.Detail), "NXDOMAIN") {
				t.Errorf("a forbidden name exists at %s by %s: %s", server, network, a.Detail)
			}
		}
	}
	w.denied("secret-text.evil.example.org", "egress.host")
	w.nothingElse(watch, public)
	if w.lab.DNS.Asked("evil.example.org") || w.lab.DNS.Asked("secret-text.evil.example.org") {
		t.Errorf("a forbidden name was asked upstream: %q", w.lab.DNS.Queries())
	}
	if n := len(trap.Conns()) + len(trap6.Conns()) + len(dns.Datagrams()); n > 0 {
		t.Errorf("%d connections or packets reached a trap", n)
	}
	if len(web.Requests()) != 1 {
		t.Errorf("%d requests reached the allowed host, want the one of the control", len(web.Requests()))
	}
}

// A server without rules has no network, and what it tries is seen all the same.
func TestNoRulesNoNetwork(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", trusting)
	watch := w.lab.Capture()
	w.refused(w.try("net", "get", "https://api.example.com/echo"), "a name")
	w.refused(w.try("net", "tcp", public+":443"), "an address")
	w.denied("api.example.com", "egress.host")
	w.nothingElse(watch)
	out, errs, _ := w.d.Run("egress", "net")
	for _, want := range []string{"refused", "api.example.com", "has no egress rule", "host: api.example.com, port: 443"} {
		if !strings.Contains(out+errs, want) {
			t.Errorf("mcprun egress does not say %q:\n%s%s", want, out, errs)
		}
	}
	out, errs, _ = w.d.Run("profile", "denials", "net")
	for _, want := range []string{"WAY OUT", "api.example.com", "host: api.example.com, port: 443"} {
		if !strings.Contains(out+errs, want) {
			t.Errorf("mcprun profile denials does not say %q:\n%s%s", want, out, errs)
		}
	}
	// The control: the same container, its file with the lines that were printed.
	w.d.Must("stop", "net")
	w.up("net", trusting+"egress:\n  - {host: api.example.com, port: 443}\n")
	w.allowed(w.try("net", "get", "https://api.example.com/echo"), "with the rule that was proposed")
}

// T13, T15: no abstract socket of the host, no open file, no interface but lo.
func TestNothingInherited(t *testing.T) {
	w := newWorld(t)
	// Abstract sockets belong to a network namespace, so the host's is the daemon's.
	var ln net.Listener
	if err := w.lab.Do(lab.Site, func() (err error) {
		ln, err = net.Listen("unix", "@mcprun-lab-host")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	w.up("net", "egress:\n  - {host: api.example.com}\n")
	w.refused(w.try("net", "abstract", "mcprun-lab-host"), "an abstract socket of the host")
	if a := w.try("net", "interfaces"); !a.OK || strings.Contains(string(a.Detail), "eth") || strings.Contains(string(a.Detail), "veth") {
		t.Logf("interfaces: %+v %s", a, a.Detail)
	}
	if out := w.sh("net", "cat /proc/net/dev | tail -n +3 | cut -d: -f1; ls /proc/self/fd"); strings.Count(out, "lo\n") != 1 {
		t.Errorf("interfaces and files: %s", out)
	}
}

// B4, and the daemon's death: a tunnel that stands is cut by a stop, a kill and a
// crash, and nothing is left.
func TestTunnelsEndWithTheServer(t *testing.T) {
	w := newWorld(t)
	echo := w.lab.TCPEcho(public + ":9000")
	w.lab.DNS.Names(map[string][]string{"echo.example.com": {public}})
	w.up("net", "egress:\n  - {host: echo.example.com, port: 9000, protocol: tcp}\n")
	open := func() int {
		n := 0
		for _, c := range echo.Conns() {
			if c.Open {
				n++
			}
		}
		return n
	}
	for _, end := range []struct {
		name string
		do   func()
		back func()
	}{
		{"stop", func() { w.d.Must("stop", "net") }, func() {}},
		{"kill", func() { w.d.Must("kill", "net", "--why", "test") }, func() { w.d.Must("revive", "net", "--why", "test") }},
		{"crash", w.d.Crash, w.restart},
	} {
		w.sh("net", "(/app/netclient hold echo.example.com:9000 >/dev/null 2>&1 &) ; sleep 0.5")
		if open() != 1 {
			t.Fatalf("%s: %d tunnels are open before, want 1: %s", end.name, open(), w.summary())
		}
		end.do()
		for begun := time.Now(); open() > 0; time.Sleep(time.Millisecond) {
			if time.Since(begun) > time.Second {
				t.Fatalf("%s: the tunnel is still open a second later", end.name)
			}
		}
		end.back()
		w.d.Must("start", "net.yaml")
	}
}

// A name keeps its address over all lives of a server, and no other name gets it.
func TestAddressesAreNeverReused(t *testing.T) {
	w := newWorld(t)
	w.up("net", "egress:\n  - {host: a.example.com}\n  - {host: b.example.com}\n")
	address := func(name string) string {
		a := w.try("net", "dns", name)
		w.allowed(a, name)
		return string(a.Detail)
	}
	first := address("a.example.com")
	w.d.Crash()
	w.restart()
	w.d.Must("start", "net.yaml")
	if b := address("b.example.com"); b == first {
		t.Errorf("another name has the address of an earlier life: %s", b)
	}
	if again := address("a.example.com"); again != first {
		t.Errorf("the name has another address now: %s, before %s", again, first)
	}
}
