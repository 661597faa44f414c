package daemon

import (
	"errors"
	"fmt"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/factors"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
)

// openFactors reads the authenticators, and says where one secret for everybody is left
// of an earlier version.
func (d *Daemon) openFactors() error {
	var err error
	if d.factors, err = factors.Open(d.opts.Dirs.Factors(), d.opts.Dirs.OldFactor(), timeNow); err != nil {
		return err
	}
	if !d.factors.Stale() {
		return nil
	}
	why := "the authenticator of an earlier version was everybody's, and counts no more: each who approves calls sets up their own with mcprun approvals enroll"
	d.opts.Log.Warn(why)
	return d.record.Append(&audit.Record{Type: audit.TypeFactor, Reason: why})
}

// note is how a change of an authenticator is recorded, before it happens.
func (d *Daemon) note(by mcprun.Principal, proof approval.Proof, what string) factors.Record {
	return func(f factors.Factor) error {
		return d.record.AppendDurable(&audit.Record{Type: audit.TypeFactor, Principal: by, Who: string(by), Reason: what, Detail: noted(f, map[string]string{"proof": proof.String()})})
	}
}

func noted(f factors.Factor, more map[string]string) map[string]string {
	more["authenticator"], more["of"], more["kind"] = f.ID, string(f.Person), string(f.Kind)
	return more
}

// byCode takes a code of somebody's own authenticator for what they are doing; about
// is the approval or the authenticator that it is for.
func (d *Daemon) byCode(doing string, who mcprun.Principal, code, about string) (approval.Proof, error) {
	f, err := d.factors.Check(who, code)
	hint := "type what your authenticator shows now"
	if errors.Is(err, factors.ErrNone) {
		hint = "mcprun approvals enroll"
	}
	if err != nil {
		return approval.Unproven, &mcprun.Error{Class: mcprun.Denied, What: doing, Err: err, Hint: hint}
	}
	return approval.ByCode, d.used(f, about)
}

// used records which authenticator proved that somebody was there, and for what.
func (d *Daemon) used(f factors.Factor, about string) error {
	rec := &audit.Record{Type: audit.TypeFactor, Principal: f.Person, Who: string(f.Person), Reason: "an authenticator was used", Detail: noted(f, map[string]string{"for": about})}
	if err := d.record.AppendDurable(rec); err != nil {
		return fmt.Errorf("recording which authenticator was used: %w", err)
	}
	return nil
}

// enroll sets up an authenticator that shows codes, for the user who asks. It counts
// once it is confirmed.
func (d *Daemon) enroll(c *control.Call) (*control.Result, error) {
	who := c.Peer.Principal()
	f, url, err := d.factors.AddCode(who, called(who), d.note(who, approval.Unproven, "an authenticator was set up; it waits to be confirmed"))
	if err != nil {
		return nil, fmt.Errorf("setting up an authenticator: %w", err)
	}
	res := d.authenticators(f)
	res.Enrolled = url
	return res, nil
}

// confirm has an authenticator count, on the word of root or of somebody who approves
// calls: the others' is none about who does.
func (d *Daemon) confirm(c *control.Call) (*control.Result, error) {
	a, err := d.authority(c, "confirming "+c.ID, d.mayConfirm)
	if err != nil {
		return nil, err
	}
	f, err := d.confirmFor(a, c.ID, c.NewCode)
	if err != nil {
		return nil, err
	}
	return d.authenticators(f), nil
}

func (d *Daemon) mayConfirm(f factors.Factor, a factors.Authority) error {
	if !a.Root && !d.approvalRules().Approver(a.By) {
		return &mcprun.Error{Class: mcprun.Denied, What: "confirming " + f.ID, Why: fmt.Sprintf("%s is not one of those who approve calls", a.By), Hint: "as root: mcprun approvals confirm " + f.ID}
	}
	return factors.MayConfirm(f, a)
}

// confirmFor has an authenticator count on somebody's word, however they gave it.
func (d *Daemon) confirmFor(a factors.Authority, id, newCode string) (factors.Factor, error) {
	f, err := d.factors.Get(id)
	if err == nil {
		err = d.mayConfirm(f, a)
	}
	if err == nil {
		f, err = d.factors.Confirm(id, newCode, a, d.note(a.By, a.Proof, "an authenticator counts from now on"))
	}
	return f, factorError("confirming "+id, err)
}

// removeFactor has an authenticator count no more.
func (d *Daemon) removeFactor(c *control.Call) (*control.Result, error) {
	a, err := d.authority(c, "removing "+c.ID, factors.MayRemove)
	if err != nil {
		return nil, err
	}
	f, err := d.removeFor(a, c.ID)
	if err != nil {
		return nil, err
	}
	return d.authenticators(f), nil
}

func (d *Daemon) removeFor(a factors.Authority, id string) (factors.Factor, error) {
	f, err := d.factors.Remove(id, a, d.note(a.By, a.Proof, "an authenticator was removed"))
	return f, factorError("removing "+id, err)
}

// authority is on whose word something happens to an authenticator. The code is spent
// last: what is refused for another reason leaves it good.
func (d *Daemon) authority(c *control.Call, doing string, may func(factors.Factor, factors.Authority) error) (factors.Authority, error) {
	f, err := d.factors.Get(c.ID)
	if err != nil {
		return factors.Authority{}, factorError(doing, err)
	}
	a := factors.Authority{By: c.Peer.Principal(), Root: c.Peer.UID == 0}
	if a.Root || c.Code == "" {
		return a, nil
	}
	a.Proof = approval.ByCode // if it is right
	if err := may(f, a); err != nil {
		return a, err
	}
	a.Proof, err = d.byCode(doing, a.By, c.Code, c.ID)
	return a, err
}

func factorError(doing string, err error) error {
	var e *mcprun.Error
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, factors.ErrUnknown):
		return &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err, Hint: "mcprun approvals authenticators"}
	case errors.Is(err, factors.ErrCode):
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: "the code is not one that the new authenticator shows now, or was used already", Hint: "add --new-code with what it shows"}
	}
	return &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err, Hint: "mcprun approvals authenticators"}
}

// What the page asks of the authenticators; who sits there is never root, whose word is
// the kernel's on the control socket.

func (o *office) Has(by mcprun.Principal) (codes, passkeys bool) { return o.factors.Has(by) }

func (o *office) Prove(by mcprun.Principal, code, about string) (approval.Proof, error) {
	return o.byCode("proving that you are there", by, code, about)
}

func (o *office) Passkeys(by mcprun.Principal, all bool) []passkey.Credential {
	return o.factors.Passkeys(by, all)
}

func (o *office) Sign(by mcprun.Principal, about string, check func([]passkey.Credential) (passkey.Credential, error)) (approval.Proof, error) {
	f, err := o.factors.Sign(by, check, o.note(by, approval.Unproven, "the counter of a passkey went back: it counts no more"))
	hint := "try again, or use another authenticator"
	if errors.Is(err, passkey.ErrCloned) {
		hint = "as root: mcprun approvals remove " + f.ID + ", and set up another one"
	}
	if err != nil {
		return approval.Unproven, &mcprun.Error{Class: mcprun.Denied, What: "proving that you are there", Err: err, Hint: hint}
	}
	return approval.ByPasskey, o.used(f, about)
}

func (o *office) Known() []control.Authenticator {
	return o.authenticators(o.factors.List()...).Authenticators
}

func (o *office) Factor(id string) (factors.Factor, error) {
	f, err := o.factors.Get(id)
	return f, factorError("looking for an authenticator", err)
}

func (o *office) AddPasskey(by mcprun.Principal, key passkey.Credential) (control.Authenticator, error) {
	f, err := o.factors.AddPasskey(by, key, o.note(by, approval.Unproven, "an authenticator was set up; it waits to be confirmed"))
	return shownFactor(f), factorError("setting up a passkey", err)
}

func (o *office) MayConfirm(by mcprun.Principal, f factors.Factor, proof approval.Proof) error {
	return o.mayConfirm(f, factors.Authority{By: by, Proof: proof})
}

func (o *office) MayRemove(by mcprun.Principal, f factors.Factor, proof approval.Proof) error {
	return factors.MayRemove(f, factors.Authority{By: by, Proof: proof})
}

func (o *office) Confirm(by mcprun.Principal, id, newCode string, proof approval.Proof) error {
	_, err := o.confirmFor(factors.Authority{By: by, Proof: proof}, id, newCode)
	return err
}

func (o *office) Remove(by mcprun.Principal, id string, proof approval.Proof) error {
	_, err := o.removeFor(factors.Authority{By: by, Proof: proof}, id)
	return err
}

func (d *Daemon) authenticators(list ...factors.Factor) *control.Result {
	res := &control.Result{Authenticators: []control.Authenticator{}}
	for _, f := range list {
		res.Authenticators = append(res.Authenticators, shownFactor(f))
	}
	return res
}

func shownFactor(f factors.Factor) control.Authenticator {
	one := control.Authenticator{ID: f.ID, Person: f.Person, Name: called(f.Person), Kind: string(f.Kind), State: control.AuthenticatorCounts, Added: f.Added, Confirmed: f.Confirmed, By: f.By, Used: f.Used, Synced: f.Synced}
	switch {
	case f.Confirmed.IsZero():
		one.State, one.Until = control.AuthenticatorWaits, f.Until()
	case !f.Counts():
		one.State = control.AuthenticatorCopied
	}
	return one
}
