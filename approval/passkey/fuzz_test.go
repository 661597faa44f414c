package passkey

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun/approval/passkey/passkeytest"
)

// Whatever a page sends is no yes, unless it is the very answer: the signature and all
// that it covers. Nothing that is sent ends the daemon.
func FuzzYes(f *testing.F) {
	b := newBench(f)
	good := sign(b.alice, b.ask(call))
	raw, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"asked":"x","id":"AA","clientData":"e30","authData":"","signature":"AA"}`))
	f.Add([]byte(`{"asked":"x","asked":"y"}`))
	f.Add([]byte(`{"id":"A\n"}`))
	open := b.open[good.Asked]
	f.Fuzz(func(t *testing.T, raw []byte) {
		yes, err := parse[Yes](raw)
		if err != nil {
			return
		}
		if y, err := parse[Yes](must(json.Marshal(yes))); err != nil || y.Asked != yes.Asked || string(y.Signature) != string(yes.Signature) {
			t.Fatalf("it reads differently: %+v, %v", y, err)
		}
		b.open[good.Asked], yes.Asked = open, good.Asked
		_, err = b.Check(alice, b.have, call, yes)
		same := bytes.Equal(yes.ClientData, good.ClientData) && bytes.Equal(yes.AuthData, good.AuthData) && bytes.Equal(yes.ID, good.ID)
		if err == nil && !same {
			t.Fatalf("%s is taken for a yes", raw)
		}
	})
}

// The same for a new passkey: what is taken has a key, an id within bounds and none of
// the makers' certificates.
func FuzzMade(f *testing.F) {
	b := newBench(f)
	a := newAuthenticator(f)
	q, err := b.Register(alice, "alice", nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := json.Marshal(made(a, q))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"asked":"x","id":"AA","clientData":"e30","attestation":"oA","transports":["usb"]}`))
	open := b.open[q.Name]
	f.Fuzz(func(t *testing.T, raw []byte) {
		made, err := parse[Made](raw)
		if err != nil {
			return
		}
		b.open[q.Name], made.Asked = open, q.Name
		c, err := b.Registered(alice, made)
		if err == nil && (len(c.Key) == 0 || len(c.ID) == 0 || len(c.ID) > maxID || string(c.ID) != string(made.ID)) {
			t.Fatalf("%s makes %+v", raw, c)
		}
	})
}

// The parsing behind the challenge, which the fuzzer cannot guess: attestations alone.
func FuzzAttestation(f *testing.F) {
	b := newBench(f)
	a := newAuthenticator(f)
	q, err := b.Register(alice, "alice", nil)
	if err != nil {
		f.Fatal(err)
	}
	good := made(a, q)
	f.Add([]byte(good.Attestation))
	open := b.open[q.Name]
	f.Fuzz(func(t *testing.T, object []byte) {
		made := good
		made.Attestation = object
		b.open[q.Name] = open
		if c, err := b.Registered(alice, made); err == nil && string(c.ID) != string(a.ID) {
			t.Fatalf("%x makes %+v", object, c)
		}
	})
}

// The same for the authenticator data of a yes, with a signature that fits: the flags
// and the name are judged, whatever stands behind them.
func FuzzAuthData(f *testing.F) {
	b := newBench(f)
	good := sign(b.alice, b.ask(call))
	f.Add([]byte(good.AuthData))
	f.Add([]byte(good.AuthData[:32]))
	open := b.open[good.Asked]
	f.Fuzz(func(t *testing.T, data []byte) {
		b.open[good.Asked] = open
		_, err := b.Check(alice, b.have, call, yesOf(good.Asked, b.alice.Signed(good.ClientData, data)))
		if err == nil && (len(data) < 37 || data[32]&passkeytest.Needed != passkeytest.Needed || string(data[:32]) != string(good.AuthData[:32])) {
			t.Fatalf("%x is taken for a yes", data)
		}
	})
}

// parse reads what a page sends as the page's server does.
func parse[T any](raw []byte) (v T, err error) {
	err = json.Unmarshal(raw, &v, json.RejectUnknownMembers(true))
	return v, err
}

func must(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}

// The names of JSON members are exact, and there is one of each.
func TestParseStrictly(t *testing.T) {
	for _, raw := range []string{"", "{", "[]", "null{}", `{"asked":"x","asked":"x"}`, `{"Asked":"x"}`, `{"asked":"x","type":"public-key"}`, `{"id":"AA=="}`, `{"id":"AB"}`, `{"id":"A A"}`, `{"id":"AA\n"}`, `{"id":[0]}`, `{"asked":"\ud800"}`} {
		if _, err := parse[Yes]([]byte(raw)); err == nil {
			t.Errorf("a yes: %s passes", raw)
		}
		if _, err := parse[Made]([]byte(raw)); err == nil {
			t.Errorf("a new passkey: %s passes", raw)
		}
	}
	raw := `{"asked":"x","id":"AA","clientData":"AQ","authData":"Ag","signature":"Aw"}`
	if got, err := parse[Yes]([]byte(raw)); err != nil || got.Signature[0] != 3 {
		t.Errorf("the control: %+v, %v", got, err)
	}
}
