package egress

import (
	"strings"
	"testing"
	"time"
)

// T26, B4: changed rules come into force while the server runs. A tunnel that they
// no longer allow is cut, another goes on; a file that is broken, or changes more,
// changes nothing.
func TestReload(t *testing.T) {
	w := newWorld(t)
	stays, goes := w.lab.TCPEcho(public+":9000"), w.lab.TCPEcho(otherPublic+":9000")
	w.lab.DNS.Names(map[string][]string{"stays.example.com": {public}, "goes.example.com": {otherPublic}, "comes.example.com": {public}})
	const head = "version: 1\nname: net\nimage: IMAGE\nprofile: node\nresources: {memory: 1GiB, pids: 256}\ntools: {run_command: {risk: low, arguments: {command: {unchecked: tests}}}}\negress:\n  - {host: stays.example.com, port: 9000, protocol: tcp, limits: {connections: 2}}\n"
	const goesRule, comesRule = "  - {host: goes.example.com, port: 9000, protocol: tcp}\n", "  - {host: comes.example.com, port: 9000, protocol: tcp}\n"
	write := func(text string) { w.d.Write("net.yaml", strings.Replace(text, "IMAGE", imagePath("net"), 1)) }
	write(head + goesRule)
	w.d.Must("lock", "net.yaml")
	w.d.Must("start", "net.yaml")
	w.sh("net", "(/app/netclient hold stays.example.com:9000 & /app/netclient hold goes.example.com:9000 &) >/dev/null 2>&1; sleep 0.5")
	open := func() (a, b bool) {
		return len(stays.Conns()) > 0 && stays.Conns()[0].Open, len(goes.Conns()) > 0 && goes.Conns()[0].Open
	}
	unchanged := func(what string) {
		t.Helper()
		if a, b := open(); !a || !b {
			t.Errorf("%s: the tunnels are open: %v, %v; want both: %s", what, a, b, w.summary())
		}
		w.refused(w.try("net", "raw", "comes.example.com:9000", "x"), what+": a host that only the new file allows")
	}
	unchanged("before")
	for _, row := range []struct {
		name, text string
		code       int
		says       string
	}{
		{"a broken file", head + "  - {host: '*', port: 9000, protocol: tcp}\n", 2, "host"},
		{"an empty list", strings.Split(head, "egress:")[0] + "egress:\n", 2, "egress"},
		{"another key as well", strings.Replace(head, "256", "128", 1) + comesRule, 3, "resources"},
		{"a rule that inspects", head + "  - {host: comes.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}\n", 3, "mcprun stop net && mcprun start"},
	} {
		write(row.text)
		if out, errs, code := w.d.Run("reload", "net.yaml"); code != row.code || !strings.Contains(errs, row.says) {
			t.Errorf("%s: code %d, want %d and %q: %s%s", row.name, code, row.code, row.says, out, errs)
		}
		unchanged(row.name)
	}
	write(head + comesRule)
	if out := w.d.Must("reload", "net.yaml"); !strings.Contains(out, "+") || !strings.Contains(out, "comes.example.com") || !strings.Contains(out, "goes.example.com") {
		t.Errorf("reload says: %s", out)
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		a, b := open()
		if a && !b {
			break
		}
		if time.Since(begun) > time.Second {
			t.Fatalf("a second after the reload the tunnels are open: %v, %v; want the first alone", a, b)
		}
	}
	w.allowed(w.try("net", "raw", "comes.example.com:9000", "x"), "the host that is new")
	w.refused(w.try("net", "raw", "goes.example.com:9000", "x"), "the host that is gone")
	w.denied("goes.example.com", "egress.host")
	// What a rule has used stays used: of two connections one is open since before.
	w.sh("net", "(/app/netclient hold stays.example.com:9000 &) >/dev/null 2>&1; sleep 0.3")
	w.refused(w.try("net", "raw", "stays.example.com:9000", "x"), "a third connection under a rule that is as it was")
	w.denied("stays.example.com", "egress.limit")
	if out := w.d.Must("audit", "tail", "-n", "1000", "--json"); !strings.Contains(out, `"egress-added":"{host: comes.example.com`) {
		t.Errorf("the record does not hold the change: %s", out)
	}
}
