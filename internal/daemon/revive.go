package daemon

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/limits"
)

// reviving is what was said of thrown switches where it takes more than one. The record
// is the only truth of it: a yes counts once it is there, and a start reads it back. So a
// yes is found by whoever reads the record, and none can be made by writing a file.
type reviving struct {
	one  sync.Mutex // one revive at a time, from the look at the policy to the switch
	said limits.Revivals
}

// Where a record says of which kill it is, and how many of how many said yes to its end.
const (
	detailKill = "kill" // its time
	detailYes  = "yes"  // "1 of 2"
	detailBy   = "by"   // who said yes, all of them
)

// revive takes back a switch, or notes that one of several people would. What it takes is
// what the policy says now, at the last yes: one that was said before counts for no more.
func (d *Daemon) revive(c *control.Call) (*control.Result, error) {
	t, err := targetOf("reviving", c)
	if err != nil {
		return nil, err
	}
	doing := "reviving " + t.String()
	why := strings.TrimSpace(c.Why)
	if why == "" {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "no reason was given", Hint: "add --why 'what was found and why it is safe again'"}
	}
	d.revives.one.Lock()
	defer d.revives.one.Unlock()
	// A kill that was thrown while this daemon hung is the newer one, and voids every yes.
	if err := d.switches.Reread(); err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err}
	}
	k, thrown := d.switches.Thrown(t)
	if !thrown {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Why: t.String() + " is not killed", Hint: "mcprun ps"}
	}
	return d.sayYes(doing, k, limits.Yes{Who: c.Peer.Principal(), Why: why, At: timeNow()})
}

// sayYes records one yes and carries out what it makes; the caller holds revives.one.
func (d *Daemon) sayYes(doing string, k limits.Kill, y limits.Yes) (*control.Result, error) {
	needs := d.revivers()
	before := d.revives.said.Of(k, y.At)
	done, err := limits.Enough(before, y.Who, needs)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: doing, Err: err, Hint: "ask another operator: mcprun revive " + k.Argument() + " --why '...'"}
	}
	all := limits.Joined(before, y)
	rec := &audit.Record{Type: audit.TypeReviveYes, Principal: y.Who, Who: string(y.Who), Why: y.Why}
	if done {
		rec.Type = audit.TypeRevive
	}
	approval.MarkKill(rec, k.Target, nil)
	rec.Detail[detailKill], rec.Detail[detailYes], rec.Detail[detailBy] = k.When.UTC().Format(time.RFC3339Nano), fmt.Sprintf("%d of %d", len(all), needs), limits.Names(all)
	if err := d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	failpoint.Hit("revive.recorded")
	out := &control.Revival{Target: k.Target.String(), Argument: k.Argument(), Done: done, Needs: needs, Yes: said(all)}
	if !done {
		d.revives.said.Add(k, y)
		out.Until = expiry(all)
		return &control.Result{Revived: out}, nil
	}
	d.revives.said.Forget(k.Target) // used up by the record, whatever becomes of the file
	if err := d.switches.Revive(k); err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err, Hint: "mcprun ps"}
	}
	return &control.Result{Revived: out}, nil
}

// revivers is how many different people have to say yes, as the policy says now; 0, for
// which no number is enough, before it is read.
func (d *Daemon) revivers() int {
	if c := d.ceilings(); c != nil {
		return c.Revive.Approvers
	}
	return 0
}

// expiry is when the first of several yeses ends: then they are too few.
func expiry(yes []limits.Yes) time.Time {
	first := yes[0].At
	for _, y := range yes {
		if y.At.Before(first) {
			first = y.At
		}
	}
	return first.Add(limits.ReviveLife)
}

func said(yes []limits.Yes) []control.ReviveYes {
	out := []control.ReviveYes{}
	for _, y := range yes {
		out = append(out, control.ReviveYes{Who: y.Who, Why: y.Why, At: y.At})
	}
	return out
}

// restoreYes takes over a yes of an earlier life. One to a kill that is over finds no
// switch with its time.
func (d *Daemon) restoreYes(r *audit.Record) {
	t, ok := approval.KillTarget(r)
	if !ok {
		return
	}
	switch r.Type {
	case audit.TypeRevive:
		d.revives.said.Forget(t)
	case audit.TypeReviveYes:
		when, err := time.Parse(time.RFC3339Nano, r.Detail[detailKill])
		if err == nil && r.Who != "" {
			d.revives.said.Add(limits.Kill{Target: t, When: when}, limits.Yes{Who: mcprun.Principal(r.Who), Why: r.Why, At: r.Time})
		}
	}
}

// wouldRevive says, behind what is said of a thrown switch, who would take it back; name
// says how they are called.
func (d *Daemon) wouldRevive(k limits.Kill, name func(mcprun.Principal) string) (text string) {
	yes := d.revives.said.Of(k, timeNow())
	for _, y := range yes {
		text += fmt.Sprintf("; %s would revive it: %s", name(y.Who), y.Why)
	}
	if len(yes) > 0 {
		text += fmt.Sprintf("; %d of %d, until %s", len(yes), d.revivers(), expiry(yes).Format(time.RFC3339))
	}
	return text
}

// plain is a principal as it is.
func plain(p mcprun.Principal) string { return string(p) }
