package kill

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// line is what these tests look at of a record.
type line struct {
	Seq                                              uint64
	Type, Rule, Method, Principal, Who, Why, Outcome string
	Detail                                           map[string]string
}

func lines(t *testing.T, d *harness.Daemon) (out []line) {
	t.Helper()
	for text := range strings.Lines(d.Must("audit", "tail", "-n", "10000", "--json")) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// A client that policy refuses, or that knocks at what is not its, is stopped after so
// often as policy.yaml says, and nobody else is. A reload changes the rules, a broken one
// does not.
func TestClientsAreKilledByThemselves(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(kill string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte("version: 1\nkill: "+kill+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{after: call.refused, times: 3, within: 10m, reason: "look at it"}, {after: syscall.never}]`)
	d := harness.New(t, "-clients", fmt.Sprint(someone), "-policy", policy)
	d.Up("one", "everything", tools)
	d.Up("two", "everything", tools)
	by := func(uid uint32, args ...string) *exec.Cmd { return asUser(d.Command(args...), uid) }
	theirEcho := func() *exec.Cmd { return by(someone, "call", "one", "echo", `{"message":"hello"}`) }
	wrong := func(uid uint32) {
		t.Helper()
		if text, code := begin(t, by(uid, "call", "one", "echo", `{"message":1}`)).end(t); code != 3 || !strings.Contains(text, "schema.invalid") {
			t.Errorf("a wrong call: code %d, %s", code, text)
		}
	}
	kills := func() (out []line) {
		for _, l := range lines(t, d) {
			if l.Type == "kill" {
				out = append(out, l)
			}
		}
		return out
	}
	// Node tries io_uring, which no profile has, each time that it starts: it lives.
	if tried := slices.ContainsFunc(lines(t, d), func(l line) bool { return l.Rule == "seccomp.never" && l.Detail["call"] == "io_uring_setup" }); !tried {
		t.Error("the control: node tries nothing")
	}
	theirs, ours := long(t, d, "two", someone), long(t, d, "two", 0)
	for range 2 { // below the number nothing happens, and each is counted by itself
		wrong(someone)
		wrong(0)
	}
	answers(t, theirEcho())
	if found := kills(); len(found) > 0 {
		t.Fatalf("killed: %+v", found)
	}
	wrong(someone)
	const why = "call.refused was seen 3 times within 10m, a kill rule of policy.yaml: look at it (record "
	theirs.killed(t, why)
	refused(t, theirEcho(), why, "by policy", fmt.Sprintf("mcprun revive --principal uid:%d", someone))
	ours.goesOn(t)
	answers(t, echo(d, "one"))
	if _, errs, _ := d.Run("ps"); !strings.Contains(errs, fmt.Sprintf("principal uid:%d by policy", someone)) || !strings.Contains(errs, why) {
		t.Errorf("ps does not show the switch: %q", errs)
	}
	found := kills()
	if len(found) != 1 || found[0].Who != "policy" || found[0].Detail["way"] != "policy" || found[0].Detail["target"] != fmt.Sprintf("principal@uid:%d", someone) {
		t.Fatalf("the record of it: %+v", found)
	}
	for _, l := range lines(t, d) { // what was seen stands before it, its steps after it
		if seen := strings.Contains(found[0].Why, fmt.Sprintf("(record %d)", l.Seq)); seen && (l.Rule != "schema.invalid" || l.Seq > found[0].Seq) {
			t.Errorf("it names %+v", l)
		}
		if l.Method == "mcprun kill" && (l.Seq < found[0].Seq || l.Detail["ms-stay-dead"] == "") {
			t.Errorf("its steps: %+v", l)
		}
	}

	// A broken file keeps the rules, and the counts.
	write("[{after: call.refuse}]")
	if _, errs, code := d.Run("policy", "reload"); code == 0 || !strings.Contains(errs, "did you mean call.refused?") {
		t.Errorf("code %d: %s", code, errs)
	}
	if text := d.Must("inspect", "one"); !strings.Contains(text, "after call.refused, 3 times within 10m: the client is killed (policy.yaml)") {
		t.Errorf("inspect: %s", text)
	}
	if text := d.Must("audit", "tail", "-n", "10000"); !strings.Contains(text, fmt.Sprintf("kill     principal@uid:%d who=policy", someone)) {
		t.Errorf("the record says not who was killed: %s", text)
	}
	if text := d.Must("policy", "show"); !strings.Contains(text, "{after: call.refused, times: 3, within: 10m, level: principal, cool-down: 10s, reason: \"look at it\"}") {
		t.Errorf("in force: %s", text)
	}
	wrong(0)
	refused(t, echo(d, "one"), why)
	ours.killed(t, why)
	d.Must("revive", "--principal", "uid:0", "--why", "an operator is one still")
	answers(t, echo(d, "one"))

	// A restart takes nothing back; a good file changes what counts.
	write("[{after: access.denied, times: 3, within: 1m}]")
	d.Must("policy", "reload")
	d.Crash()
	d.Start()
	d.Ready()
	d.Must("start", "one.yaml")
	refused(t, theirEcho(), why)
	d.Must("revive", "--principal", fmt.Sprintf("uid:%d", someone), "--why", "test")
	for range 4 {
		wrong(someone)
	}
	knock := func() {
		t.Helper()
		if text, code := begin(t, by(someone, "stop", "one")).end(t); code != 3 {
			t.Errorf("a client stops a server: code %d, %s", code, text)
		}
	}
	knock()
	knock()
	answers(t, theirEcho())
	knock()
	eventually(t, "the kill", func() bool { return len(kills()) == 3 })
	refused(t, theirEcho(), "access.denied was seen 3 times within 1m")
	answers(t, echo(d, "one"))
	d.Must("audit", "verify")
}

// A crash of the daemon takes nothing back of what was counted: else who can make it crash
// is never killed. What was counted before a kill does not count after it.
func TestCrashesForgetNothing(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	const rules = "version: 1\nkill: [{after: call.refused, times: 4, within: 1h}, {after: server.crashed, times: 3, within: 1h, level: label, label: team}]\n"
	if err := os.WriteFile(policy, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	d := harness.New(t, "-clients", fmt.Sprint(someone), "-policy", policy)
	d.Up("one", "gosdk", "labels: {team: x}\nkill: [{after: server.crashed, times: 2, within: 1h}]\n"+small)
	d.Up("two", "gosdk", "labels: {team: x}\n"+small)
	again := func() {
		t.Helper()
		d.Crash()
		d.Start()
		d.Ready()
		d.Must("start", "one.yaml")
	}
	wrong := func() {
		t.Helper()
		if text, code := begin(t, asUser(d.Command("call", "one", "no_such_tool", "{}"), someone)).end(t); code != 3 {
			t.Errorf("a wrong call: code %d, %s", code, text)
		}
	}
	ours := func() *exec.Cmd { return d.Command("call", "one", "test_simple_text", "{}") }
	theirs := func() *exec.Cmd { return asUser(ours(), someone) }
	served := func(cmd *exec.Cmd) {
		t.Helper()
		if text, code := begin(t, cmd).end(t); code != 0 || !strings.Contains(text, "simple text") {
			t.Errorf("%v: exit code %d, %s", cmd.Args, code, text)
		}
	}
	for range 3 { // a crash after each
		wrong()
		again()
	}
	served(theirs())
	served(ours())
	wrong()
	refused(t, theirs(), "call.refused was seen 4 times within 1h")
	served(ours()) // the control: nobody else

	d.Must("revive", "--principal", fmt.Sprintf("uid:%d", someone), "--why", "test")
	again()
	wrong()
	served(theirs())

	// A rule of a server's own, and one that goes by its label, which only its start tells.
	crash := func(server string, times int) {
		t.Helper()
		for _, pid := range alive(d, server) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		eventually(t, "the crash is recorded", func() bool {
			n := 0
			for _, l := range lines(t, d) {
				if l.Type == "stop" && l.Outcome == "crashed" {
					n++
				}
			}
			return n == times
		})
	}
	crash("one", 1)
	again()
	d.Must("start", "two.yaml")
	crash("two", 2)
	if text := d.Must("ps", "--json"); strings.Contains(text, "server.crashed was seen") {
		t.Errorf("killed too early: %s", text)
	}
	d.Crash()
	d.Start()
	d.Ready()
	d.Must("start", "two.yaml")
	d.Must("start", "one.yaml")
	crash("one", 3)
	refused(t, d.Command("start", "one.yaml"), "server.crashed was seen")
	refused(t, d.Command("start", "two.yaml"), "server.crashed was seen 3 times within 1h")
}
