// Package passkey takes approvals by passkey (WebAuthn): an authenticator signs that a
// human, whom it verified, says yes to exactly what was shown.
//
// What is signed is a challenge that is made of all that was shown and of a random
// part; it is good once and for a short time. An assertion for another call, for other
// arguments or for a page that looked different is one for another challenge. Origin,
// kind and place of the ceremony are held against the one page exactly.
//
// Passkeys belong to the name localhost whatever the port: a page of another port can
// ask for a signature, and its origin, which the browser signs along, gives it away.
//
// It keeps nothing on the disk and decides about nobody: whose credentials count is
// what the caller says, who keeps them. It does not protect from what runs inside the
// browser, from a human who touches the authenticator whoever asks for it, nor from
// whoever has a copy of a key that is kept in software; a counter that goes back shows
// some copies.
package passkey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/mcprun/mcprun"
)

// Name is what passkeys of the page belong to. An address is no name that a passkey can
// belong to, so that the page works under this one alone.
const Name = "localhost"

const (
	// askedLife is how long an authenticator may take: time to find it and to type its
	// PIN, too short for a challenge to lie about.
	askedLife = 2 * time.Minute
	// maxOfOne bounds what is asked of one person at a time; the oldest gives way.
	maxOfOne = 8
	// maxOpen bounds all of it: more than operators there are.
	maxOpen = 1024
)

var (
	// ErrAsked means that nothing was asked with this name, or it was answered or has
	// expired. It does not say which.
	ErrAsked = errors.New("this was not asked, was answered already, or has expired")
	// ErrNone means that somebody has no passkey that counts.
	ErrNone = errors.New("no passkey is set up")
	// ErrOther means that what is asked for is not any more what was shown.
	ErrOther = errors.New("it is not what the passkey was asked for")
	// ErrCloned means that the counter of a passkey went back: there may be two of it.
	ErrCloned = errors.New("the counter of this passkey went back, so that somebody may have a copy of it")
)

// Credential is what is kept of one passkey: nothing of it is secret.
type Credential struct {
	ID         []byte   `json:"id"`
	Key        []byte   `json:"key"` // public, as COSE has it
	Count      uint32   `json:"count"`
	Synced     bool     `json:"synced"` // may be copied to other devices of its owner
	Kind       []byte   `json:"kind"`   // which make it says it is; nobody checks it
	Transports []string `json:"transports,omitzero"`
}

// Site is the one page for which passkeys are asked. All methods may be called
// concurrently.
type Site struct {
	origin string
	now    func() time.Time
	lib    *webauthn.WebAuthn

	mu   sync.Mutex
	open map[string]asked
}

// asked is one question to an authenticator.
type asked struct {
	who     mcprun.Principal
	subject Subject // the zero value where a passkey is to be made
	nonce   []byte
	until   time.Time
}

// Asked is what the page hands to the browser.
type Asked struct {
	Name    string         `json:"asked"`
	Options jsontext.Value `json:"options"`
}

// New returns the page at an origin, which is http://localhost and a port.
func New(origin string, now func() time.Time) (*Site, error) {
	lib, err := webauthn.New(&webauthn.Config{
		RPID: Name, RPDisplayName: "mcprun", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			UserVerification: protocol.VerificationRequired, ResidentKey: protocol.ResidentKeyRequirementPreferred, RequireResidentKey: protocol.ResidentKeyNotRequired(),
		},
		Timeouts: webauthn.TimeoutsConfig{Login: webauthn.TimeoutConfig{Timeout: askedLife}, Registration: webauthn.TimeoutConfig{Timeout: askedLife}},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing passkeys: %w", err)
	}
	return &Site{origin: origin, now: now, lib: lib, open: map[string]asked{}}, nil
}

// begin notes a question and returns its name.
func (s *Site) begin(who mcprun.Principal, subject Subject) (string, asked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(who)
	if len(s.open) >= maxOpen {
		return "", asked{}, errors.New("too many passkeys are asked for at a time")
	}
	a := asked{who: who, subject: subject, nonce: random(), until: s.now().Add(askedLife)}
	name := base64.RawURLEncoding.EncodeToString(random())
	s.open[name] = a
	return name, a, nil
}

func random() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails since Go 1.24
	return b
}

// sweep lets go of what has expired, and of the oldest of who where there are many;
// call it with mu held.
func (s *Site) sweep(who mcprun.Principal) {
	oldest, n := "", 0
	for name, a := range s.open {
		if !s.now().Before(a.until) {
			delete(s.open, name)
			continue
		}
		if a.who == who {
			if n == 0 || a.until.Before(s.open[oldest].until) {
				oldest = name
			}
			n++
		}
	}
	if n >= maxOfOne {
		delete(s.open, oldest)
	}
}

// end takes a question away, whatever comes of the answer.
func (s *Site) end(name string, who mcprun.Principal) (asked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.open[name]
	if !ok || a.who != who {
		return asked{}, ErrAsked // what was asked of somebody else stays theirs
	}
	delete(s.open, name)
	if !s.now().Before(a.until) {
		return asked{}, ErrAsked
	}
	return a, nil
}

// Register asks for a new passkey of who; those that they have cannot be made again.
func (s *Site) Register(who mcprun.Principal, called string, have []Credential) (Asked, error) {
	name, a, err := s.begin(who, Subject{})
	if err != nil {
		return Asked{}, err
	}
	creation, _, err := s.lib.BeginRegistration(person{who, called, have},
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()), webauthn.WithExclusions(descriptors(have)),
		func(o *protocol.PublicKeyCredentialCreationOptions) error { o.Challenge = a.challenge(); return nil })
	if err != nil {
		return Asked{}, fmt.Errorf("asking for a new passkey: %w", err)
	}
	return askedFor(name, creation.Response)
}

// Registered takes a new passkey. That it was made shows that somebody has it, not
// that they are who they say: the caller must have it confirmed.
func (s *Site) Registered(who mcprun.Principal, made Made) (Credential, error) {
	a, err := s.end(made.Asked, who)
	if err != nil {
		return Credential{}, err
	}
	if !a.subject.none() {
		return Credential{}, ErrOther // what was asked is a yes, and no passkey
	}
	parsed, err := made.parse(s.origin, a.challenge())
	if err != nil {
		return Credential{}, err
	}
	got, err := s.lib.CreateCredential(person{who: who}, webauthn.SessionData{
		Challenge: a.challenge().String(), RelyingPartyID: Name, Origin: s.origin, UserID: handle(who),
		UserVerification: protocol.VerificationRequired, CredParams: webauthn.CredentialParametersRecommendedL3(),
	}, parsed)
	if err != nil {
		return Credential{}, refused(err)
	}
	c := Credential{ID: got.ID, Key: got.PublicKey, Count: got.Authenticator.SignCount, Synced: got.Flags.BackupEligible, Kind: got.Authenticator.AAGUID}
	for _, t := range got.Transport {
		c.Transports = append(c.Transports, string(t))
	}
	return c, nil
}

// Ask asks the passkeys of who for a yes.
func (s *Site) Ask(who mcprun.Principal, have []Credential, subject Subject) (Asked, error) {
	if subject.none() {
		return Asked{}, ErrOther // a yes to nothing is one to everything
	}
	if len(have) == 0 {
		return Asked{}, ErrNone
	}
	name, a, err := s.begin(who, subject)
	if err != nil {
		return Asked{}, err
	}
	assertion, _, err := s.lib.BeginLogin(person{who: who, have: have}, webauthn.WithChallenge(a.challenge()))
	if err != nil {
		return Asked{}, fmt.Errorf("asking for a passkey: %w", err)
	}
	return askedFor(name, assertion.Response)
}

// Check takes a yes to subject, as it is at this moment, by one of the passkeys that
// who has at this moment. It returns that passkey with its new counter, which the
// caller must have kept before the yes counts; with ErrCloned the one that must count
// no more.
func (s *Site) Check(who mcprun.Principal, have []Credential, subject Subject, yes Yes) (Credential, error) {
	a, err := s.end(yes.Asked, who)
	if err != nil {
		return Credential{}, err
	}
	if subject.none() || a.subject != subject {
		return Credential{}, ErrOther
	}
	if len(have) == 0 {
		return Credential{}, ErrNone
	}
	now := asked{who: who, subject: subject, nonce: a.nonce} // the challenge is made of what is known now
	parsed, err := yes.parse(s.origin, now.challenge())
	if err != nil {
		return Credential{}, err
	}
	got, err := s.lib.ValidateLogin(person{who: who, have: have}, webauthn.SessionData{
		Challenge: now.challenge().String(), RelyingPartyID: Name, Origin: s.origin, UserID: handle(who),
		AllowedCredentialIDs: ids(have), UserVerification: protocol.VerificationRequired,
	}, parsed)
	if err != nil {
		return Credential{}, refused(err)
	}
	c := find(have, got.ID)
	if got.Authenticator.CloneWarning {
		return c, ErrCloned
	}
	c.Count = got.Authenticator.SignCount
	return c, nil
}

// refused says why the library refuses; its details name no secret.
func refused(err error) error {
	text := err.Error()
	var e *protocol.Error
	if errors.As(err, &e) && e.Details == "" {
		text = e.Type
	}
	return fmt.Errorf("the passkey's answer is not valid: %s", text)
}

func askedFor(name string, options any) (Asked, error) {
	raw, err := json.Marshal(options) // as the library's types are written for
	if err != nil {
		return Asked{}, fmt.Errorf("writing what the browser is asked: %w", err)
	}
	return Asked{Name: name, Options: raw}, nil
}

// person is somebody with their passkeys, as the library sees them.
type person struct {
	who    mcprun.Principal
	called string
	have   []Credential
}

// handle is what an authenticator keeps of whose a passkey is: it tells nobody a name.
func handle(who mcprun.Principal) []byte {
	sum := sha256.Sum256([]byte("mcprun passkey user\n" + who))
	return sum[:]
}

func (p person) WebAuthnID() []byte          { return handle(p.who) }
func (p person) WebAuthnName() string        { return p.called }
func (p person) WebAuthnDisplayName() string { return p.called }

func (p person) WebAuthnCredentials() []webauthn.Credential {
	var out []webauthn.Credential
	for _, c := range p.have {
		out = append(out, webauthn.Credential{ID: c.ID, PublicKey: c.Key, Transport: transports(c), Flags: webauthn.CredentialFlags{BackupEligible: c.Synced}, Authenticator: webauthn.Authenticator{SignCount: c.Count}})
	}
	return out
}

func transports(c Credential) []protocol.AuthenticatorTransport {
	var out []protocol.AuthenticatorTransport
	for _, t := range c.Transports {
		out = append(out, protocol.AuthenticatorTransport(t))
	}
	return out
}

func descriptors(have []Credential) []protocol.CredentialDescriptor {
	var out []protocol.CredentialDescriptor
	for _, c := range (person{have: have}).WebAuthnCredentials() {
		out = append(out, c.Descriptor())
	}
	return out
}

func ids(have []Credential) [][]byte {
	var out [][]byte
	for _, c := range have {
		out = append(out, c.ID)
	}
	return out
}

func find(have []Credential, id []byte) Credential {
	for _, c := range have {
		if string(c.ID) == string(id) {
			return c
		}
	}
	return Credential{}
}
