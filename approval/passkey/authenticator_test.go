package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is one in software, with the browser in front of it: what a human's
// would do, and with its fields changed what a hostile one could.
type authenticator struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	count  uint32
	flags  byte // of the next answer

	origin string
	name   string // that the authenticator signs for
	cross  bool
	kind   string // "" is that of the ceremony
	extra  string // members of the client data
}

const (
	present  = 0x01
	needed   = 0x05 // a human, who was verified
	eligible = 0x08
	attested = 0x40
)

func newAuthenticator(t testing.TB) *authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{t: t, key: key, id: random()[:16], count: 1, flags: needed, origin: origin, name: Name}
}

func (a *authenticator) cbor(v any) []byte {
	raw, err := webauthncbor.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *authenticator) clientData(kind, challenge string) []byte {
	if a.kind != "" {
		kind = a.kind
	}
	cross := "false"
	if a.cross {
		cross = "true"
	}
	return []byte(`{"type":"` + kind + `","challenge":"` + challenge + `","origin":"` + a.origin + `","crossOrigin":` + cross + a.extra + `}`)
}

func (a *authenticator) data(more byte) []byte {
	name := sha256.Sum256([]byte(a.name))
	return binary.BigEndian.AppendUint32(append(name[:], a.flags|more), a.count)
}

// make does what navigator.credentials.create does.
func (a *authenticator) make(q Asked) Made {
	var o struct {
		Challenge string
		User      struct{ ID string }
	}
	if err := json.Unmarshal(q.Options, &o); err != nil {
		a.t.Fatal(err)
	}
	a.handle, _ = base64.RawURLEncoding.DecodeString(o.User.ID)
	public, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	cose := a.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: public[1:33], -3: public[33:]})
	data := a.data(attested)
	data = append(data, random()[:16]...) // what make it says it is
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	object := a.cbor(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	return Made{Asked: q.Name, ID: a.id, ClientData: a.clientData("webauthn.create", o.Challenge), Attestation: object, Transports: []string{"internal", "hybrid"}}
}

// sign does what navigator.credentials.get does.
func (a *authenticator) sign(q Asked) Yes {
	var o struct{ Challenge string }
	if err := json.Unmarshal(q.Options, &o); err != nil {
		a.t.Fatal(err)
	}
	a.count++
	return a.signed(q.Name, a.clientData("webauthn.get", o.Challenge), a.data(0))
}

func (a *authenticator) signed(asked string, client, data []byte) Yes {
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return Yes{Asked: asked, ID: a.id, ClientData: client, AuthData: data, Signature: sig, UserHandle: a.handle}
}
