package factors

import (
	"fmt"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

// Authority is on whose word an authenticator is to count, or to go. With the zero
// value it is nobody's.
type Authority struct {
	By    mcprun.Principal
	Root  bool           // the kernel says that uid 0 asks
	Proof approval.Proof // that By, who may approve calls, proved to be there, with an authenticator that counts
}

// MayConfirm reports why an authenticator may not be had count on somebody's word; nil
// if it may. It looks at nothing but what it is given.
func MayConfirm(f Factor, a Authority) error {
	refuse := func(why, hint string) error {
		return &mcprun.Error{Class: mcprun.Denied, What: "confirming " + f.ID, Why: why, Hint: hint}
	}
	switch {
	case a.By == "":
		return refuse("nobody is named who confirms it", "")
	case !f.Confirmed.IsZero():
		return refuse("it was confirmed already, by "+string(f.By), "mcprun approvals authenticators")
	case !a.Root && a.Proof == approval.Unproven:
		return refuse(fmt.Sprintf("an agent may run as %s, and would make itself the human that approvals are to prove", a.By),
			"as root: mcprun approvals confirm "+f.ID+"; or with what an authenticator shows that counts already: --code")
	}
	return nil
}

// MayRemove reports why an authenticator may not be removed on somebody's word.
func MayRemove(f Factor, a Authority) error {
	refuse := func(why, hint string) error {
		return &mcprun.Error{Class: mcprun.Denied, What: "removing " + f.ID, Why: why, Hint: hint}
	}
	switch {
	case a.By == "":
		return refuse("nobody is named who removes it", "")
	case a.Root:
		return nil
	case a.By != f.Person:
		return refuse(fmt.Sprintf("it is %s's, not %s's", f.Person, a.By), "root can remove it: mcprun approvals remove "+f.ID)
	case a.Proof == approval.Unproven && !f.Confirmed.IsZero():
		return refuse(fmt.Sprintf("an agent may run as %s", a.By), "with what your authenticator shows: --code; without it, as root: mcprun approvals remove "+f.ID)
	}
	return nil
}
