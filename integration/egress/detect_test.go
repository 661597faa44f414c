package egress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/lab"
	"github.com/mcprun/mcprun/internal/testenv"
)

// entry is what this test looks at of a record.
type entry struct {
	Seq                                           uint64
	Type, Server, Verdict, Rule, Method, Who, Why string
	Detail                                        map[string]string
}

func (w *world) entries(is func(entry) bool) (out []entry) {
	w.t.Helper()
	for text := range strings.Lines(w.d.Must("audit", "tail", "-n", "10000", "--json")) {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			w.t.Fatal(err)
		}
		if is(e) {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s did not come to be", what)
		}
	}
}

// A server that uses its placeholder where it must not, again, is killed by its own
// file's rule, and one that tries what no rule allows takes all of its team with it by
// the operator's. Below the number nothing happens, and others go on.
func TestKillsByItself(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images", "netfilter")
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nkill: [{after: egress.denied, times: 4, within: 10m, level: label, label: team}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := lab.New(t)
	d := harness.Prepare(t, "-policy", policy)
	d.Wrap = func(argv []string) []string { return l.Wrap(lab.Site, argv) }
	w := &world{t, l, d, []string{"READ_SECRET=" + readSecret, "SSL_CERT_FILE=" + l.CA.File}}
	w.restart()
	l.DNS.Names(map[string][]string{"api.example.com": {public}, "other.example.com": {public}})
	web := l.HTTPS(public+":443", "api.example.com", "other.example.com")
	const egress = "egress:\n  - {host: api.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}\n  - {host: other.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}\n" +
		"credentials:\n  reader: {source: \"env:READ_SECRET\", host: api.example.com, place: {header: Authorization, format: \"Bearer {}\"}, expose: {env: READ_TOKEN}}\n"
	w.up("net", egress+"kill: [{after: credential.misuse, times: 2, within: 10m, cool-down: 1s, reason: it leaks}]\n")
	w.up("two", "labels: {team: x}\n"+egress)
	w.up("three", "labels: {team: x}\n"+egress)
	alive := func(server string) bool { return strings.Contains(w.sh(server, "echo al''ive"), "alive") }
	misuse := func(server string) string {
		return w.sh(server, `curl -sS -m 5 -w ' [%{http_code}]' -H "Authorization: Bearer $READ_TOKEN" https://other.example.com/echo`)
	}
	isKill := func(e entry) bool { return e.Type == "kill" }
	const why = "credential.misuse was seen 2 times within 10m, a kill rule of server.yaml: it leaks (record "

	// Once is not twice, and what another server does is not counted for this one.
	for _, server := range []string{"net", "two"} {
		if out := misuse(server); !strings.Contains(out, "[403]") || !alive(server) {
			t.Fatalf("the control: %s", out)
		}
	}
	if found := w.entries(isKill); len(found) > 0 {
		t.Fatalf("killed: %+v", found)
	}
	var said bytes.Buffer
	sleep := d.Command("call", "net", "run_command", `{"command":"sleep 50"}`)
	sleep.Stdout, sleep.Stderr = &said, &said
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	w.eventually("a call in flight", func() bool {
		return len(w.entries(func(e entry) bool { return e.Type == "call" && e.Server == "net" })) == 3
	})
	out := misuse("net")
	sleep.Wait()
	for _, text := range []string{out, said.String()} {
		if !strings.Contains(text, "killed: net was stopped by policy ("+why) {
			t.Errorf("a call in flight was told: %s", text)
		}
	}
	w.eventually("the steps", func() bool {
		return len(w.entries(func(e entry) bool { return e.Method == "mcprun kill" })) == 1
	})
	order := w.entries(func(e entry) bool {
		return isKill(e) || e.Method == "mcprun kill" || e.Server == "net" && e.Rule == "credential.misuse"
	})
	if len(order) != 4 || !isKill(order[2]) || order[2].Why != why+fmt.Sprint(order[1].Seq)+")" || order[2].Who != "policy" || order[2].Detail["way"] != "policy" || order[3].Detail["ms-kill"] == "" {
		t.Errorf("the record: %+v", order)
	}
	t.Logf("steps after the start of the ladder, in ms: %v", order[len(order)-1].Detail)
	if !alive("two") || len(web.Requests()) != 0 {
		t.Errorf("the neighbour is harmed, or a misuse arrived: %d requests", len(web.Requests()))
	}
	if _, errs, code := d.Run("start", "net.yaml"); code != 3 || !strings.Contains(errs, "killed by policy") || !strings.Contains(errs, "mcprun revive net") {
		t.Errorf("start: code %d: %s", code, errs)
	}

	// Revived, it begins at zero, and can be killed again.
	d.Must("revive", "net", "--why", "test")
	d.Must("start", "net.yaml")
	n := 0
	for ; len(w.entries(isKill)) == 1 && n < 50; n++ {
		misuse("net")
	}
	if n < 2 || n == 50 {
		t.Errorf("after the revival it is killed after %d", n)
	}
	w.eventually("the kill", func() bool { _, errs, _ := d.Run("start", "net.yaml"); return strings.Contains(errs, why) })
	d.Must("revive", "net", "--why", "test")
	w.eventually("it starts", func() bool { _, _, code := d.Run("start", "net.yaml"); return code == 0 })

	// What the servers of a team do is counted together, and stops them together.
	knock := func(server string) { w.sh(server, "curl -sS -m 5 http://203.0.113.9:81/") }
	for _, server := range []string{"two", "three", "two"} {
		knock(server)
	}
	if !alive("two") || !alive("three") {
		t.Error("killed below the number")
	}
	knock("three")
	for _, server := range []string{"two", "three"} {
		w.eventually("the team is dead", func() bool {
			_, errs, _ := d.Run("start", server+".yaml")
			return strings.Contains(errs, "label team=x was killed by policy")
		})
	}
	if !alive("net") {
		t.Error("a server of no team is dead")
	}
	if found := w.entries(isKill); len(found) != 3 || found[2].Detail["servers"] != "three two" || !strings.Contains(found[2].Why, "egress.denied was seen 4 times within 10m, a kill rule of policy.yaml") {
		t.Errorf("%+v", found)
	}
	d.Crash()
	w.restart()
	if _, errs, code := d.Run("start", "two.yaml"); code != 3 || !strings.Contains(errs, "killed by policy") {
		t.Errorf("after a crash: code %d: %s", code, errs)
	}
	d.Must("audit", "verify")
}
