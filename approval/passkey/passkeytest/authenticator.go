// Package passkeytest is an authenticator in software, with the browser in front of it,
// for tests: what a human's would do, and with its fields changed what a hostile one
// could. It protects nothing.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// The flags of what an authenticator signs.
const (
	Present  = 0x01
	Needed   = 0x05 // a human, who was verified
	Verified = 0x04
	Eligible = 0x08 // to be copied to other devices
	attested = 0x40
)

// Authenticator has one passkey. Its fields say what the next answers are like.
type Authenticator struct {
	T      testing.TB
	Key    *ecdsa.PrivateKey
	ID     []byte
	Handle []byte
	Count  uint32
	Flags  byte

	Origin string
	Name   string // that it signs for
	Cross  bool
	Kind   string // "" is that of the ceremony
	Extra  string // members of the client data
}

// Answer is what a browser makes of it; which of it counts depends on what was asked.
type Answer struct {
	ID, ClientData, AuthData, Signature, UserHandle, Attestation []byte
}

// New returns one at an origin on localhost.
func New(t testing.TB, origin string) *Authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Authenticator{T: t, Key: key, ID: random(), Count: 1, Flags: Needed, Origin: origin, Name: "localhost"}
}

func random() []byte {
	b := make([]byte, 16)
	rand.Read(b) // never fails since Go 1.24
	return b
}

// CBOR writes v as authenticators do.
func (a *Authenticator) CBOR(v any) []byte {
	raw, err := webauthncbor.Marshal(v)
	if err != nil {
		a.T.Fatal(err)
	}
	return raw
}

func (a *Authenticator) clientData(kind, challenge string) []byte {
	if a.Kind != "" {
		kind = a.Kind
	}
	cross := "false"
	if a.Cross {
		cross = "true"
	}
	return []byte(`{"type":"` + kind + `","challenge":"` + challenge + `","origin":"` + a.Origin + `","crossOrigin":` + cross + a.Extra + `}`)
}

func (a *Authenticator) data(more byte) []byte {
	name := sha256.Sum256([]byte(a.Name))
	return binary.BigEndian.AppendUint32(append(name[:], a.Flags|more), a.Count)
}

// options are what a page asks for.
func (a *Authenticator) options(raw []byte) (challenge string, handle []byte) {
	var o struct {
		Challenge string
		User      struct{ ID string }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		a.T.Fatal(err)
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		a.T.Fatal(err)
	}
	return o.Challenge, handle
}

// Make does what navigator.credentials.create does.
func (a *Authenticator) Make(options []byte) Answer {
	challenge, handle := a.options(options)
	a.Handle = handle
	public, err := a.Key.PublicKey.Bytes()
	if err != nil {
		a.T.Fatal(err)
	}
	cose := a.CBOR(map[int]any{1: 2, 3: -7, -1: 1, -2: public[1:33], -3: public[33:]})
	data := append(a.data(attested), random()...) // what make it says it is
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = slices.Concat(data, a.ID, cose)
	object := a.CBOR(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	return Answer{ID: a.ID, ClientData: a.clientData("webauthn.create", challenge), Attestation: object}
}

// Sign does what navigator.credentials.get does.
func (a *Authenticator) Sign(options []byte) Answer {
	challenge, _ := a.options(options)
	a.Count++
	return a.Signed(a.clientData("webauthn.get", challenge), a.data(0))
}

// Signed signs whatever it is given.
func (a *Authenticator) Signed(client, data []byte) Answer {
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(slices.Concat(data, hash[:]))
	sig, err := ecdsa.SignASN1(rand.Reader, a.Key, sum[:])
	if err != nil {
		a.T.Fatal(err)
	}
	return Answer{ID: a.ID, ClientData: client, AuthData: data, Signature: sig, UserHandle: a.Handle}
}
