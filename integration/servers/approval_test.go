package servers

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/mcprun/mcprun/integration/harness"
)

// office is a daemon with a server that writes files only if a human says so.
type office struct {
	t      *testing.T
	d      *harness.Daemon
	secret string
	step   int64 // of the last code that was used
}

func newOffice(t *testing.T) *office {
	d := harness.New(t)
	o := &office{t: t, d: d}
	o.workspace()
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high, arguments: {path: {path: {under: [/workspace]}}}}\n")
	return o
}

// workspace makes the folder that the server may write.
func (o *office) workspace() {
	o.t.Helper()
	dir := filepath.Join(o.d.Dir, "workspace")
	if err := errors.Join(os.MkdirAll(dir, 0o777), os.Chmod(dir, 0o777)); err != nil { // whatever the umask
		o.t.Fatal(err)
	}
}

// enroll sets up an authenticator of root, which counts.
func (o *office) enroll() {
	o.t.Helper()
	id := o.newOne(o.d.Must("approvals", "enroll", "--json"))
	o.d.Must("approvals", "confirm", id, "--new-code", o.code())
}

// newOne takes over what was printed of a new authenticator.
func (o *office) newOne(printed string) (id string) {
	o.t.Helper()
	var made struct{ ID, URL string }
	if err := json.Unmarshal([]byte(printed), &made); err != nil {
		o.t.Fatalf("%v: %s", err, printed)
	}
	u, err := url.Parse(made.URL)
	if err != nil {
		o.t.Fatal(err)
	}
	o.secret = u.Query().Get("secret")
	o.step = time.Now().Unix()/30 - 2
	return made.ID
}

// code is one that was not used yet; the clock may be a step off either way.
func (o *office) code() string {
	o.t.Helper()
	for o.step++; o.step > time.Now().Unix()/30+1; {
		time.Sleep(time.Second)
	}
	o.step = max(o.step, time.Now().Unix()/30-1)
	code, err := totp.GenerateCode(o.secret, time.Unix(o.step*30, 0))
	if err != nil {
		o.t.Fatal(err)
	}
	return code
}

// call asks for a file to be written, and returns what comes back.
func (o *office) call(text string) <-chan string {
	args, err := json.Marshal(map[string]string{"path": "/workspace/note.txt", "content": text})
	if err != nil {
		o.t.Fatal(err)
	}
	out := make(chan string, 1)
	go func() {
		stdout, stderr, _ := o.d.Run("call", "files", "write_file", string(args))
		out <- stdout + stderr
	}()
	return out
}

// waiting returns the id of the one call that waits.
func (o *office) waiting() string {
	o.t.Helper()
	var list []struct{ ID string }
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := json.Unmarshal([]byte(o.d.Must("approvals", "--json")), &list); err != nil {
			o.t.Fatal(err)
		}
		if len(list) == 1 {
			return list[0].ID
		}
	}
	o.t.Fatalf("%d calls wait, want one", len(list))
	return ""
}

func (o *office) written() string {
	raw, _ := os.ReadFile(filepath.Join(o.d.Dir, "workspace", "note.txt"))
	return string(raw)
}

// A call of high risk waits for a human: it goes through once, for exactly what was
// shown, and never because the one who asked says so.
func TestApproval(t *testing.T) {
	o := newOffice(t)
	answer := o.call("first")
	id := o.waiting()
	if list := o.d.Must("approvals"); !strings.Contains(list, id) || !strings.Contains(list, "files/write_file") || !strings.Contains(list, "uid:0") {
		t.Errorf("the list: %s", list)
	}
	for _, want := range []string{"waiting, 14m left", "asked by  root (uid:0)", "write_file of server files", "a human must approve it [", "    65  class ", "  content\n    | first\n", "  path\n    | /workspace/note.txt\n", "sha256:"} {
		if shown := o.d.Must("approvals", "show", id); !strings.Contains(shown, want) {
			t.Errorf("what is shown lacks %q: %s", want, shown)
		}
	}
	if out := o.d.Must("approvals", "show", id, "--json"); !strings.Contains(out, `"argsDigest": "sha256:`) || !strings.Contains(out, `"risks": [`) || !strings.Contains(out, `"score": `) {
		t.Errorf("as JSON: %s", out)
	}
	if _, errs, code := o.d.Run("approvals", "show", "a-000000000000"); code != 2 || !strings.Contains(errs, "mcprun approvals --all") {
		t.Errorf("an id that is none: code %d, %s", code, errs)
	}
	if _, errs, code := o.d.Run("approve", id); code != 3 || !strings.Contains(errs, "made the call itself") || !strings.Contains(errs, "mcprun approvals enroll") {
		t.Errorf("approving one's own call: code %d, %s", code, errs)
	}
	o.enroll()
	if _, errs, code := o.d.Run("approve", id, "--code", "000000"); code != 3 || !strings.Contains(errs, "code") {
		t.Errorf("a wrong code: code %d, %s", code, errs)
	}
	if o.written() != "" {
		t.Fatal("it was written before anybody approved it")
	}
	code := o.code()
	o.d.Must("approve", id, "--code", code, "--why", "looks right")
	if got := <-answer; !strings.Contains(got, "Successfully wrote") || o.written() != "first" {
		t.Fatalf("the approved call: %s; written: %q", got, o.written())
	}
	// The same call again needs another yes; a code is good once; a no says why.
	answer = o.call("first")
	id = o.waiting()
	if _, errs, exit := o.d.Run("approve", id, "--code", code); exit != 3 {
		t.Errorf("the same code again: code %d, %s", exit, errs)
	}
	o.d.Must("deny", id, "--why", "not on a Friday")
	if got := <-answer; !strings.Contains(got, "not on a Friday") {
		t.Errorf("the denied call: %s", got)
	}
	if got := <-o.call("first"); !strings.Contains(got, "not on a Friday") {
		t.Errorf("asked again at once: %s", got)
	}
	// A kill takes back what waits.
	answer = o.call("second")
	o.waiting()
	o.d.Must("kill", "files", "--why", "test")
	if got := <-answer; strings.Contains(got, "Successfully") || o.written() != "first" {
		t.Errorf("after the kill: %s", got)
	}
	record := o.d.Must("audit", "tail", "-n", "1000", "--json")
	for _, want := range []string{`"type":"pending"`, `"type":"approval"`, `"why":"looks right"`, `"approval":"a-`, `"rule":"request.denied"`} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not have %s", want)
		}
	}
}

// A daemon that dies while a call waits forgets neither the question nor the answer,
// and the answer is good once.
func TestApprovalSurvivesACrash(t *testing.T) {
	o := newOffice(t)
	o.enroll()
	answer := o.call("first")
	id := o.waiting()
	o.d.Crash()
	<-answer
	o.d.Start()
	if !o.d.Ready() {
		t.Fatal("the daemon does not start")
	}
	if again := o.waiting(); again != id {
		t.Fatalf("after the crash %s waits, want %s", again, id)
	}
	o.d.Must("approve", id, "--code", o.code())
	o.d.Crash()
	o.d.Start()
	if !o.d.Ready() {
		t.Fatal("the daemon does not start")
	}
	o.d.Must("start", "files.yaml")
	if got := <-o.call("first"); !strings.Contains(got, "Successfully wrote") || o.written() != "first" {
		t.Fatalf("the call that was approved before the crash: %s", got)
	}
	o.d.Crash()
	o.d.Start()
	if !o.d.Ready() {
		t.Fatal("the daemon does not start")
	}
	o.d.Must("start", "files.yaml")
	answer = o.call("first")
	if other := o.waiting(); other == id {
		t.Error("it was good twice")
	} else {
		o.d.Must("deny", other)
	}
	<-answer
}

// as runs mcprun as another user.
func (o *office) as(uid uint32, args ...string) (out string, code int) {
	o.t.Helper()
	cmd := o.d.Command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}

// A tool that asks for two people goes through with the second one, whoever dies
// between the two.
func TestTwoApprovers(t *testing.T) {
	const alice, bob, eve = 61001, 61002, 61003
	d := harness.New(t, "-operators", "61001,61002", "-clients", "61003")
	o := &office{t: t, d: d}
	o.workspace()
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high, approvers: 2}\n")
	answer := o.call("by root")
	id := o.waiting()
	if out, code := o.as(eve, "approve", id); code != 3 || !strings.Contains(out, "operator") {
		t.Errorf("one who is no operator: code %d, %s", code, out)
	}
	if out, code := o.as(0, "approve", id); code != 3 || !strings.Contains(out, "made the call itself") {
		t.Errorf("the one who made the call: code %d, %s", code, out)
	}
	if out, code := o.as(alice, "approve", id); code != 0 || !strings.Contains(out, "1 of 2") {
		t.Fatalf("the first of two: code %d, %s", code, out)
	}
	if out, code := o.as(alice, "approve", id); code != 3 || !strings.Contains(out, "said yes already") {
		t.Errorf("the same person again: code %d, %s", code, out)
	}
	if o.written() != "" {
		t.Fatal("it was written with one yes of two")
	}
	o.d.Crash()
	<-answer
	o.d.Start()
	if !o.d.Ready() {
		t.Fatal("the daemon does not start")
	}
	o.d.Must("start", "files.yaml")
	if out, code := o.as(alice, "approve", id); code != 3 || !strings.Contains(out, "said yes already") {
		t.Errorf("the same person again after a crash: code %d, %s", code, out)
	}
	answer = o.call("by root")
	if out, code := o.as(bob, "approve", id); code != 0 || !strings.Contains(out, "approved") {
		t.Fatalf("the second of two: code %d, %s", code, out)
	}
	if got := <-answer; !strings.Contains(got, "Successfully wrote") || o.written() != "by root" {
		t.Errorf("with two: %s", got)
	}
}

// Who may say yes is the operator's policy, in force from the next yes on.
func TestApproversOfThePolicy(t *testing.T) {
	const alice, bob = 61001, 61002
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(approval string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte("version: 1\napproval: "+approval+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{approvers: ["uid:61002"]}`)
	d := harness.New(t, "-operators", "61001,61002", "-policy", policy)
	o := &office{t: t, d: d}
	o.workspace()
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high}\n")
	answer := o.call("by root")
	id := o.waiting()
	if out, code := o.as(alice, "approve", id); code != 3 || !strings.Contains(out, "uid:61001 is not one of those who approve calls") {
		t.Errorf("an operator whom the policy does not name: code %d, %s", code, out)
	}
	write(`{approvers: ["uid:61001", "uid:61002"], needs: 2}`)
	d.Must("policy", "reload")
	if out, code := o.as(alice, "approve", id); code != 0 || !strings.Contains(out, "1 of 2") {
		t.Errorf("the same one, named: code %d, %s", code, out)
	}
	if out, code := o.as(bob, "approve", id); code != 0 {
		t.Fatalf("the second of two: code %d, %s", code, out)
	}
	if got := <-answer; o.written() != "by root" {
		t.Errorf("the approved call: %s; written: %q", got, o.written())
	}
}

// An operator whose agent runs as the same user cannot be turned into their own
// approver: an authenticator that such an agent sets up proves nothing until root, or
// somebody whose own counts, has confirmed it.
func TestAuthenticatorsAreConfirmed(t *testing.T) {
	const alice, bob = 61001, 61002
	d := harness.New(t, "-operators", "61001,61002")
	o := &office{t: t, d: d}
	o.workspace()
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high}\n")
	refused := func(what, want string, uid uint32, args ...string) {
		t.Helper()
		if out, code := o.as(uid, args...); code != 3 || !strings.Contains(out, want) {
			t.Errorf("%s: code %d, %s", what, code, out)
		}
	}
	must := func(what string, uid uint32, args ...string) string {
		t.Helper()
		out, code := o.as(uid, args...)
		if code != 0 {
			t.Fatalf("%s: code %d, %s", what, code, out)
		}
		return out
	}
	mine := o.newOne(must("setting one up", alice, "approvals", "enroll", "--json"))
	o.call("by an agent")
	id, code := o.waiting(), o.code()
	refused("a code of one that was not confirmed", "no authenticator of yours counts", alice, "approve", id, "--code", code)
	refused("confirming one's own", "an agent may run as uid:61001", alice, "approvals", "confirm", mine, "--new-code", code)
	refused("with its own code as the proof", "no authenticator of yours counts", alice, "approvals", "confirm", mine, "--new-code", code, "--code", code)
	if _, errs, exit := o.d.Run("approvals", "confirm", mine, "--new-code", "000000"); exit != 3 || !strings.Contains(errs, "not one that the new authenticator shows") {
		t.Errorf("root with a wrong code: code %d, %s", exit, errs)
	}
	if out := must("looking", alice, "approvals", "authenticators"); !strings.Contains(out, mine) || !strings.Contains(out, "waiting") {
		t.Errorf("the list: %s", out)
	}
	d.Must("approvals", "confirm", mine, "--new-code", code)
	must("alice's own code, the control", alice, "approve", id, "--code", o.code())
	refused("removing another's", "it is uid:61001's", bob, "approvals", "remove", mine)
	refused("removing it without a code", "an agent may run as uid:61001", alice, "approvals", "remove", mine)

	hers := o.code()
	his := o.newOne(must("bob sets one up", bob, "approvals", "enroll", "--json"))
	code = o.code()
	refused("alice confirms bob's without a code", "an agent may run as uid:61001", alice, "approvals", "confirm", his, "--new-code", code)
	must("alice confirms bob's", alice, "approvals", "confirm", his, "--new-code", code, "--code", hers)
	o.call("another")
	id = o.waiting()
	refused("alice's code by bob", "the code is wrong", bob, "approve", id, "--code", hers)
	must("bob's own code, the control", bob, "approve", id, "--code", o.code())
	must("bob removes his", bob, "approvals", "remove", his, "--code", o.code())
	d.Must("approvals", "remove", mine)
	record := d.Must("audit", "tail", "-n", "1000", "--json")
	for _, want := range []string{`"type":"authenticator"`, "it waits to be confirmed", "counts from now on", "was used", "was removed", `"authenticator":"` + mine} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not have %s", want)
		}
	}
}
