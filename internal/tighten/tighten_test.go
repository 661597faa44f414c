package tighten

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/manifest"
)

const file = `version: 1
name: net
image: ./net.tar
resources: {memory: 1GiB, pids: 256}
tools:
  used: {risk: low}
  unused: {risk: low}
  refused: {risk: high}
  blocked: {risk: block}
egress:
  - {host: used.example.com, port: 9000, protocol: tcp}
  - {host: unused.example.com}
  - {host: "*.wild.example.com"}
  - {host: api.example.com, inspect: true, methods: [GET, POST], paths: ["/a/**", "/b/**"]}
  - {host: api.example.com, inspect: true, methods: [GET], paths: ["/never/**"]}
  - {host: fenced.example.com, tools: [used]}
credentials:
  token: {source: "env:TOKEN", host: api.example.com, place: {header: Authorization, format: "Bearer {}"}, expose: {env: TOKEN}}
  idle: {source: "env:IDLE", host: idle.example.com, place: {header: Authorization, format: "Bearer {}"}, expose: {env: IDLE}}
`

var (
	since = time.Date(2026, 1, 8, 0, 0, 0, 0, time.UTC)
	later = since.Add(time.Hour)
)

func server(t *testing.T) *manifest.Server {
	t.Helper()
	text := strings.Replace(file, "  - {host: fenced", "  - {host: idle.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}\n  - {host: fenced", 1)
	m, err := manifest.Parse("net.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func out(host, port, method, path string) *audit.Record {
	r := &audit.Record{Type: audit.TypeEgress, Server: "net", Time: later, Verdict: mcprun.Allow, Outcome: "open", Detail: map[string]string{"host": host, "port": port}}
	if method != "" {
		r.Outcome, r.Method, r.Detail["path"] = "request", method, path
	}
	return r
}

func use(t *testing.T, records ...*audit.Record) *Use {
	t.Helper()
	u, err := New(server(t), since)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		u.Record(r)
	}
	return u
}

func TestProposeWhatWasNotUsed(t *testing.T) {
	denied := out("unused.example.com", "443", "", "")
	denied.Verdict = mcprun.Deny
	before, other := out("unused.example.com", "443", "", ""), out("unused.example.com", "443", "", "")
	before.Time, other.Server = since.Add(-time.Second), "other"
	u := use(t,
		before, other, denied,
		&audit.Record{Type: audit.TypeStart, Server: "net", Time: later},
		&audit.Record{Type: audit.TypeCall, Server: "net", Tool: "used", Time: later},
		&audit.Record{Type: audit.TypeRefuse, Server: "net", Tool: "refused", Time: later},
		out("used.example.com", "9000", "", ""),
		out("b.wild.example.com", "443", "", ""), out("a.wild.example.com", "443", "", ""),
		out("api.example.com", "443", "", ""), out("api.example.com", "443", "GET", "/a/x"),
		out("fenced.example.com", "443", "", ""),
		&audit.Record{Type: audit.TypeStop, Server: "net", Time: later, Detail: map[string]string{DetailMemoryPeak: "41943040", DetailPidsPeak: "11"}},
		&audit.Record{Type: audit.TypeStop, Server: "net", Time: later, Detail: map[string]string{DetailMemoryPeak: "1000", DetailPidsPeak: "x"}},
	)
	if u.Starts != 1 || u.Calls != 1 || u.Connections != 5 || u.Peaks != 2 {
		t.Errorf("%+v", u)
	}
	var got []string
	for _, i := range u.Propose() {
		got = append(got, i.Key+" | "+i.What+" | "+i.Why+" | "+i.To)
	}
	want := []string{
		"resources.memory | memory: 1GiB | at most 40 MiB were used | memory: 80MiB",
		"resources.pids | pids: 256 | at most 11 processes and threads at a time | pids: 22",
		"tools.refused | tool refused | asked for once, and never let through | ",
		"tools.unused | tool unused | never called | ",
		"egress[1] | egress to unused.example.com:443 | never connected to | ",
		"egress[2].host | egress to *.wild.example.com:443 | of all hosts below it only these were reached | host: a.wild.example.com, and a rule with host: b.wild.example.com",
		"egress[3].methods | egress to api.example.com:443: methods POST | never used | methods: [GET]",
		"egress[3].paths | egress to api.example.com:443: path /b/** | never asked for | ",
		"egress[4] | egress to api.example.com:443 | connected to, with no request that this rule is about | ",
		"egress[5] | egress to idle.example.com:443 | never connected to | ",
		"credentials.idle | credential idle | nothing went to idle.example.com:443 | ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	lines := manifest.ReadLines([]byte(file))
	for key, want := range map[string]manifest.Lines{"resources.memory": {First: 4, Last: 4}, "tools.unused": {First: 7, Last: 7}, "egress[1]": {First: 12, Last: 12}, "tools": {First: 5, Last: 9}, "credentials.idle": {First: 19, Last: 19}} {
		if lines[key] != want {
			t.Errorf("%s stands at %v, want %v", key, lines[key], want)
		}
	}
}

// A server that nobody used needs, by the record, nothing at all: that is no reason to
// take everything from it.
func TestNothingIsProposedOfWhatDidNothing(t *testing.T) {
	for why, u := range map[string]*Use{
		"nothing of it": use(t),
		"was called":    use(t, &audit.Record{Type: audit.TypeStart, Server: "net", Time: later}),
	} {
		if got := u.Propose(); len(got) > 0 || !strings.Contains(u.Quiet(), why) {
			t.Errorf("%q: %v", u.Quiet(), got)
		}
	}
}

// Limits near what was used stay: of one life the next is not known.
func TestPeaksNearTheLimitStay(t *testing.T) {
	call := &audit.Record{Type: audit.TypeCall, Server: "net", Tool: "used", Time: later}
	u := use(t, call)
	u.Peak(300<<20, 70)
	for _, i := range u.Propose() {
		if strings.HasPrefix(i.Key, "resources") {
			t.Errorf("%+v", i)
		}
	}
	u = use(t, call)
	u.Peak(1, 1)
	if got := u.Propose(); got[0].To != "memory: 32MiB" || got[1].To != "pids: 16" {
		t.Errorf("%+v: less than server.yaml may say", got[:2])
	}
}
