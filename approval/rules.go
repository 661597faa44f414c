package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// MaxNeeds bounds how many have to approve one call: a third one reads what two have
// read, and calls that nobody can get approved are worked around.
const MaxNeeds = 2

// Rules say who may approve a call, and how surely. With the zero value nobody may.
// Whatever they say, nobody approves a call of their own without a proof.
//
// They say nothing of a no, which is safe from anybody who may ask the daemon at all.
// Two names may be one person, who has both accounts: that is not seen here.
type Rules struct {
	Approvers []mcprun.Principal // who may; nil is any operator
	Needs     int                // how many different ones have to; with 0 no number is enough
	FourEyes  bool               // nobody approves a call of their own, with a proof either
	Proof     bool               // every approval needs one
}

// DefaultRules are those of an operator who asks for nothing: one yes, of any operator.
func DefaultRules() Rules { return Rules{Needs: 1} }

// May reports why somebody may not approve a call; nil if they may. It looks at nothing
// but what it is given.
func May(r Rules, i Item, by mcprun.Principal, proof Proof) error {
	refuse := func(why, hint string) error {
		return &mcprun.Error{Class: mcprun.Denied, What: "approving " + i.ID, Why: why, Hint: hint}
	}
	switch {
	case by == "":
		return refuse("nobody is named who approves it", "mcprun approve "+i.ID)
	case r.Needs <= 0 || r.Approvers != nil && len(r.Approvers) == 0:
		return refuse("the policy lets nobody approve calls", "name who may under approval: in policy.yaml")
	case !r.Approver(by):
		return refuse(fmt.Sprintf("%s is not one of those who approve calls", by), "ask one of them: "+names(r.Approvers))
	case r.FourEyes && by == i.Principal:
		return refuse(fmt.Sprintf("%s made the call, and the policy asks for somebody else's eyes", by), "ask another of those who approve calls"+others(r, i))
	case slices.Contains(i.Yes, by):
		return refuse(fmt.Sprintf("%s said yes already, and it needs %d different people", by, r.needs(i)), "ask another of those who approve calls"+others(r, i))
	case proof == Unproven && r.Proof:
		return refuse("an approval needs an authenticator's proof that a human is there", "add --code with what yours shows, or use a passkey on the page (mcprun approvals page); to set one up: mcprun approvals enroll")
	case proof == Unproven && by == i.Principal:
		return refuse(fmt.Sprintf("%s made the call itself, and so may be an agent", by), "let another operator approve it, or prove that you are there: --code, or a passkey on the page; to set one up: mcprun approvals enroll")
	}
	return nil
}

// Approver reports whether somebody is one of those who approve calls.
func (r Rules) Approver(by mcprun.Principal) bool {
	return by != "" && r.Needs > 0 && (r.Approvers == nil || slices.Contains(r.Approvers, by))
}

// needs is how many have to approve a call: what is asked for now, or was asked for
// when it came, whichever is more.
func (r Rules) needs(i Item) int { return max(1, r.Needs, i.Needs) }

// others lists who else may approve it, where the rules say who.
func others(r Rules, i Item) string {
	left := slices.DeleteFunc(slices.Clone(r.Approvers), func(p mcprun.Principal) bool {
		return slices.Contains(i.Yes, p) || r.FourEyes && p == i.Principal
	})
	if len(left) == 0 {
		return ""
	}
	return ": " + names(left)
}

func names(list []mcprun.Principal) string {
	var out []string
	for _, p := range list {
		out = append(out, string(p))
	}
	return strings.Join(out, ", ")
}
