package approval

import (
	"fmt"
	"strconv"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
)

// Restore takes over one record of an earlier life, in the order of the log. What
// waited then waits still, until it expires.
func (d *Desk) Restore(r *audit.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := r.Detail[detailID]
	switch r.Type {
	case audit.TypePending:
		until, err := time.Parse(time.RFC3339Nano, r.Detail[detailUntil])
		if err != nil || id == "" || len(r.Args) == 0 && r.Size > 0 {
			return // no record of ours, or one whose arguments were too long to keep: nobody can approve what they cannot see
		}
		b := Binding{Principal: r.Principal, Server: r.Server, Tool: r.Tool, Image: mcprun.Digest(r.Detail[detailImage]), ToolDigest: r.ToolDigest, ArgsDigest: r.ArgsDigest}
		i := Item{ID: id, Binding: b, Session: r.Session, Call: r.Call, Args: r.Args, Rule: r.Rule, Reason: r.Reason, Asked: r.Time, Until: until}
		i.Score, i.Risks = audit.Risk(r)
		i.Stated = audit.Justification(r)
		i.Needs, _ = strconv.Atoi(r.Detail[detailNeeds]) // without it, one: as it was when the record was made
		i.Preview = PreviewIn(r)
		d.add(i)
	case audit.TypeApproval:
		if e := d.items[id]; e != nil && e.State == Waiting {
			var nth, needs int
			if n, _ := fmt.Sscanf(r.Detail[detailYes], yesForm, &nth, &needs); n == 2 {
				e.Needs = max(e.Needs, needs)
			}
			d.decide(e, r.Verdict == mcprun.Allow, mcprun.Principal(r.Who), r.Why, r.Time)
		}
	case audit.TypeCall:
		if e := d.items[id]; e != nil && e.State == Approved {
			d.close(e, Used)
		}
	case audit.TypeKill:
		d.revoke(stopsIn(r))
	}
}
