package web

import (
	"net/http"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/factors"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/internal/control"
)

// Authenticators are those with which people prove that they are there, as the page
// asks for them: the daemon keeps and records them, and decides who may what. Whose a
// passkey is the page does not say: it is of the user whose session asks.
type Authenticators interface {
	// Has reports which kinds somebody has that count.
	Has(by mcprun.Principal) (codes, passkeys bool)
	// Prove takes a code of somebody's own for what about names; it is good once.
	Prove(by mcprun.Principal, code, about string) (approval.Proof, error)
	// Passkeys are somebody's own that count; with all, also those that do not.
	Passkeys(by mcprun.Principal, all bool) []passkey.Credential
	// Sign takes a yes by one of somebody's own passkeys, which check judges.
	Sign(by mcprun.Principal, about string, check func([]passkey.Credential) (passkey.Credential, error)) (approval.Proof, error)
	// Known are all authenticators, Known one of them.
	Known() []control.Authenticator
	Factor(id string) (factors.Factor, error)
	// AddPasskey keeps a new one, which does not count.
	AddPasskey(by mcprun.Principal, key passkey.Credential) (control.Authenticator, error)
	// MayConfirm reports why somebody may not have one count, MayRemove why they may
	// not take it away, if they prove to be there in that way; Confirm and Remove do it.
	MayConfirm(by mcprun.Principal, f factors.Factor, proof approval.Proof) error
	MayRemove(by mcprun.Principal, f factors.Factor, proof approval.Proof) error
	Confirm(by mcprun.Principal, id, newCode string, proof approval.Proof) error
	Remove(by mcprun.Principal, id string, proof approval.Proof) error
}

func (s *Server) passkeyAPI() {
	s.api("POST /api/passkey/new", s.newPasskey)
	s.api("POST /api/passkey/made", s.madePasskey)
	s.api("POST /api/passkey/ask", s.askPasskey)
	s.api("POST /api/authenticator/confirm", s.confirm)
	s.api("POST /api/authenticator/remove", s.remove)
}

// newPasskey asks the browser for a new one.
func (s *Server) newPasskey(w http.ResponseWriter, r *http.Request, by session) error {
	var in struct{}
	if err := read(r, &in); err != nil {
		return err
	}
	asked, err := s.passkeys.Register(by.Who, s.office.Name(by.Who), s.office.Passkeys(by.Who, true))
	if err != nil {
		return err
	}
	answer(w, asked)
	return nil
}

// madePasskey keeps a new one, which waits to be confirmed.
func (s *Server) madePasskey(w http.ResponseWriter, r *http.Request, by session) error {
	var in passkey.Made
	if err := read(r, &in); err != nil {
		return err
	}
	key, err := s.passkeys.Registered(by.Who, in)
	if err != nil {
		return denied("setting up a passkey", err, "try again")
	}
	one, err := s.office.AddPasskey(by.Who, key)
	if err != nil {
		return err
	}
	answer(w, one)
	return nil
}

// question is what a passkey is to be asked for: the same subject is made of it again
// when the answer comes, of what is known then.
type question struct {
	For   string        `json:"for"` // call, confirm, remove
	ID    string        `json:"id"`
	Shown mcprun.Digest `json:"shown,omitzero"` // of a call: the digest of what the human sees
}

// askPasskey asks the passkeys of who sits at the page. What would be refused whatever
// they sign, nobody is asked for.
func (s *Server) askPasskey(w http.ResponseWriter, r *http.Request, by session) error {
	var in question
	if err := read(r, &in); err != nil {
		return err
	}
	subject, err := s.subject(in, by)
	if err != nil {
		return err
	}
	asked, err := s.passkeys.Ask(by.Who, s.office.Passkeys(by.Who, false), subject)
	if err != nil {
		return denied("asking for a passkey", err, "set one up on this page")
	}
	answer(w, asked)
	return nil
}

func (s *Server) subject(q question, by session) (passkey.Subject, error) {
	switch q.For {
	case "call":
		_, subject, err := s.approvable(q.ID, q.Shown)
		return subject, err
	case "confirm", "remove":
		f, err := s.office.Factor(q.ID)
		if err != nil {
			return passkey.Subject{}, err
		}
		if q.For == "confirm" {
			return confirmation(f), s.office.MayConfirm(by.Who, f, approval.ByPasskey)
		}
		return removal(f), s.office.MayRemove(by.Who, f, approval.ByPasskey)
	}
	return passkey.Subject{}, &mcprun.Error{Class: mcprun.Usage, What: "asking for a passkey", Why: "it does not say what for"}
}

func confirmation(f factors.Factor) passkey.Subject { return passkey.Confirm(f.ID, f.Person, f.What) }
func removal(f factors.Factor) passkey.Subject      { return passkey.Remove(f.ID, f.Person) }

// sign takes a yes to subject by a passkey of who sits at the page.
func (s *Server) sign(by session, about string, subject passkey.Subject, yes passkey.Yes) (approval.Proof, error) {
	return s.office.Sign(by.Who, about, func(have []passkey.Credential) (passkey.Credential, error) {
		return s.passkeys.Check(by.Who, have, subject, yes)
	})
}

// about is what the page sends with what is to become of an authenticator.
type about struct {
	ID      string       `json:"id"`
	NewCode string       `json:"newCode,omitzero"` // of one that shows codes and is to count
	Passkey *passkey.Yes `json:"passkey,omitzero"`
}

// confirm has an authenticator count on the word of somebody whose passkey does; with a
// code that is done on the command line.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, by session) error {
	return s.decideAbout(w, r, by, confirmation, func(in about, proof approval.Proof) error {
		return s.office.Confirm(by.Who, in.ID, in.NewCode, proof)
	})
}

// remove has an authenticator count no more.
func (s *Server) remove(w http.ResponseWriter, r *http.Request, by session) error {
	return s.decideAbout(w, r, by, removal, func(in about, proof approval.Proof) error {
		return s.office.Remove(by.Who, in.ID, proof)
	})
}

func (s *Server) decideAbout(w http.ResponseWriter, r *http.Request, by session, subject func(factors.Factor) passkey.Subject, do func(about, approval.Proof) error) error {
	var in about
	if err := read(r, &in); err != nil {
		return err
	}
	f, err := s.office.Factor(in.ID)
	if err != nil {
		return err
	}
	proof := approval.Unproven
	if in.Passkey != nil {
		if proof, err = s.sign(by, f.ID, subject(f), *in.Passkey); err != nil {
			return err
		}
	}
	if err := do(in, proof); err != nil {
		return err
	}
	answer(w, struct{}{})
	return nil
}

func denied(doing string, err error, hint string) error {
	return &mcprun.Error{Class: mcprun.Denied, What: doing, Err: err, Hint: hint}
}
