package approval

import (
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// Where the record of a kill says what it stopped, beyond a server and a tool.
const (
	detailTarget  = "target"  // as limits.Target.Name writes it
	detailServers = "servers" // those that it ended, where a label says which
)

// MarkKill writes into the record of a kill what it stops; servers are those that a
// label stands for at this moment.
func MarkKill(r *audit.Record, t limits.Target, servers []mcprun.ServerName) {
	r.Server, r.Tool = t.Server, t.Tool
	if r.Detail == nil {
		r.Detail = map[string]string{}
	}
	r.Detail[detailTarget] = t.Name()
	if t.Label == "" {
		return
	}
	names := make([]string, len(servers))
	for i, s := range servers {
		names[i] = string(s)
	}
	if all := strings.Join(names, " "); len(all) <= audit.MaxDetailValue { // a list that is cut would be taken for all of them
		r.Detail[detailServers] = all
	}
}

// KillTarget reads what MarkKill wrote into the record of a kill or of its end.
func KillTarget(r *audit.Record) (t limits.Target, ok bool) {
	name, ok := r.Detail[detailTarget]
	if !ok {
		return t, false
	}
	t, err := limits.ParseTargetName(name)
	return t, err == nil
}

// Stops returns which approvals a kill takes away; servers are those of its label.
func Stops(t limits.Target, servers []mcprun.ServerName) func(Binding) bool {
	if t.Label == "" {
		return func(b Binding) bool {
			return t.Has(limits.Subject{Server: b.Server, Tool: b.Tool, Principal: b.Principal})
		}
	}
	has := make(map[mcprun.ServerName]bool)
	for _, s := range servers {
		has[s] = true
	}
	return func(b Binding) bool { return has[b.Server] }
}

// stopsIn reads from the record of a kill which approvals it took away. Where it does
// not say, all.
func stopsIn(r *audit.Record) func(Binding) bool {
	name, ok := r.Detail[detailTarget]
	if !ok {
		return Stops(limits.Target{Server: r.Server, Tool: r.Tool}, nil) // of a version that knew no others
	}
	t, err := limits.ParseTargetName(name)
	list, listed := r.Detail[detailServers]
	if err != nil || t.Label != "" && !listed {
		return func(Binding) bool { return true }
	}
	var servers []mcprun.ServerName
	for _, s := range strings.Fields(list) {
		servers = append(servers, mcprun.ServerName(s))
	}
	return Stops(t, servers)
}
