package web

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/factors"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/approval/passkey/passkeytest"
	"github.com/mcprun/mcprun/internal/control"
)

// human is somebody who sits at the page with an authenticator.
type human struct {
	*bench
	who   mcprun.Principal
	token string
	key   *passkeytest.Authenticator
	id    string // of the passkey
}

// human opens the page and makes a passkey on it, which does not count yet.
func (b *bench) human(who mcprun.Principal) *human {
	b.t.Helper()
	h := &human{bench: b, who: who, token: b.enter(who), key: passkeytest.New(b.t, "http://localhost:7787")}
	asked := h.asked(h.post("/api/passkey/new", struct{}{}))
	got := h.key.Make(asked.Options)
	w := h.post("/api/passkey/made", passkey.Made{Asked: asked.Name, ID: got.ID, ClientData: got.ClientData, Attestation: got.Attestation, Transports: []string{"usb"}})
	var made control.Authenticator
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.State != "waiting" {
		b.t.Fatalf("a new passkey: %d %s", w.Code, w.Body)
	}
	h.id = made.ID
	return h
}

// confirmed has it count, as root does on the command line.
func (h *human) confirmed() *human {
	h.t.Helper()
	if _, err := h.desk.book.Confirm(h.id, "", factors.Authority{By: "uid:0", Root: true}, h.desk.note); err != nil {
		h.t.Fatal(err)
	}
	return h
}

func (h *human) post(path string, body any) *httptest.ResponseRecorder {
	h.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.request("POST", path, h.token, string(raw))
}

func (h *human) asked(w *httptest.ResponseRecorder) passkey.Asked {
	h.t.Helper()
	var q passkey.Asked
	if err := json.Unmarshal(w.Body.Bytes(), &q); err != nil || w.Code != 200 || q.Name == "" {
		h.t.Fatalf("asking: %d %s", w.Code, w.Body)
	}
	return q
}

func (h *human) sign(q passkey.Asked) *passkey.Yes {
	got := h.key.Sign(q.Options)
	return &passkey.Yes{Asked: q.Name, ID: got.ID, ClientData: got.ClientData, AuthData: got.AuthData, Signature: got.Signature, UserHandle: got.UserHandle}
}

func (h *human) ask(id string) passkey.Asked {
	h.t.Helper()
	return h.asked(h.post("/api/passkey/ask", question{For: "call", ID: id, Shown: h.shown(h.token, id)}))
}

func (h *human) yes(id string, key *passkey.Yes) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.post("/api/approve", yes{said: said{ID: id, Why: "read it"}, Shown: h.shown(h.token, id), Passkey: key})
}

// A passkey says yes to the one call that its human sees, as they see it, once; it counts
// from when it was confirmed. Each refusal stands beside the same thing done right.
func TestApproveByPasskey(t *testing.T) {
	b := newBench(t)
	b.desk.none = true
	alice := b.human("uid:1000")
	item := b.ask(`{"n":0}`)
	if w := alice.post("/api/passkey/ask", question{For: "call", ID: item.ID, Shown: b.shown(alice.token, item.ID)}); w.Code == 200 || !strings.Contains(w.Body.String(), "no passkey is set up") {
		t.Errorf("one that was not confirmed is asked: %d %s", w.Code, w.Body)
	}
	if w := alice.yes(item.ID, &passkey.Yes{}); w.Code == 200 || !strings.Contains(w.Body.String(), "no authenticator of yours counts") {
		t.Errorf("one that was not confirmed: %d %s", w.Code, w.Body)
	}
	alice.confirmed()
	bob := b.human("uid:1001").confirmed()
	for n, c := range []struct {
		name string
		key  func(item, other approval.Item) *passkey.Yes
		why  string
	}{
		{"no passkey and no code", func(_, _ approval.Item) *passkey.Yes { return nil }, "code is wrong"},
		{"nothing in it", func(_, _ approval.Item) *passkey.Yes { return &passkey.Yes{} }, "was not asked"},
		{"for another call", func(_, other approval.Item) *passkey.Yes { return alice.sign(alice.ask(other.ID)) }, "not what the passkey was asked for"},
		{"for another call, passed off", func(item, other approval.Item) *passkey.Yes {
			y := alice.sign(alice.ask(other.ID))
			y.Asked = alice.ask(item.ID).Name
			return y
		}, "another question"},
		{"bob's passkey on alice's page", func(item, _ approval.Item) *passkey.Yes {
			q := alice.ask(item.ID)
			return bob.sign(q)
		}, "not owned"},
		{"asked on bob's page", func(item, _ approval.Item) *passkey.Yes { return alice.sign(bob.ask(item.ID)) }, "was not asked"},
		{"signed on a page of another port", func(item, _ approval.Item) *passkey.Yes {
			alice.key.Origin = "http://localhost:8080"
			defer func() { alice.key.Origin = "http://localhost:7787" }()
			return alice.sign(alice.ask(item.ID))
		}, "not on this page"},
		{"nobody was verified", func(item, _ approval.Item) *passkey.Yes {
			alice.key.Flags = passkeytest.Present
			defer func() { alice.key.Flags = passkeytest.Needed }()
			return alice.sign(alice.ask(item.ID))
		}, "did not verify"},
		{"too late", func(item, _ approval.Item) *passkey.Yes {
			y := alice.sign(alice.ask(item.ID))
			b.pass(3 * time.Minute)
			return y
		}, "has expired"},
	} {
		item, other := b.ask(fmt.Sprintf(`{"n":%d}`, 2*n+1)), b.ask(fmt.Sprintf(`{"n":%d}`, 2*n+2))
		if w := alice.yes(item.ID, c.key(item, other)); w.Code == 200 || !strings.Contains(w.Body.String(), c.why) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if i, _ := b.desk.Get(item.ID); i.State != approval.Waiting {
			t.Errorf("%s: it is %s", c.name, i.State)
		}
		good := alice.sign(alice.ask(item.ID))
		if w := alice.yes(item.ID, good); w.Code != 200 {
			t.Errorf("%s: the control: %d %s", c.name, w.Code, w.Body)
		}
		if i, _ := b.desk.Get(item.ID); i.State != approval.Approved || i.By != "uid:1000" {
			t.Errorf("%s: the control is %s by %s", c.name, i.State, i.By)
		}
		if w := alice.yes(other.ID, good); w.Code == 200 {
			t.Errorf("%s: a yes is good twice", c.name)
		}
	}
	if len(b.desk.proofs) == 0 || slices.ContainsFunc(b.desk.proofs, func(p approval.Proof) bool { return p != approval.ByPasskey }) {
		t.Errorf("proofs %v", b.desk.proofs)
	}
}

// What changes between the touch and the yes makes it none: the daemon signs nothing off
// but what stands there when the answer comes.
func TestShownDifferentlyWhileTouched(t *testing.T) {
	b := newBench(t)
	alice := b.human("uid:1000").confirmed()
	first := b.ask(`{"n":1}`)
	b.pass(time.Second)
	second := b.ask(`{"n":2}`)
	early := alice.sign(alice.ask(second.ID))
	shown := b.shown(alice.token, second.ID)
	if w := alice.yes(first.ID, alice.sign(alice.ask(first.ID))); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	// The page knows the old digest, an agent at the page the new one.
	if w := alice.post("/api/approve", yes{said: said{ID: second.ID}, Shown: shown, Passkey: early}); w.Code == 200 || !strings.Contains(w.Body.String(), "shown differently") {
		t.Errorf("the old digest: %d %s", w.Code, w.Body)
	}
	if w := alice.yes(second.ID, early); w.Code == 200 || !strings.Contains(w.Body.String(), "not what the passkey was asked for") {
		t.Errorf("the new digest with the old signature: %d %s", w.Code, w.Body)
	}
	if w := alice.yes(second.ID, alice.sign(alice.ask(second.ID))); w.Code != 200 {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
}

// A copy of a passkey shows by its counter: it counts no more, neither of the two.
func TestCopiedPasskey(t *testing.T) {
	b := newBench(t)
	b.desk.none = true
	alice := b.human("uid:1000").confirmed()
	one, two := b.ask(`{"n":1}`), b.ask(`{"n":2}`)
	alice.key.Count = 50
	if w := alice.yes(one.ID, alice.sign(alice.ask(one.ID))); w.Code != 200 {
		t.Fatalf("the control: %d %s", w.Code, w.Body)
	}
	alice.key.Count = 20
	if w := alice.yes(two.ID, alice.sign(alice.ask(two.ID))); w.Code == 200 || !strings.Contains(w.Body.String(), "went back") {
		t.Errorf("the copy: %d %s", w.Code, w.Body)
	}
	alice.key.Count = 100
	if w := alice.post("/api/passkey/ask", question{For: "call", ID: two.ID, Shown: b.shown(alice.token, two.ID)}); w.Code == 200 {
		t.Errorf("after that: %d %s", w.Code, w.Body)
	}
	if !slices.ContainsFunc(b.desk.refused, func(s string) bool { return strings.Contains(s, "went back") }) {
		t.Errorf("recorded as refused: %v", b.desk.refused)
	}
}

// Somebody whose passkey counts can have another count, of theirs or of others, and take
// their own away; what they sign is for that one alone.
func TestConfirmOnThePage(t *testing.T) {
	b := newBench(t)
	alice := b.human("uid:1000").confirmed()
	bob, eve := b.human("uid:1001"), b.human("uid:1002")
	touch := func(h *human, what, id string) *passkey.Yes {
		return h.sign(h.asked(h.post("/api/passkey/ask", question{For: what, ID: id})))
	}
	refused := func(name string, w *httptest.ResponseRecorder, why string) {
		t.Helper()
		if w.Code == 200 || !strings.Contains(w.Body.String(), why) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	refused("bob his own, without a proof", bob.post("/api/authenticator/confirm", about{ID: bob.id}), "an agent may run as uid:1001")
	refused("bob's own passkey is asked", bob.post("/api/passkey/ask", question{For: "confirm", ID: bob.id}), "no passkey is set up")
	refused("alice without a proof", alice.post("/api/authenticator/confirm", about{ID: bob.id}), "an agent may run as uid:1000")
	refused("signed for eve's", alice.post("/api/authenticator/confirm", about{ID: bob.id, Passkey: touch(alice, "confirm", eve.id)}), "not what the passkey was asked for")
	refused("signed to remove hers", alice.post("/api/authenticator/confirm", about{ID: bob.id, Passkey: touch(alice, "remove", alice.id)}), "not what the passkey was asked for")
	refused("signed for a call", alice.post("/api/authenticator/confirm", about{ID: bob.id, Passkey: alice.sign(alice.ask(b.ask(`{}`).ID))}), "not what the passkey was asked for")
	refused("nothing to sign for", alice.post("/api/passkey/ask", question{For: "sudo", ID: bob.id}), "what for")
	if _, counts := b.desk.book.Has("uid:1001"); counts {
		t.Fatal("bob's counts")
	}
	if w := alice.post("/api/authenticator/confirm", about{ID: bob.id, Passkey: touch(alice, "confirm", bob.id)}); w.Code != 200 {
		t.Fatalf("the control: %d %s", w.Code, w.Body)
	}
	if _, counts := b.desk.book.Has("uid:1001"); !counts {
		t.Error("bob's does not count")
	}
	refused("bob's by alice", alice.post("/api/passkey/ask", question{For: "remove", ID: bob.id}), "it is uid:1001's")
	refused("bob's without a proof", bob.post("/api/authenticator/remove", about{ID: bob.id}), "an agent may run as uid:1001")
	if w := bob.post("/api/authenticator/remove", about{ID: bob.id, Passkey: touch(bob, "remove", bob.id)}); w.Code != 200 {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
	if w := eve.post("/api/authenticator/remove", about{ID: eve.id}); w.Code != 200 {
		t.Errorf("one's own that does not count: %d %s", w.Code, w.Body)
	}
}

// Whoever sits there sees their own authenticators, and of others those that wait.
func TestAuthenticatorsInTheState(t *testing.T) {
	b := newBench(t)
	alice, bob := b.human("uid:1000").confirmed(), b.human("uid:1001").confirmed()
	eve := b.human("uid:1002")
	var got []string
	st := b.state("uid:1000")
	for _, a := range st.Authenticators {
		got = append(got, a.ID)
	}
	if !st.Keys || !slices.Equal(got, []string{alice.id, eve.id}) {
		t.Errorf("alice sees %v (%v), and not bob's %s", got, st.Keys, bob.id)
	}
}

// Whatever a page sends, no call is approved and no authenticator counts by it: without
// the name of a question, which nobody can guess, all of it is refused, and none of it
// ends the daemon. What is behind that name is fuzzed in package passkey.
func FuzzBodies(f *testing.F) {
	b := newBench(f)
	b.desk.none = true
	alice := b.human("uid:1000").confirmed()
	item := b.ask(`{}`)
	signed := alice.sign(alice.ask(item.ID))
	signed.Asked = "x"
	good, err := json.Marshal(yes{said: said{ID: item.ID, Why: "w"}, Shown: b.shown(alice.token, item.ID), Passkey: signed})
	if err != nil {
		f.Fatal(err)
	}
	paths := []string{"/api/approve", "/api/passkey/ask", "/api/passkey/new", "/api/passkey/made", "/api/authenticator/confirm", "/api/authenticator/remove"}
	f.Add(uint8(0), good)
	f.Add(uint8(1), []byte(`{"for":"call","id":"`+item.ID+`"}`))
	f.Add(uint8(3), []byte(`{"asked":"x","id":"AA","clientData":"e30","attestation":"oA"}`))
	f.Add(uint8(4), []byte(`{"id":"`+alice.id+`","passkey":{"asked":"x","id":"AA"}}`))
	f.Add(uint8(5), []byte(`{"id":"`+alice.id+`","newCode":"1"}`))
	f.Fuzz(func(t *testing.T, at uint8, raw []byte) {
		b.t = t
		path := paths[int(at)%len(paths)]
		w := b.request("POST", path, alice.token, string(raw))
		if i, err := b.desk.Get(item.ID); err != nil || i.State != approval.Waiting {
			t.Fatalf("%s to %s: the call is %s", raw, path, i.State)
		}
		if got := b.desk.book.List(); len(got) != 1 || !got[0].Counts() {
			t.Fatalf("%s to %s: the authenticators are %+v", raw, path, got)
		}
		if w.Code == 200 && path != "/api/passkey/ask" && path != "/api/passkey/new" {
			t.Fatalf("%s to %s is taken: %s", raw, path, w.Body)
		}
	})
}
