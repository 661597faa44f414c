package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval/passkey/passkeytest"
)

const (
	origin = "http://localhost:7787"
	alice  = mcprun.Principal("uid:1000")
	bob    = mcprun.Principal("uid:1001")
)

// bench is a page with a clock, and alice's passkey.
type bench struct {
	t testing.TB
	*Site
	at    time.Time
	alice *passkeytest.Authenticator
	have  []Credential // alice's
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, at: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}
	var err error
	if b.Site, err = New(origin, func() time.Time { return b.at }); err != nil {
		t.Fatal(err)
	}
	b.alice = newAuthenticator(t)
	b.have = []Credential{b.enrol(alice, b.alice)}
	return b
}

func newAuthenticator(t testing.TB) *passkeytest.Authenticator { return passkeytest.New(t, origin) }

func made(a *passkeytest.Authenticator, q Asked) Made {
	got := a.Make(q.Options)
	return Made{Asked: q.Name, ID: got.ID, ClientData: got.ClientData, Attestation: got.Attestation, Transports: []string{"internal", "hybrid"}}
}

func sign(a *passkeytest.Authenticator, q Asked) Yes { return yesOf(q.Name, a.Sign(q.Options)) }

func yesOf(asked string, got passkeytest.Answer) Yes {
	return Yes{Asked: asked, ID: got.ID, ClientData: got.ClientData, AuthData: got.AuthData, Signature: got.Signature, UserHandle: got.UserHandle}
}

func (b *bench) enrol(who mcprun.Principal, a *passkeytest.Authenticator) Credential {
	b.t.Helper()
	q, err := b.Register(who, string(who), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := b.Registered(who, made(a, q))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) ask(s Subject) Asked {
	b.t.Helper()
	q, err := b.Ask(alice, b.have, s)
	if err != nil {
		b.t.Fatal(err)
	}
	return q
}

// control says that a good yes still goes through, and takes over the counter.
func (b *bench) control(what string) {
	b.t.Helper()
	c, err := b.Check(alice, b.have, call, sign(b.alice, b.ask(call)))
	if err != nil {
		b.t.Errorf("%s: the control is refused: %v", what, err)
		return
	}
	if c.Count <= b.have[0].Count {
		b.t.Errorf("%s: the counter stays %d", what, c.Count)
	}
	b.have = []Credential{c}
}

var call = Call("a-1", "uid:5", "sha256:args", "sha256:tool", "sha256:shown")

// A yes is to what was shown, once, by who has the passkey and was verified by it, on
// this page. Each of these is refused, and the same without the one change is not.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bench, *passkeytest.Authenticator) // before it signs
		answer func(*bench, *Yes)
		why    string
	}{
		{name: "another origin", change: func(_ *bench, a *passkeytest.Authenticator) { a.Origin = "http://evil.example" }, why: "not on this page"},
		{name: "another port of this host, whose pages share the passkeys", change: func(_ *bench, a *passkeytest.Authenticator) { a.Origin = "http://localhost:8080" }, why: "not on this page"},
		{name: "the origin with TLS", change: func(_ *bench, a *passkeytest.Authenticator) { a.Origin = "https://localhost:7787" }, why: "not on this page"},
		{name: "the origin in capitals, which the library takes", change: func(_ *bench, a *passkeytest.Authenticator) { a.Origin = "http://LOCALHOST:7787" }, why: "not on this page"},
		{name: "the origin with a path, which the library takes", change: func(_ *bench, a *passkeytest.Authenticator) { a.Origin = origin + "/x" }, why: "not on this page"},
		{name: "another name", change: func(_ *bench, a *passkeytest.Authenticator) { a.Name = "evil.example" }, why: "another name than localhost"},
		{name: "a frame of another page", change: func(_ *bench, a *passkeytest.Authenticator) { a.Cross = true }, why: "in a frame"},
		{name: "another page at the top", change: func(_ *bench, a *passkeytest.Authenticator) { a.Extra = `,"topOrigin":"http://localhost:7787"` }, why: "in a frame"},
		{name: "the making of a passkey", change: func(_ *bench, a *passkeytest.Authenticator) { a.Kind = "webauthn.create" }, why: "the ceremony"},
		{name: "client data that says two things", change: func(_ *bench, a *passkeytest.Authenticator) { a.Extra = `,"origin":"http://localhost:7787"` }, why: "duplicate"},
		{name: "no user verification", change: func(_ *bench, a *passkeytest.Authenticator) { a.Flags = passkeytest.Present }, why: "did not verify"},
		{name: "nobody present", change: func(_ *bench, a *passkeytest.Authenticator) { a.Flags = passkeytest.Verified }, why: "nobody touched"},
		{name: "a passkey that was not synced and is", change: func(_ *bench, a *passkeytest.Authenticator) { a.Flags |= passkeytest.Eligible }, why: "Backup Eligible"},
		{name: "a counter that stays", change: func(_ *bench, a *passkeytest.Authenticator) { a.Count-- }, why: "went back"},
		{name: "a counter that goes back", change: func(b *bench, a *passkeytest.Authenticator) { b.have[0].Count, a.Count = 100, 50 }, why: "went back"},
		{name: "a counter that begins anew", change: func(_ *bench, a *passkeytest.Authenticator) { a.Count = ^uint32(0) }, why: "went back"},
		{name: "another key with the same id", change: func(b *bench, a *passkeytest.Authenticator) {
			*a = passkeytest.Authenticator{T: a.T, Key: newAuthenticator(a.T).Key, ID: a.ID, Handle: a.Handle, Count: a.Count, Flags: a.Flags, Origin: a.Origin, Name: a.Name}
		}, why: "signature"},
		{name: "another passkey", change: func(b *bench, a *passkeytest.Authenticator) { *a = *newAuthenticator(b.t) }, why: "not owned"},
		{name: "bob's passkey", change: func(b *bench, a *passkeytest.Authenticator) { o := newAuthenticator(b.t); b.enrol(bob, o); *a = *o }, why: "not owned"},
		{name: "bob's name on alice's passkey", change: func(_ *bench, a *passkeytest.Authenticator) { a.Handle = handle(bob) }, why: "User handle"},
		{name: "a signature that is cut", answer: func(_ *bench, y *Yes) { y.Signature = y.Signature[:8] }, why: "signature"},
		{name: "client data that was changed", answer: func(_ *bench, y *Yes) { y.ClientData = append(y.ClientData, ' ') }, why: "signature"},
		{name: "a counter that was changed", answer: func(_ *bench, y *Yes) { y.AuthData = slices.Concat(y.AuthData[:36], octets{9}) }, why: "signature"},
		{name: "too late", answer: func(b *bench, _ *Yes) { b.at = b.at.Add(askedLife) }, why: "has expired"},
		{name: "nothing was asked", answer: func(_ *bench, y *Yes) { y.Asked = "x" }, why: "was not asked"},
		{name: "no signature", answer: func(_ *bench, y *Yes) { y.Signature = nil }, why: "signature has 0 bytes"},
		{name: "much of a signature", answer: func(_ *bench, y *Yes) { y.Signature = make(octets, maxSignature+1) }, why: "signature has 1025 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			a := *b.alice
			if c.change != nil {
				c.change(b, &a)
			}
			yes := sign(&a, b.ask(call))
			if c.answer != nil {
				c.answer(b, &yes)
			}
			if _, err := b.Check(alice, b.have, call, yes); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
			fresh := newBench(t)
			fresh.control(c.name)
		})
	}
}

// A copy of a key shows by its counter: the one who keeps the passkeys learns which.
func TestCloned(t *testing.T) {
	b := newBench(t)
	b.have[0].Count = 1000
	c, err := b.Check(alice, b.have, call, sign(b.alice, b.ask(call)))
	if !errors.Is(err, ErrCloned) || string(c.ID) != string(b.alice.ID) || c.Count != 1000 {
		t.Errorf("%+v, %v", c, err)
	}
	// One that counts nothing, as synced ones do, is no copy.
	b.have[0].Count, b.alice.Count = 0, 0
	yes := sign(b.alice, b.ask(call))
	zero := yesOf(yes.Asked, b.alice.Signed(yes.ClientData, append(yes.AuthData[:33:33], 0, 0, 0, 0)))
	if _, err := b.Check(alice, b.have, call, zero); err != nil {
		t.Errorf("a passkey that does not count: %v", err)
	}
}

// An answer is good once, also one that was refused.
func TestReplay(t *testing.T) {
	b := newBench(t)
	yes := sign(b.alice, b.ask(call))
	if _, err := b.Check(alice, b.have, call, yes); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(alice, b.have, call, yes); !errors.Is(err, ErrAsked) {
		t.Errorf("again: %v", err)
	}
	again := b.ask(call) // the same question once more has another challenge
	yes.Asked = again.Name
	if _, err := b.Check(alice, b.have, call, yes); err == nil || !strings.Contains(err.Error(), "another question") {
		t.Errorf("the old answer to the same question: %v", err)
	}
	if _, err := b.Check(alice, b.have, call, sign(b.alice, again)); !errors.Is(err, ErrAsked) {
		t.Errorf("a second answer after one that was refused: %v", err)
	}
	b.control("replay")
}

// What is said yes to is the whole of what was shown: whatever changes, the signature
// is one to something else, also where the page passes the question off as another.
func TestSubjects(t *testing.T) {
	b := newBench(t)
	for name, other := range map[string]Subject{
		"another call":            Call("a-2", "uid:5", "sha256:args", "sha256:tool", "sha256:shown"),
		"another caller":          Call("a-1", "uid:6", "sha256:args", "sha256:tool", "sha256:shown"),
		"other arguments":         Call("a-1", "uid:5", "sha256:other", "sha256:tool", "sha256:shown"),
		"another tool":            Call("a-1", "uid:5", "sha256:args", "sha256:other", "sha256:shown"),
		"shown differently":       Call("a-1", "uid:5", "sha256:args", "sha256:tool", "sha256:other"),
		"parts set differently":   Call("a-1uid:5", "", "sha256:args", "sha256:tool", "sha256:shown"),
		"an authenticator":        Confirm("a-1", "uid:5", "sha256:args"),
		"that one counts no more": Remove("a-1", "uid:5"),
		"nothing":                 {},
	} {
		yes := sign(b.alice, b.ask(call))
		if _, err := b.Check(alice, b.have, other, yes); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
		if other.none() {
			continue
		}
		yes = sign(b.alice, b.ask(call))
		yes.Asked = b.ask(other).Name
		if _, err := b.Check(alice, b.have, other, yes); err == nil || !strings.Contains(err.Error(), "another question") {
			t.Errorf("%s, passed off: %v", name, err)
		}
		b.control(name)
	}
	if _, err := b.Ask(alice, b.have, Subject{}); !errors.Is(err, ErrOther) {
		t.Errorf("a yes to nothing is asked for: %v", err)
	}
}

// What was asked of one person is nobody else's to answer, nor to take away.
func TestWho(t *testing.T) {
	b := newBench(t)
	yes := sign(b.alice, b.ask(call))
	if _, err := b.Check(bob, b.have, call, yes); !errors.Is(err, ErrAsked) {
		t.Errorf("as bob: %v", err)
	}
	if _, err := b.Check(alice, b.have, call, yes); err != nil {
		t.Errorf("the control: %v", err)
	}
	// A passkey that was taken away meanwhile is one no more.
	yes = sign(b.alice, b.ask(call))
	if _, err := b.Check(alice, nil, call, yes); !errors.Is(err, ErrNone) {
		t.Errorf("without passkeys: %v", err)
	}
	yes = sign(b.alice, b.ask(call))
	if _, err := b.Check(alice, []Credential{b.enrol(alice, newAuthenticator(t))}, call, yes); err == nil || !strings.Contains(err.Error(), "not owned") {
		t.Errorf("with another one in its place: %v", err)
	}
	if _, err := b.Ask(alice, nil, call); !errors.Is(err, ErrNone) {
		t.Errorf("asking who has none: %v", err)
	}
}

// A new passkey is one of this page, made now, by somebody whom it verified.
func TestRegistered(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*passkeytest.Authenticator)
		answer func(*bench, *Made)
		why    string
	}{
		{name: "another origin", change: func(a *passkeytest.Authenticator) { a.Origin = "http://localhost:8080" }, why: "not on this page"},
		{name: "another name", change: func(a *passkeytest.Authenticator) { a.Name = "evil.example" }, why: "another name than localhost"},
		{name: "a frame", change: func(a *passkeytest.Authenticator) { a.Cross = true }, why: "in a frame"},
		{name: "a yes", change: func(a *passkeytest.Authenticator) { a.Kind = "webauthn.get" }, why: "the ceremony"},
		{name: "no user verification", change: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.Present }, why: "did not verify"},
		{name: "another id", answer: func(_ *bench, m *Made) { m.ID = octets("another") }, why: "attested credential id"},
		{name: "no attestation", answer: func(_ *bench, m *Made) { m.Attestation = nil }, why: "attestation has 0 bytes"},
		{name: "broken attestation", answer: func(_ *bench, m *Made) { m.Attestation = m.Attestation[:50] }, why: "attestation"},
		{name: "a maker's certificate", answer: func(b *bench, m *Made) {
			var o map[string]any
			if err := webauthncbor.Unmarshal(m.Attestation, &o); err != nil {
				b.t.Fatal(err)
			}
			o["fmt"], o["attStmt"] = "tpm", map[string]any{"ver": "2.0"}
			m.Attestation = b.alice.CBOR(o)
		}, why: "nobody asked for"},
		{name: "many transports", answer: func(_ *bench, m *Made) { m.Transports = make([]string, 99) }, why: "99 transports"},
		{name: "a transport that is none", answer: func(_ *bench, m *Made) { m.Transports = []string{"<b>"} }, why: "no transport"},
		{name: "too late", answer: func(b *bench, _ *Made) { b.at = b.at.Add(askedLife) }, why: "has expired"},
		{name: "an answer to a call", answer: func(b *bench, m *Made) { m.Asked = b.ask(call).Name }, why: "not what the passkey was asked for"},
		{name: "an answer to another question", answer: func(b *bench, m *Made) { q, _ := b.Register(alice, "a", nil); m.Asked = q.Name }, why: "another question"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			a := newAuthenticator(t)
			if c.change != nil {
				c.change(a)
			}
			q, err := b.Register(alice, "alice", b.have)
			if err != nil {
				t.Fatal(err)
			}
			answer := made(a, q)
			if c.answer != nil {
				c.answer(b, &answer)
			}
			if _, err := b.Registered(alice, answer); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
			if _, err := b.Registered(bob, answer); !errors.Is(err, ErrAsked) {
				t.Errorf("of somebody else: %v", err)
			}
			b.enrol(alice, newAuthenticator(t)) // the control
		})
	}
}

// What the browser is asked for: this name, verification of the user, the passkeys that
// there are, and no word of which make.
func TestOptions(t *testing.T) {
	b := newBench(t)
	var get struct {
		RPID, UserVerification string
		Timeout                int
		AllowCredentials       []struct{ ID, Type string }
	}
	if err := json.Unmarshal(b.ask(call).Options, &get); err != nil || get.RPID != Name || get.UserVerification != "required" || get.Timeout != 120000 || len(get.AllowCredentials) != 1 {
		t.Errorf("a yes: %+v, %v", get, err)
	}
	q, err := b.Register(alice, "alice (uid:1000)", b.have)
	if err != nil {
		t.Fatal(err)
	}
	var create struct {
		RP                     struct{ ID, Name string }
		User                   struct{ ID, Name string }
		Attestation            string
		ExcludeCredentials     []struct{ ID string }
		AuthenticatorSelection struct{ UserVerification string }
		PubKeyCredParams       []struct{ Alg int }
	}
	if err := json.Unmarshal(q.Options, &create); err != nil || create.RP.ID != Name || create.User.Name != "alice (uid:1000)" || create.Attestation != "none" || len(create.ExcludeCredentials) != 1 ||
		create.AuthenticatorSelection.UserVerification != "required" || len(create.PubKeyCredParams) != 3 || strings.Contains(create.User.ID, "1000") {
		t.Errorf("a new one: %+v, %v\n%s", create, err, q.Options)
	}
}

// What is asked is bounded for each, so that one cannot take up all.
func TestAskedIsBounded(t *testing.T) {
	b := newBench(t)
	first := sign(b.alice, b.ask(call))
	for range maxOfOne {
		b.at = b.at.Add(time.Second)
		b.ask(call)
	}
	if _, err := b.Check(alice, b.have, call, first); !errors.Is(err, ErrAsked) || len(b.open) != maxOfOne {
		t.Errorf("the oldest does not give way: %v, %d are open", err, len(b.open))
	}
	for n := range maxOpen {
		b.Register(mcprun.Principal(fmt.Sprint("uid:", n+5000)), "x", nil)
	}
	if _, err := b.Register("uid:99999", "x", nil); err == nil || len(b.open) > maxOpen {
		t.Errorf("%d are open, and another: %v", len(b.open), err)
	}
	b.at = b.at.Add(askedLife)
	b.control("after they expired")
}
