// Package kill shows that what a switch names stops, that what it does not name goes on,
// and that every way to throw one works: with real servers, clients and processes.
package kill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// tools of the server that nobody here wrote: one that answers at once, one that takes
// a minute.
const tools = "profile: node\ntools:\n  echo: {risk: low}\n  trigger-long-running-operation: {risk: low}\n"

// someone is a user of the host who is a client of the daemon and nothing else.
const someone = 65534

// asUser makes a command one of that user.
func asUser(cmd *exec.Cmd, uid uint32) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	return cmd
}

// program is a command under way.
type program struct {
	*exec.Cmd
	out, errs bytes.Buffer
	ended     chan struct{}
}

func begin(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{Cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-p.ended })
	return p
}

// patience is far more than anything here takes on a busy machine.
const patience = 20 * time.Second

// end waits for it and returns what it said.
func (p *program) end(t *testing.T) (text string, code int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%v does not end", p.Args)
	}
	return p.out.String() + p.errs.String(), p.ProcessState.ExitCode()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// status is one server's line of mcprun ps.
type status struct {
	Name, State, Why string
	Clients          int
	InFlight         int
}

func ps(t *testing.T, d *harness.Daemon, name string) status {
	t.Helper()
	var all []status
	if err := json.Unmarshal([]byte(d.Must("ps", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no server %s in %+v", name, all)
	return status{}
}

// long begins a call that is in flight when it returns, of root or of a user.
func long(t *testing.T, d *harness.Daemon, server string, uid uint32) *program {
	t.Helper()
	was := ps(t, d, server).InFlight
	cmd := d.Command("call", server, "trigger-long-running-operation", `{"duration":60,"steps":60}`)
	if uid != 0 {
		asUser(cmd, uid)
	}
	p := begin(t, cmd)
	eventually(t, "a call in flight", func() bool { return ps(t, d, server).InFlight > was })
	return p
}

// killed asserts that a call in flight ended with the word and the reason.
func (p *program) killed(t *testing.T, why string) {
	t.Helper()
	if text, code := p.end(t); code == 0 || !strings.Contains(text, "killed") || !strings.Contains(text, why) {
		t.Errorf("%v: exit code %d, %q; want killed and %q", p.Args, code, text, why)
	}
}

func (p *program) goesOn(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		t.Errorf("%v ended: %s%s", p.Args, &p.out, &p.errs)
	case <-time.After(50 * time.Millisecond):
	}
}

func echo(d *harness.Daemon, server string) *exec.Cmd {
	return d.Command("call", server, "echo", `{"message":"hello"}`)
}

func answers(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if text, code := begin(t, cmd).end(t); code != 0 || !strings.Contains(text, "hello") {
		t.Errorf("%v: exit code %d, %q", cmd.Args, code, text)
	}
}

func refused(t *testing.T, cmd *exec.Cmd, says ...string) {
	t.Helper()
	text, code := begin(t, cmd).end(t)
	for _, s := range append(says, "killed") {
		if code != 3 || !strings.Contains(text, s) {
			t.Errorf("%v: exit code %d, %q; want 3 and %q", cmd.Args, code, text, s)
		}
	}
}

// A label stops every server that has it, those that start later too, and no other.
func TestLabel(t *testing.T) {
	d := harness.New(t)
	d.Up("one", "everything", "labels: {team: payments, tier: a}\n"+tools)
	d.Up("two", "everything", "labels: {team: payments}\n"+tools)
	d.Up("other", "everything", "labels: {team: search}\n"+tools)
	d.Write("later.yaml", fmt.Sprintf("version: 1\nname: later\nimage: %s\nlabels: {team: payments}\n%s", harness.Image("everything"), tools))
	d.Must("lock", "later.yaml")
	one, two, other := long(t, d, "one", 0), long(t, d, "two", 0), long(t, d, "other", 0)
	out := d.Must("kill", "--label", "team=payments", "--why", "a leak")
	if !strings.Contains(out, "killed label team=payments; 2 calls in flight failed") {
		t.Errorf("kill said %q", out)
	}
	one.killed(t, "a leak")
	two.killed(t, "a leak")
	other.goesOn(t)
	for _, cmd := range []*exec.Cmd{d.Command("start", "one.yaml"), d.Command("start", "later.yaml"), d.Command("lock", "later.yaml"), echo(d, "two")} {
		refused(t, cmd, "label team=payments", "a leak", "mcprun revive --label team=payments")
	}
	answers(t, echo(d, "other"))
	if _, errs, _ := d.Run("ps"); !strings.Contains(errs, "label team=payments by uid:0") {
		t.Errorf("ps does not show the switch: %q", errs)
	}
	for name, want := range map[string]bool{"one": true, "other": false} {
		if text := d.Must("inspect", name); strings.Contains(text, "label team=payments by uid:0") != want {
			t.Errorf("inspect %s shows the switch: %v, want %v\n%s", name, !want, want, text)
		}
	}
	d.Shutdown()
	d.Start()
	d.Ready()
	refused(t, d.Command("start", "one.yaml"), "label team=payments")
	d.Must("start", "other.yaml")
	d.Must("revive", "--label", "team=payments", "--why", "it was none")
	d.Must("start", "later.yaml")
	answers(t, echo(d, "later"))
	d.Must("audit", "verify")
}

// A switch of a client ends its calls and sessions at every server, keeps it from
// coming back, and leaves the others alone.
func TestPrincipal(t *testing.T) {
	d := harness.New(t, "-clients", fmt.Sprint(someone))
	d.Up("one", "everything", tools)
	d.Up("two", "everything", tools)
	bridge := asUser(d.Command("connect", "two"), someone)
	if _, err := bridge.StdinPipe(); err != nil { // stays open
		t.Fatal(err)
	}
	session := begin(t, bridge)
	eventually(t, "a session", func() bool { return ps(t, d, "two").Clients == 1 })
	theirs, ours := long(t, d, "one", someone), long(t, d, "one", 0)
	out := d.Must("kill", "--principal", fmt.Sprintf("uid:%d", someone), "--why", "it went wild")
	if !strings.Contains(out, fmt.Sprintf("killed principal uid:%d; 2 sessions ended; 1 calls in flight failed", someone)) {
		t.Errorf("kill said %q", out)
	}
	theirs.killed(t, "it went wild")
	session.end(t)
	ours.goesOn(t)
	refused(t, asUser(echo(d, "two"), someone), "it went wild", fmt.Sprintf("mcprun revive --principal uid:%d", someone))
	answers(t, echo(d, "two"))
	if _, errs, _ := d.Run("ps"); !strings.Contains(errs, fmt.Sprintf("principal uid:%d by uid:0", someone)) {
		t.Errorf("ps does not show the switch: %q", errs)
	}
	d.Must("kill", "--principal", "nobody", "--why", "by its name") // the same user, as the host calls it
	d.Shutdown()
	d.Start()
	d.Ready()
	d.Must("start", "one.yaml")
	refused(t, asUser(echo(d, "one"), someone), "by its name")
	d.Must("revive", "--principal", "nobody", "--why", "it was none")
	answers(t, asUser(echo(d, "one"), someone))
}

// What names no target, or two, throws no switch.
func TestNoTarget(t *testing.T) {
	d := harness.New(t)
	for _, args := range [][]string{
		{}, {"a", "--all"}, {"--label", "x=y", "--all"}, {"--label", "x"}, {"--label", "x=../y"}, {"--principal", "no such user"}, {"--principal", "uid:../1"}, {"a/b/c"}, {"no-such-server"},
	} {
		if _, errs, code := d.Run(append([]string{"kill", "--why", "test"}, args...)...); code != 2 {
			t.Errorf("kill %q: exit code %d, %s", args, code, errs)
		}
	}
	if found, _ := filepath.Glob(d.Dirs.Switches() + "/*.json"); len(found) > 0 {
		t.Errorf("switches: %q", found)
	}
}
