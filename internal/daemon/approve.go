package daemon

import (
	"errors"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/internal/control"
)

func (d *Daemon) approvals() *control.Result {
	res := &control.Result{Approvals: []control.Approval{}}
	for _, i := range d.desk.List() {
		res.Approvals = append(res.Approvals, shownApproval(i))
	}
	return res
}

func shownApproval(i approval.Item) control.Approval {
	shown := control.Approval{ID: i.ID, State: i.State.String(), Server: i.Server, Tool: i.Tool, Principal: i.Principal, Session: i.Session,
		Image: i.Image, ToolDigest: i.ToolDigest, ArgsDigest: i.ArgsDigest, Score: i.Score, Risks: []control.RiskPart{}, Decided: i.Decided,
		Rule: i.Rule, Reason: i.Reason, Arguments: i.Args, Needs: max(1, i.Needs), Yes: append([]mcprun.Principal{}, i.Yes...), Asked: i.Asked, Until: i.Until, By: i.By, Why: i.Why, Preview: i.Preview}
	for _, r := range i.Risks {
		shown.Risks = append(shown.Risks, control.RiskPart{Name: r.Name, Points: r.Points, Least: r.Least.String(), Why: r.Why})
	}
	if i.Stated != (mcprun.Justification{}) {
		shown.Stated = &i.Stated
	}
	return shown
}

// decide takes what an operator says of a call on the control socket.
func (d *Daemon) decide(c *control.Call) (*control.Result, error) {
	proof := approval.Unproven
	if item, err := d.desk.Get(c.ID); err == nil {
		c.Server = item.Server // whoever records a refusal names it
	}
	if c.Yes && c.Code != "" {
		var err error
		if proof, err = d.byCode("deciding about "+c.ID, c.Peer.Principal(), c.Code, c.ID); err != nil {
			return nil, err
		}
	}
	item, err := d.settle(c.ID, c.Yes, c.Peer.Principal(), proof, c.Why)
	if err != nil {
		return nil, err
	}
	return &control.Result{Approvals: []control.Approval{shownApproval(item)}}, nil
}

// settle records what an operator said of a call, who proved to be a human in that
// way. Whether they may is what the desk's rules say; a no needs nothing.
func (d *Daemon) settle(id string, yes bool, by mcprun.Principal, proof approval.Proof, why string) (approval.Item, error) {
	item, err := d.desk.Decide(id, yes, by, proof, why)
	var refused *mcprun.Error
	switch {
	case err == nil || errors.As(err, &refused):
		return item, err
	case errors.Is(err, approval.ErrUnknown):
		return item, &mcprun.Error{Class: mcprun.Usage, What: "deciding about " + id, Err: err, Hint: "mcprun approvals"}
	}
	return item, &mcprun.Error{Class: mcprun.Failed, What: "deciding about " + id, Err: err, Hint: "mcprun approvals"}
}

// approvalRules are the rules of this moment: the operator's, and where anybody
// has set up an authenticator every approval needs a proof: without it, whoever has none
// would be the way around it. Before policy.yaml is read, nobody may.
func (d *Daemon) approvalRules() approval.Rules {
	c := d.ceilings()
	if c == nil {
		return approval.Rules{}
	}
	a := c.Approval
	return approval.Rules{Approvers: a.Approvers, Needs: a.Needs, FourEyes: a.FourEyes, Proof: a.Proof || d.factors.Any()}
}
