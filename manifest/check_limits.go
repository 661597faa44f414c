package manifest

import (
	"maps"
	"slices"

	"github.com/mcprun/mcprun/limits"
)

// checkCallLimits: a limit that lets nothing through, or everything, is a mistake that
// would be found when somebody needs the server.
func checkCallLimits(s *Server, r *report) {
	checkSet(r, "limits", s.Limits.Server, true)
	checkSet(r, "limits.principal", s.Limits.Principal, false)
	checkSet(r, "limits.session", s.Limits.Session, false)
	inRange(r, "limits.queue", int64(s.Limits.Queue), 0, maxQueue, decimal)
	inRange(r, "limits.wait", s.Limits.Wait, MinCall, MaxCall, durationString)
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		t := s.Tools[name]
		checkSet(r, toolPath(name)+".limits", t.Limits, false)
		inRange(r, toolPath(name)+".cost", max(t.Cost.Each, t.Cost.Most), 0, maxCost, limits.Cost.Text)
	}
}

// checkSet: whole says that the scope is a server, or all of them, with a cgroup and a
// way out of its own.
func checkSet(r *report, path string, s limits.Set, whole bool) {
	if s.Rate != nil {
		inRange(r, path+".rate", s.Rate.Calls, 1, maxCount, decimal)
		inRange(r, path+".burst", s.Rate.Burst, 1, maxCount, decimal)
	}
	for name, v := range map[string]*int64{"concurrency": s.Concurrency, "repeats": s.Repeats} {
		if v != nil {
			inRange(r, path+"."+name, *v, 1, maxCount, decimal)
		}
	}
	for name, v := range map[string]*int64{"arguments": s.Arguments, "result": s.Result} {
		if v != nil {
			inRange(r, path+"."+name, *v, kib, MaxMemory, sizeString)
			wholeKiB(r, path+"."+name, *v)
		}
	}
	for _, b := range s.Budgets {
		at := path + ".budget." + b.Unit.String()
		if !whole && (b.Unit == limits.Egress || b.Unit == limits.CPU) {
			r.fail(at, "write it under limits of the server", "nobody can say which call a server's bytes and processor time belong to")
		}
		switch b.Unit {
		case limits.Results, limits.Egress:
			inRange(r, at, b.Max, kib, maxCost, sizeString)
			wholeKiB(r, at, b.Max)
		case limits.CPU, limits.Wall:
			inRange(r, at, b.Max, 1000, maxCost, b.Unit.Text)
		default:
			inRange(r, at, b.Max, 0, maxCost, b.Unit.Text)
		}
	}
}
