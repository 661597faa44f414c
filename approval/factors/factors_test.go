package factors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/passkey"
)

// An operator, and so an agent that runs as one, can set up an authenticator, and gains
// nothing by it: until root or somebody whose own counts confirms it, it proves nothing.
func TestUnconfirmedCountsNothing(t *testing.T) {
	b := newBench(t)
	id, secret := b.add(alice)
	key, err := b.AddPasskey(alice, passkey.Credential{ID: []byte("key"), Key: []byte("public")}, b.record)
	if err != nil {
		t.Fatal(err)
	}
	never := func([]passkey.Credential) (passkey.Credential, error) { return passkey.Credential{}, passkey.ErrNone }
	unproven := func(when string) {
		t.Helper()
		if _, err := b.Check(alice, code(t, secret, b.at)); !errors.Is(err, ErrNone) {
			t.Errorf("%s: its code: %v", when, err)
		}
		if codes, keys := b.Has(alice); codes || keys || b.Any() || len(b.Passkeys(alice, false)) != 0 {
			t.Errorf("%s: %v %v, any %v", when, codes, keys, b.Any())
		}
		if _, err := b.Sign(alice, never, b.record); !errors.Is(err, passkey.ErrNone) {
			t.Errorf("%s: its passkey: %v", when, err)
		}
	}
	unproven("new")
	b.restart()
	unproven("after a restart")
	for name, a := range map[string]Authority{"nobody": {}, "alice herself": {By: alice}, "another operator": {By: bob}, "root without a name": {Root: true}} {
		for _, one := range []string{id, key.ID} {
			var refused *mcprun.Error
			if _, err := b.Confirm(one, "", a, b.record); !errors.As(err, &refused) || refused.Class != mcprun.Denied {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	unproven("after these")
	if _, err := b.Confirm(key.ID, "", asRoot, b.record); err != nil {
		t.Errorf("the control: %v", err)
	}
	if codes, keys := b.Has(alice); codes || !keys || !b.Any() {
		t.Errorf("after root confirmed the passkey: %v %v", codes, keys)
	}
}

// A code that the new one shows says that it works, and which one is meant.
func TestConfirmNeedsItsCode(t *testing.T) {
	b := newBench(t)
	mine, secret := b.add(alice)
	theirs, _ := b.add(alice) // an agent's, which runs as alice
	for _, wrong := range []string{"", "000000"} {
		if _, err := b.Confirm(mine, wrong, asRoot, b.record); !errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := b.Confirm(theirs, code(t, secret, b.at), asRoot, b.record); !errors.Is(err, ErrCode) {
		t.Errorf("the other one with this one's code: %v", err)
	}
	if f, err := b.Confirm(mine, code(t, secret, b.at), asRoot, b.record); err != nil || f.By != root || f.Person != alice {
		t.Errorf("the control: %+v, %v", f, err)
	}
	if _, err := b.Confirm(mine, code(t, secret, b.at), asRoot, b.record); err == nil || !strings.Contains(err.Error(), "confirmed already") {
		t.Errorf("twice: %v", err)
	}
	if _, err := b.Confirm("c-0", "", asRoot, b.record); !errors.Is(err, ErrUnknown) {
		t.Errorf("one that is none: %v", err)
	}
	if last := b.recorded[len(b.recorded)-1]; last.ID != mine || last.By != root {
		t.Errorf("recorded: %+v", last)
	}
}

// Somebody whose own counts can confirm another's, or a second one of theirs.
func TestConfirmByProof(t *testing.T) {
	b := newBench(t)
	for _, proof := range []approval.Proof{approval.ByCode, approval.ByPasskey} {
		id, secret := b.add(alice)
		if _, err := b.Confirm(id, code(t, secret, b.at), Authority{By: bob, Proof: proof}, b.record); err != nil {
			t.Errorf("%s: %v", proof, err)
		}
	}
	if got := b.List(); len(got) != 1 {
		t.Errorf("a new one that shows codes leaves the old one: %+v", got)
	}
}

// Who may remove: root, the one whose it is with a proof, and what does not count the
// one whose it is without one.
func TestRemove(t *testing.T) {
	for _, c := range []struct {
		name    string
		a       Authority
		counts  bool
		refused string
	}{
		{"root", asRoot, true, ""},
		{"alice with a code", Authority{By: alice, Proof: approval.ByCode}, true, ""},
		{"alice with a passkey", Authority{By: alice, Proof: approval.ByPasskey}, true, ""},
		{"alice, of one that does not count", Authority{By: alice}, false, ""},
		{"alice, or an agent that runs as her", Authority{By: alice}, true, "an agent may run as uid:1000"},
		{"bob with a code", Authority{By: bob, Proof: approval.ByCode}, true, "it is uid:1000's"},
		{"bob, of one that does not count", Authority{By: bob}, false, "it is uid:1000's"},
		{"nobody", Authority{Proof: approval.ByCode}, true, "nobody is named"},
		{"the zero value", Authority{}, false, "nobody is named"},
	} {
		b := newBench(t)
		id, _ := b.add(alice)
		if c.counts {
			b.Remove(id, asRoot, b.record)
			id, _ = b.enrolled(alice)
		}
		_, err := b.Remove(id, c.a, b.record)
		if c.refused == "" && (err != nil || len(b.List()) != 0) || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || len(b.List()) != 1) {
			t.Errorf("%s: %v, %d are left", c.name, err, len(b.List()))
		}
	}
}

// What cannot be recorded does not happen.
func TestRecordBeforeEffect(t *testing.T) {
	b := newBench(t)
	id, secret := b.add(alice)
	counting, _ := b.enrolled(bob)
	b.broken = errors.New("the disk is full")
	if _, _, err := b.AddCode(alice, "alice", b.record); !errors.Is(err, b.broken) || len(b.List()) != 2 {
		t.Errorf("setting up: %v, %d", err, len(b.List()))
	}
	if _, err := b.Confirm(id, code(t, secret, b.at), asRoot, b.record); !errors.Is(err, b.broken) {
		t.Errorf("confirming: %v", err)
	}
	if _, err := b.Remove(counting, asRoot, b.record); !errors.Is(err, b.broken) {
		t.Errorf("removing: %v", err)
	}
	if codes, _ := b.Has(alice); codes {
		t.Error("it counts, and no record says so")
	}
	if codes, _ := b.Has(bob); !codes {
		t.Error("it is gone, and no record says so")
	}
	b.broken = nil
	if _, err := b.Confirm(id, code(t, secret, b.at), asRoot, b.record); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// What nobody confirms is forgotten; there are few at a time.
func TestPendingIsBounded(t *testing.T) {
	b := newBench(t)
	first, secret := b.add(alice)
	other, _ := b.add(bob)
	for range maxPending {
		b.add(alice)
	}
	if _, err := b.Confirm(first, code(t, secret, b.at), asRoot, b.record); !errors.Is(err, ErrUnknown) || len(b.List()) != maxPending+1 {
		t.Errorf("the oldest does not give way: %v, %d", err, len(b.List()))
	}
	if _, err := b.Get(other); err != nil {
		t.Errorf("bob's gave way to alice's: %v", err)
	}
	last, secret := b.add(alice)
	b.at = b.at.Add(confirmWithin - time.Nanosecond)
	if _, err := b.Get(last); err != nil {
		t.Errorf("just before: %v", err)
	}
	b.at = b.at.Add(time.Nanosecond)
	if _, err := b.Confirm(last, code(t, secret, b.at), asRoot, b.record); !errors.Is(err, ErrUnknown) || len(b.List()) != 0 {
		t.Errorf("too late: %v, %d", err, len(b.List()))
	}
	id, _ := b.enrolled(alice)
	b.at = b.at.Add(confirmWithin)
	if _, err := b.Get(id); err != nil {
		t.Errorf("one that counts expires: %v", err)
	}
}

func (b *bench) passkey(who mcprun.Principal, id string, count uint32) Factor {
	b.t.Helper()
	f, err := b.AddPasskey(who, passkey.Credential{ID: []byte(id), Key: []byte("public " + id), Count: count}, b.record)
	if err == nil {
		f, err = b.Confirm(f.ID, "", asRoot, b.record)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// The counter of a passkey is kept before a yes counts. One whose counter went back
// counts no more, whoever has it, and approvals need a proof all the same.
func TestSign(t *testing.T) {
	b := newBench(t)
	f := b.passkey(alice, "one", 4)
	sign := func(count uint32, fail error) (Factor, error) {
		return b.Sign(alice, func(have []passkey.Credential) (passkey.Credential, error) {
			if len(have) == 0 {
				return passkey.Credential{}, passkey.ErrNone
			}
			c := have[0]
			c.Count = count
			return c, fail
		}, b.record)
	}
	if got, err := sign(5, nil); err != nil || got.ID != f.ID || got.Person != alice || got.Used.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	b.restart()
	if got := b.Passkeys(alice, false); len(got) != 1 || got[0].Count != 5 {
		t.Errorf("the counter after a restart: %+v", got)
	}
	if _, err := sign(6, errors.New("no")); err == nil || b.Passkeys(alice, false)[0].Count != 5 {
		t.Errorf("what was refused moves the counter: %v", err)
	}
	recorded := len(b.recorded)
	if _, err := sign(5, passkey.ErrCloned); !errors.Is(err, passkey.ErrCloned) || len(b.recorded) != recorded+1 || b.recorded[recorded].Cloned.IsZero() {
		t.Errorf("a copy: %v, recorded %+v", err, b.recorded[recorded:])
	}
	b.restart()
	if _, err := sign(9, nil); !errors.Is(err, passkey.ErrNone) {
		t.Errorf("after that: %v", err)
	}
	if _, keys := b.Has(alice); keys || !b.Any() {
		t.Errorf("it counts: %v; proofs are needed: %v", keys, b.Any())
	}
	if _, err := b.AddPasskey(bob, passkey.Credential{ID: []byte("one"), Key: []byte("k")}, b.record); !errors.Is(err, errTwice) {
		t.Errorf("the same passkey as bob's: %v", err)
	}
}

// A passkey that was removed while it signed proves nothing, nor does one of somebody
// else that a check lets through.
func TestSignOfAnother(t *testing.T) {
	b := newBench(t)
	b.passkey(alice, "alice", 1)
	b.passkey(bob, "bob", 1)
	for _, id := range []string{"bob", "gone"} {
		if _, err := b.Sign(alice, func([]passkey.Credential) (passkey.Credential, error) { return passkey.Credential{ID: []byte(id)}, nil }, b.record); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for n := range maxPasskeys - 1 {
		b.passkey(bob, string(rune('c'+n)), 0)
	}
	f, err := b.AddPasskey(bob, passkey.Credential{ID: []byte("more"), Key: []byte("k")}, b.record)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Confirm(f.ID, "", asRoot, b.record); err == nil || !strings.Contains(err.Error(), "8 passkeys already") {
		t.Errorf("ever more: %v", err)
	}
}

// An earlier version kept one secret for everybody, whose codes do not say who: none of
// them counts, approvals still need a proof, and the first new one ends it.
func TestOneSecretOfEarlier(t *testing.T) {
	b := newBench(t)
	old := filepath.Join(filepath.Dir(b.path), "factor.json")
	if err := os.WriteFile(old, []byte(`{"secret":"JBSWY3DPEHPK3PXP","last":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if !b.Any() || !b.Stale() {
		t.Error("approvals need no proof any more")
	}
	for _, who := range []mcprun.Principal{root, alice} {
		if _, err := b.Check(who, code(t, "JBSWY3DPEHPK3PXP", b.at)); !errors.Is(err, ErrNone) {
			t.Errorf("%s with its code: %v", who, err)
		}
	}
	id, _ := b.enrolled(alice)
	if b.Stale() || !b.Any() {
		t.Errorf("after a new one counts: stale %v, any %v", b.Stale(), b.Any())
	}
	if _, err := b.Remove(id, asRoot, b.record); err != nil || b.Any() {
		t.Errorf("after the last was removed by root: %v, any %v", err, b.Any())
	}
}

// What is not whole is not taken for less: the daemon does not start with it.
func TestOpenBroken(t *testing.T) {
	b := newBench(t)
	b.enrolled(alice)
	good, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing": "", "half": string(good[:len(good)/2]), "of another version": strings.Replace(string(good), `"version": 1`, `"version": 2`, 1), "without a version": `{"factors":[]}`,
		"without a secret": strings.Replace(string(good), `"secret"`, `"s"`, 1), "of nobody": strings.Replace(string(good), `"person"`, `"p"`, 1), "of no kind": strings.Replace(string(good), `"code"`, `"c"`, 1),
		"a passkey without its key": `{"version":1,"factors":[{"id":"p-1","person":"uid:1","kind":"passkey","key":{"id":"AA=="}}]}`,
	} {
		if err := os.WriteFile(b.path, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(b.path, "", time.Now); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if err := os.WriteFile(b.path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	b.restart() // the control
	if codes, _ := b.Has(alice); !codes {
		t.Error("the control: it is gone")
	}
}
