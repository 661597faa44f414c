package servers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// realm is a daemon with ceilings of its own.
type realm struct {
	t      *testing.T
	d      *harness.Daemon
	policy string
}

func newRealm(t *testing.T, ceilings string) *realm {
	t.Helper()
	r := &realm{t: t, policy: filepath.Join(t.TempDir(), "policy.yaml")}
	r.write(ceilings)
	r.d = harness.New(t, "-policy", r.policy)
	if err := os.Mkdir(filepath.Join(r.d.Dir, "workspace"), 0o777); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *realm) write(ceilings string) {
	r.t.Helper()
	if err := os.WriteFile(r.policy, []byte("version: 1\n"+ceilings+"\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *realm) refused(code int, says string, args ...string) {
	r.t.Helper()
	if out, errs, got := r.d.Run(args...); got != code || !strings.Contains(errs, says) {
		r.t.Errorf("mcprun %s: code %d, want %d and %q: %s%s", strings.Join(args, " "), got, code, says, out, errs)
	}
}

func (r *realm) server(name, yaml string) string {
	r.d.Write(name+".yaml", "version: 1\nname: "+name+"\nimage: "+harness.Image("everything")+"\nprofile: node\n"+yaml)
	return name + ".yaml"
}

const echo = "tools: {echo: {risk: low}, trigger-long-running-operation: {risk: low}}\n"

// A server.yaml that asks for more than the operator allows is neither locked nor
// started nor reloaded, with the line that says so; one that does not is.
func TestCeilingsRefuse(t *testing.T) {
	r := newRealm(t, "egress: {forbid: [paste.example.com]}\nlimits: {memory: 256MiB}")
	good := r.server("good", "resources: {memory: 256MiB}\n"+echo)
	for says, yaml := range map[string]string{
		"resources.memory: 257MiB is more than 256MiB: policy.yaml:3":                                  "resources: {memory: 257MiB}\n" + echo,
		"egress[0].host: *.example.com can reach paste.example.com, which is forbidden: policy.yaml:2": "resources: {memory: 256MiB}\negress: [{host: \"*.example.com\"}]\n" + echo,
		"gives away the accounts and keys of the host":                                                 "resources: {memory: 256MiB}\nfiles: [{from: ../../../../etc/mcprun, to: /data}]\n" + echo,
	} {
		bad := r.server("bad", yaml)
		r.refused(3, says, "lock", bad)
		r.refused(3, says, "check", bad)
	}
	r.d.Must("lock", good)
	r.d.Must("start", good)
	if out := r.d.Must("call", "good", "echo", `{"message":"here"}`); !strings.Contains(out, "here") {
		t.Errorf("the control: %s", out)
	}
	r.server("good", "resources: {memory: 256MiB}\negress: [{host: api.example.org}]\n"+echo)
	r.d.Must("reload", good)
	r.server("good", "resources: {memory: 256MiB}\negress: [{host: \"*.example.com\"}]\n"+echo)
	r.refused(3, "can reach paste.example.com", "reload", good)
	// With pins made elsewhere, as they are when they come from a repository.
	r.d.Must("stop", "good")
	r.refused(3, "can reach paste.example.com", "start", good)
	if out := r.d.Must("audit", "tail", "-n", "200", "--json"); !strings.Contains(out, "can reach paste.example.com") || !strings.Contains(out, `"ceilings":"sha256:`) {
		t.Errorf("the record has no refusal, or no digest of the ceilings: %s", out)
	}
}

// A daemon does not start with ceilings that somebody else could lift, that are not
// there though they were named, or that are broken.
func TestCeilingsAtTheStart(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(path string) error
		says string
	}{
		{"others can write it", func(p string) error { return os.Chmod(p, 0o666) }, "others can write it"},
		{"it is not there", os.Remove, "no such file"},
		{"it is broken", func(p string) error { return os.WriteFile(p, []byte("version: 1\nimage: x\n"), 0o644) }, "policy.yaml:2:1: image: unknown key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			policy := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(policy, []byte("version: 1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := row.make(policy); err != nil {
				t.Fatal(err)
			}
			d := harness.Prepare(t, "-policy", policy)
			d.Start()
			if d.Ready() {
				t.Error("the daemon started")
			}
			if log, _ := os.ReadFile(filepath.Join(filepath.Dir(d.Dir), "daemon.log")); !strings.Contains(string(log), row.says) {
				t.Errorf("the log lacks %q: %s", row.says, log)
			}
		})
	}
}

// Changed ceilings hold from the next call on, without a restart: a tool is raised, a
// broken file changes nothing and says so, and a server that asks for more is ended
// with its calls, which say why.
func TestCeilingsReload(t *testing.T) {
	const mounted = "timeouts: {approval: 200ms}\nfiles: [{from: ./workspace, to: /workspace}]\n" + echo
	r := newRealm(t, "grants: {sampling: false}")
	a, b := r.server("mounted", mounted), r.server("plain", "timeouts: {approval: 200ms}\n"+echo)
	for _, f := range []string{a, b} {
		r.d.Must("lock", f)
		r.d.Must("start", f)
	}
	passes := func(when string) {
		t.Helper()
		if out := r.d.Must("call", "plain", "echo", `{"message":"here"}`); !strings.Contains(out, "here") {
			t.Errorf("%s: %s", when, out)
		}
	}
	held := func(when string) {
		t.Helper()
		if out, errs, code := r.d.Run("call", "plain", "echo", `{"message":"here"}`); code != 3 || !strings.Contains(errs, "a human must approve it") || !strings.Contains(errs, "raised: policy.yaml demands high of tools named *cho*") {
			t.Errorf("%s: code %d, %s%s", when, code, out, errs)
		}
	}
	passes("before")

	const raises = "risk: {tools: [{name: \"*cho*\", risk: high}]}"
	r.write(raises)
	passes("written and not reloaded")
	r.d.Must("policy", "reload")
	held("after the reload")
	if out := r.d.Must("explain"); !strings.Contains(out, "class.raised") || !strings.Contains(out, "policy.yaml demands high") {
		t.Errorf("explain: %s", out)
	}
	if out := r.d.Must("policy", "replay", b); !strings.Contains(out, "1 decisions come out the same, 0 differ") {
		t.Errorf("replay: %s", out)
	}
	if out := r.d.Must("check", b); !strings.Contains(out, "tool echo counts as high") {
		t.Errorf("check: %s", out)
	}

	// Who may approve is the operator's word as well, from the next yes on.
	var waits []struct{ ID string }
	if err := json.Unmarshal([]byte(r.d.Must("approvals", "--json")), &waits); err != nil || len(waits) != 1 {
		t.Fatalf("%v wait: %v", waits, err)
	}
	r.refused(3, "made the call itself", "approve", waits[0].ID)
	r.write(raises + "\napproval: {approvers: [\"uid:12345\"]}")
	r.d.Must("policy", "reload")
	r.refused(3, "is not one of those who approve calls", "approve", waits[0].ID)

	// Broken ones change nothing: the command says all that is wrong, the record and
	// what is shown say that the newest file is not in force, and the old ones hold.
	r.write("risk: {default: lowest}\nfiles: {forbid: [../x]}")
	r.refused(2, "policy.yaml:2:17: risk.default", "policy", "reload")
	r.refused(2, "policy.yaml:3:", "policy", "reload")
	r.refused(2, "stay in force", "policy", "reload")
	held("after a broken reload")
	if out := r.d.Must("policy", "show"); !strings.Contains(out, "BROKEN") || !strings.Contains(out, "risk.default") || !strings.Contains(out, "*cho*") {
		t.Errorf("show: %s", out)
	}
	if out := r.d.Must("audit", "tail", "-n", "50", "--json"); !strings.Contains(out, "could not be reloaded") {
		t.Errorf("the record has no note: %s", out)
	}
	if err := os.Remove(r.policy); err != nil {
		t.Fatal(err)
	}
	r.refused(2, "no such file", "policy", "reload")
	held("after the file is gone")

	// By a signal as well, and back again.
	r.write("")
	if err := syscall.Kill(r.d.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if out := r.d.Must("policy", "show"); !strings.Contains(out, "*cho*") && !strings.Contains(out, "BROKEN") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("ten seconds after the signal the old ceilings hold")
		}
	}
	passes("after the signal")

	// A mount that is no longer allowed ends its server, and no other one.
	answer := make(chan string, 1)
	go func() {
		out, errs, _ := r.d.Run("call", "mounted", "trigger-long-running-operation", `{"duration":60,"steps":1}`)
		answer <- out + errs
	}()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(r.d.Must("ps", "--json"), `"inFlight": 1`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no call is in flight: %s", r.d.Must("ps", "--json"))
		}
	}
	r.write("files: {forbid: [" + filepath.Join(r.d.Dir, "workspace") + "]}")
	if out := r.d.Must("policy", "reload"); !strings.Contains(out, "mounted was stopped") || strings.Contains(out, "plain was stopped") {
		t.Errorf("reload: %s", out)
	}
	select {
	case got := <-answer:
		if !strings.Contains(got, "policy.yaml no longer allows") || !strings.Contains(got, "/workspace") {
			t.Errorf("the call in flight: %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("the call in flight hangs")
	}
	if out := r.d.Must("ps"); !strings.Contains(out, "policy.yaml no longer allows") {
		t.Errorf("ps: %s", out)
	}
	r.refused(3, "which is forbidden", "start", a)
	r.refused(3, "which is forbidden", "connect", "mounted")
	passes("the other server")
	if out := r.d.Must("audit", "tail", "-n", "50", "--json"); !strings.Contains(out, `"outcome":"asked"`) || !strings.Contains(out, "policy.yaml no longer allows") {
		t.Errorf("the record does not say why it was stopped: %s", out)
	}
}
