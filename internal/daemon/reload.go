package daemon

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy/egress"
)

// reload puts the egress rules, the limits, the kill rules and stricter tools of a changed
// server.yaml in force for the server that runs. Whatever is wrong, the rules that hold stay.
func (d *Daemon) reload(c *control.Call) (*control.Result, error) {
	def, err := define(c, true)
	if err != nil {
		return nil, err
	}
	s, err := d.server(def.m.Name, false)
	if err != nil {
		return nil, err
	}
	change, err := s.reload(def, c.Peer.Principal())
	if err != nil {
		return nil, err
	}
	return &control.Result{Changed: change}, nil
}

func (s *server) reload(def *definition, who mcprun.Principal) (*control.RuleChange, error) {
	s.acquire()
	defer s.release()
	doing := "reloading " + string(s.name)
	again := fmt.Sprintf("mcprun stop %s && mcprun start %s", s.name, def.file)
	s.mu.Lock()
	run, old := s.run, s.spec
	s.mu.Unlock()
	if run == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is not running", Hint: "mcprun start " + def.file}
	}
	if keys := needStart(old, def); len(keys) > 0 {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: doing, Why: "while it runs, egress, limits and kill can be changed, and tools be withdrawn or raised in risk; more than that changed of: " + strings.Join(keys, ", "), Hint: again}
	}
	if err := s.d.within(doing, def); err != nil {
		return nil, err
	}
	policy, err := def.m.Policy()
	if err != nil {
		return nil, withContext(doing, err)
	}
	change := &control.RuleChange{Server: s.name, Added: without(reloadable(def.m), reloadable(old.m)), Removed: without(reloadable(old.m), reloadable(def.m))}
	rec := &audit.Record{Type: audit.TypePolicy, Server: s.name, Instance: run.inst.ID, Principal: who, Detail: ruleDetail(change, def.file)}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	failpoint.Hit("daemon.reload-recorded")
	if err := run.net.way.Change(policy); err != nil {
		if errors.Is(err, egress.ErrNeedsStart) {
			return nil, &mcprun.Error{Class: mcprun.Denied, What: doing, Err: err, Hint: again}
		}
		return nil, withContext(doing, err)
	}
	s.mu.Lock()
	s.spec = def
	s.mu.Unlock()
	s.knownBy(def)
	// A new rule can be a way out, which the risk of calls depends on; and the ceilings
	// may have changed since they were looked at.
	if err := s.enforce(who); err != nil {
		return change, err
	}
	s.front.ToolsChanged()
	return change, nil
}

// needStart names what differs between two definitions and is not read again
// while a server runs.
func needStart(old, def *definition) []string {
	keys := slices.DeleteFunc(manifest.Changed(old.m, def.m), func(key string) bool {
		return key == "egress" || key == "limits" || key == "kill" || key == "tools" && manifest.ToolsTightened(old.m, def.m)
	})
	if old.file != def.file {
		keys = append(keys, "the file's place")
	}
	if old.profile.Digest() != def.profile.Digest() && !slices.Contains(keys, "profile") {
		keys = append(keys, "the profile's file")
	}
	if !reflect.DeepEqual(old.lock, def.lock) {
		keys = append(keys, "server.lock")
	}
	return keys
}

// reloadable is all that a reload can change, as server.yaml has it.
func reloadable(m *manifest.Server) []string {
	out := append(append(rules(m), "limits: "+m.LimitsText()), m.KillText()...)
	for _, name := range slices.Sorted(maps.Keys(m.Tools)) {
		out = append(out, fmt.Sprintf("tool %s: risk %s", name, m.Tools[name].Risk))
	}
	return out
}

func without(all, but []string) []string {
	out := []string{}
	for _, s := range all {
		if !slices.Contains(but, s) {
			out = append(out, s)
		}
	}
	return out
}

// ruleDetail is what the record keeps of a change: the rules as far as they fit.
func ruleDetail(c *control.RuleChange, file string) map[string]string {
	detail := map[string]string{"file": file}
	for key, rules := range map[string][]string{"egress-added": c.Added, "egress-removed": c.Removed} {
		if text := strings.Join(rules, "\n"); text != "" {
			detail[key] = text[:min(len(text), audit.MaxDetailValue)]
		}
	}
	return detail
}
