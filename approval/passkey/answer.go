package passkey

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/protocol"

	"github.com/mcprun/mcprun"
)

// What comes from the page is bounded, though a request is as well: a credential's id
// has at most 1023 bytes (CTAP 2.1), the client data a challenge and an origin, a
// signature is at most one of RSA, an attestation is empty or one certificate.
const (
	maxID          = 1023
	maxClientData  = 1 << 10
	maxAuthData    = 1 << 10
	maxSignature   = 1 << 10
	maxHandle      = 64
	maxAttestation = 3 << 10
	maxTransports  = 8
	maxTransport   = 32
)

// Yes is the page's answer where a passkey was asked for a yes.
type Yes struct {
	Asked      string `json:"asked"` // as Asked names it
	ID         octets `json:"id"`
	ClientData octets `json:"clientData"`
	AuthData   octets `json:"authData"`
	Signature  octets `json:"signature"`
	UserHandle octets `json:"userHandle,omitzero"`
}

// Made is the page's answer where a new passkey was asked for.
type Made struct {
	Asked       string   `json:"asked"`
	ID          octets   `json:"id"`
	ClientData  octets   `json:"clientData"`
	Attestation octets   `json:"attestation"`
	Transports  []string `json:"transports,omitzero"`
}

// octets are base64url without padding; each has one way only to be written.
type octets []byte

func (b octets) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

func (b *octets) UnmarshalText(text []byte) error {
	if strings.ContainsAny(string(text), "\r\n") { // which the decoder would skip
		return errors.New("it is not base64url")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	*b = raw
	return err
}

func wrong(doing string, err error) error {
	return &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err}
}

func bounded(what string, b octets, least, most int) error {
	if len(b) < least || len(b) > most {
		return fmt.Errorf("%s has %d bytes; it can have %d to %d", what, len(b), least, most)
	}
	return nil
}

// parse checks what the library does not, or not as strictly, and parses the rest.
func (y Yes) parse(origin string, challenge protocol.URLEncodedBase64) (*protocol.ParsedCredentialAssertionData, error) {
	if err := cmp.Or(
		bounded("the credential's id", y.ID, 1, maxID), bounded("the client data", y.ClientData, 1, maxClientData),
		bounded("the authenticator data", y.AuthData, 1, maxAuthData), bounded("the signature", y.Signature, 1, maxSignature),
		bounded("the user handle", y.UserHandle, 0, maxHandle),
		clientData(y.ClientData, "webauthn.get", origin, challenge),
	); err != nil {
		return nil, wrong("reading a passkey's answer", err)
	}
	res := protocol.CredentialAssertionResponse{PublicKeyCredential: public(y.ID)}
	res.AssertionResponse.ClientDataJSON = protocol.URLEncodedBase64(y.ClientData)
	res.AssertionResponse.AuthenticatorData = protocol.URLEncodedBase64(y.AuthData)
	res.AssertionResponse.Signature = protocol.URLEncodedBase64(y.Signature)
	res.AssertionResponse.UserHandle = protocol.URLEncodedBase64(y.UserHandle)
	parsed, err := res.Parse()
	if err != nil {
		return nil, refused(err)
	}
	return parsed, verified(parsed.Response.AuthenticatorData)
}

func (m Made) parse(origin string, challenge protocol.URLEncodedBase64) (*protocol.ParsedCredentialCreationData, error) {
	if err := cmp.Or(
		bounded("the credential's id", m.ID, 1, maxID), bounded("the client data", m.ClientData, 1, maxClientData),
		bounded("the attestation", m.Attestation, 1, maxAttestation), m.checkTransports(),
		clientData(m.ClientData, "webauthn.create", origin, challenge),
	); err != nil {
		return nil, wrong("reading a new passkey", err)
	}
	res := protocol.CredentialCreationResponse{PublicKeyCredential: public(m.ID)}
	res.AttestationResponse.ClientDataJSON = protocol.URLEncodedBase64(m.ClientData)
	res.AttestationResponse.AttestationObject = protocol.URLEncodedBase64(m.Attestation)
	res.AttestationResponse.Transports = m.Transports
	parsed, err := res.Parse()
	if err != nil {
		return nil, refused(err)
	}
	// No make of authenticator is asked for, so that what parses certificates of makers
	// is not run on what a page sends.
	if f := parsed.Response.AttestationObject.Format; f != string(protocol.AttestationFormatNone) {
		return nil, wrong("reading a new passkey", fmt.Errorf("it has an attestation (%.20q) that nobody asked for", f))
	}
	return parsed, verified(parsed.Response.AttestationObject.AuthData)
}

func (m Made) checkTransports() error {
	if len(m.Transports) > maxTransports {
		return fmt.Errorf("it has %d transports; it can have %d", len(m.Transports), maxTransports)
	}
	for _, t := range m.Transports {
		if t == "" || len(t) > maxTransport || strings.Trim(t, "abcdefghijklmnopqrstuvwxyz-") != "" {
			return fmt.Errorf("%.40q is no transport", t)
		}
	}
	return nil
}

func public(id octets) protocol.PublicKeyCredential {
	return protocol.PublicKeyCredential{
		Credential: protocol.Credential{ID: base64.RawURLEncoding.EncodeToString(id), Type: string(protocol.PublicKeyCredentialType)},
		RawID:      protocol.URLEncodedBase64(id),
	}
}

// verified says in words what the library says in one for all: the authenticator signs
// for this name, and saw and verified its human.
func verified(d protocol.AuthenticatorData) error {
	name := sha256.Sum256([]byte(Name))
	switch {
	case !bytes.Equal(d.RPIDHash, name[:]):
		return errors.New("the passkey was used for another name than " + Name)
	case !d.Flags.HasUserPresent():
		return errors.New("nobody touched the authenticator")
	case !d.Flags.HasUserVerified():
		return errors.New("the authenticator did not verify who used it: it needs a PIN, a fingerprint or the like")
	}
	return nil
}

// clientData holds what the browser says of the ceremony against what was asked, byte
// for byte: the library takes origins that differ in case or have a path.
func clientData(raw octets, kind, origin string, challenge protocol.URLEncodedBase64) error {
	var c struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
		TopOrigin   string `json:"topOrigin"`
	}
	if err := json.Unmarshal(raw, &c); err != nil { // browsers may add members
		return fmt.Errorf("the client data: %w", err)
	}
	switch {
	case c.Type != kind:
		return fmt.Errorf("the ceremony is %.40q, not %q", c.Type, kind)
	case c.Origin != origin:
		return fmt.Errorf("it was made on %.80q, not on this page", c.Origin)
	case c.CrossOrigin || c.TopOrigin != "":
		return errors.New("it was made in a frame of another page")
	case c.Challenge != challenge.String():
		return errors.New("it answers another question")
	}
	return nil
}
