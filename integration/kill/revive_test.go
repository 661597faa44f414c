package kill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// operators are two users of the host who may kill and revive, beside root.
const alice, bob = 61001, 61002

// panel is a daemon whose switches two operators take back together.
type panel struct {
	*harness.Daemon
	t      *testing.T
	policy string
}

func newPanel(t *testing.T) *panel {
	p := &panel{t: t, policy: filepath.Join(t.TempDir(), "policy.yaml")}
	p.needs("2")
	p.Daemon = harness.New(t, "-operators", "61001,61002", "-policy", p.policy)
	return p
}

func (p *panel) needs(n string) {
	p.t.Helper()
	if err := os.WriteFile(p.policy, []byte("version: 1\nrevive: {approvers: "+n+"}\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// revive asks for the end of a kill as a user, and asserts what is said.
func (p *panel) revive(uid uint32, target []string, code int, says ...string) {
	p.t.Helper()
	cmd := asUser(p.Command(append(append([]string{"revive"}, target...), "--why", "looked at it")...), uid)
	text, got := begin(p.t, cmd).end(p.t)
	for _, s := range says {
		if got != code || !strings.Contains(text, s) {
			p.t.Errorf("revive %q by uid %d: exit code %d, %q; want %d and %q", target, uid, got, text, code, s)
		}
	}
}

// Where the policy asks for two, a switch is taken back by two different operators who
// mean the same kill, and by nothing less, whatever happens between the two.
func TestReviveByTwo(t *testing.T) {
	p := newPanel(t)
	p.Up("one", "everything", tools)
	one := []string{"one"}
	p.Must("kill", "one", "--why", "odd")
	p.revive(alice, one, 0, "one stays dead: 1 of 2 have said", "another operator has to", "mcprun revive one --why")
	p.revive(alice, one, 3, "uid:61001 said yes already", "ask another operator")
	refused(t, p.Command("start", "one.yaml"), "odd")
	if _, errs, _ := p.Run("ps"); !strings.Contains(errs, "uid:61001 would revive it: looked at it; 1 of 2, until") {
		t.Errorf("ps: %s", errs)
	}
	if text := p.Must("inspect", "one"); !strings.Contains(text, "uid:61001 would revive it") {
		t.Errorf("inspect: %s", text)
	}
	p.Crash()
	p.Start()
	p.Ready()
	p.revive(alice, one, 3, "uid:61001 said yes already")
	p.revive(bob, one, 0, "one may run again", "61001", "61002")
	p.Must("start", "one.yaml")
	answers(t, echo(p.Daemon, "one"))

	// What was said of one kill counts for no later one, however that was thrown.
	p.Must("kill", "one", "--why", "odd again")
	p.revive(bob, one, 0, "1 of 2")
	p.Must("kill", "one", "--why", "and again")
	p.revive(alice, one, 0, "1 of 2")
	put(t, p.Daemon, "server@one", "no, I have seen it too")
	emptied(t, p.Daemon)
	p.revive(bob, one, 0, "1 of 2")
	p.Crash()
	p.revive(alice, one, 4, "no daemon answers") // nobody is there to take it back
	p.Start()
	p.Ready()
	p.revive(bob, one, 3, "said yes already")
	refused(t, p.Command("start", "one.yaml"), "seen it too")
	text := p.Must("audit", "tail", "-n", "10000", "--json")
	for want, n := range map[string]int{`"type":"revive-yes"`: 4, `"type":"revive"`: 1, `"by":"uid:61001, uid:61002"`: 1, `"yes":"2 of 2"`: 1} {
		if got := strings.Count(text, want); got != n {
			t.Errorf("the record has %s %d times, want %d", want, got, n)
		}
	}
}

// It is the policy at the last yes that says how many: one that was said before takes
// back nothing by itself, and a policy that asks for more asks for it at once.
func TestReviveByThePolicyOfTheMoment(t *testing.T) {
	p := newPanel(t)
	label, client := []string{"--label", "team=x"}, []string{"--principal", "uid:61003"}
	thrown := func(target string) bool {
		_, errs, _ := p.Run("ps")
		return strings.Contains(errs, target)
	}
	p.Must("kill", "--label", "team=x", "--why", "odd")
	p.Must("kill", "--principal", "uid:61003", "--why", "odd")
	p.revive(alice, label, 0, "1 of 2")
	p.needs("1")
	p.revive(alice, client, 0, "1 of 2") // written, and not in force
	p.Must("policy", "reload")
	if !thrown("team=x") || !thrown("uid:61003") {
		t.Error("a policy that was lowered took back a switch by itself")
	}
	p.revive(alice, label, 0, "label team=x may run again")
	p.needs("2")
	p.Must("policy", "reload")
	p.Must("kill", "--label", "team=x", "--why", "odd")
	p.revive(bob, label, 0, "1 of 2")
	p.revive(0, label, 0, "may run again")
	p.revive(bob, client, 0, "may run again")
	if thrown("team=x") || thrown("uid:61003") {
		t.Error("the control: two people do not take it back")
	}
	p.revive(alice, label, 1, "label team=x is not killed")
}
