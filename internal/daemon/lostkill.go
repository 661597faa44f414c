package daemon

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// A kill is recorded before its switch is on disk, so that a crash in between leaves a kill
// that was said and does not hold. The daemon that starts next throws it again: whoever can
// make a daemon crash must not get out of a kill by that.
//
// Also what a person took from the disk by hand is thrown again, within the time that is
// read of the record; mcprun revive is the way to take a switch back.

// lostKills are the kills that a record has and that were not taken back in it.
type lostKills map[limits.Target]limits.Kill

// read takes the records of earlier lives, in their order.
func (l lostKills) read(r *audit.Record) {
	t, ok := approval.KillTarget(r)
	switch {
	case r.Type == audit.TypeKill && !ok: // of another version: what it stopped cannot be told, so everything is
		l[limits.Target{}] = limits.Kill{Who: r.Who, Why: "the record has a kill whose target this version cannot read: " + r.Why, When: r.Time, Way: r.Detail[detailWay]}
	case r.Type == audit.TypeKill:
		l[t] = limits.Kill{Target: t, Who: r.Who, Why: r.Why, When: r.Time, Way: r.Detail[detailWay]}
	case r.Type == audit.TypeRevive && ok:
		delete(l, t)
	}
}

// throwLost throws those of which there is no switch. All servers are down, so that the
// switch is all that a kill still has to do. One that the disk does not take holds as after
// any kill, and is tried again.
func (d *Daemon) throwLost(lost lostKills) {
	for _, k := range slices.SortedFunc(maps.Values(lost), func(a, b limits.Kill) int { return strings.Compare(a.Target.String(), b.Target.String()) }) {
		if _, holds := d.switches.Thrown(k.Target); holds {
			continue
		}
		d.switches.Deny(k)
		err := d.switches.Persist(k)
		d.opts.Log.Warn("thrown again: a kill that was recorded before the daemon ended, and has no switch", "target", k.Target.String(), "who", k.Who, "why", k.Why, "err", err)
	}
}
