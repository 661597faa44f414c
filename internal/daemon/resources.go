package daemon

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/manifest"
)

// setResources changes what the container of a running server may use, until it ends.
func (d *Daemon) setResources(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	s.acquire()
	defer s.release()
	doing := "changing the limits of " + string(s.name)
	s.mu.Lock()
	run, def := s.run, s.spec
	s.mu.Unlock()
	if run == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Why: "it is not running", Hint: "change resources in its server.yaml, then mcprun start"}
	}
	old := run.resources()
	now, err := d.wanted(doing, def, old, c.Resources)
	if err != nil {
		return nil, err
	}
	// The kernel ends processes to make room on v2, and refuses on v1.
	if used := run.inst.Use().Memory; now.Memory < old.Memory && now.Memory <= used {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Why: fmt.Sprintf("it uses %s of memory, which is not less than %s", manifest.Size(used>>20<<20), manifest.Size(now.Memory)),
			Hint: fmt.Sprintf("give it more, or restart it with less: resources: {memory: …} in %s", def.file)}
	}
	changes := changedResources(old, now)
	rec := &audit.Record{Type: audit.TypePolicy, Server: s.name, Instance: run.inst.ID, Principal: c.Peer.Principal(), Why: c.Why,
		Reason: "the limits of the running container are changed, until it ends", Detail: map[string]string{}}
	for _, ch := range changes {
		rec.Detail[ch.Key] = ch.Old + " to " + ch.New
	}
	if err := d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	failpoint.Hit("daemon.resources-recorded")
	if err := run.inst.SetResources(old, now); err != nil {
		d.record.Append(&audit.Record{Type: audit.TypeNote, Server: s.name, Instance: run.inst.ID, Principal: c.Peer.Principal(), Reason: "the limits could not be changed, and stay as they were: " + err.Error()})
		return nil, withContext(doing, err)
	}
	run.res.Store(&now)
	return &control.Result{Resources: &control.ResourceChange{Server: s.name, Instance: run.inst.ID, File: def.file, Changes: changes}}, nil
}

// wanted is what is asked for, within what server.yaml may say and the operator allows.
func (d *Daemon) wanted(doing string, def *definition, old manifest.Resources, asked map[string]string) (manifest.Resources, error) {
	now := old
	var err error
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		if now, err = now.With(key, asked[key]); err != nil {
			return old, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err}
		}
	}
	if now == old {
		return old, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "nothing would change", Hint: "mcprun inspect " + string(def.m.Name)}
	}
	m := with(def.m, now)
	if err := m.Validate(); err != nil {
		return old, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err}
	}
	v := d.ceilings().Check(m, filepath.Dir(def.file), def.own())
	if len(v) > 0 {
		return old, &mcprun.Error{Class: mcprun.Denied, What: doing, Why: "it is more than the operator allows:\n  " + violations(v, "\n  "), Hint: "mcprun policy show"}
	}
	return now, nil
}

// with is a server with other resources.
func with(m *manifest.Server, r manifest.Resources) *manifest.Server {
	out := *m
	out.Resources = r
	return &out
}

func changedResources(old, now manifest.Resources) []control.ValueChange {
	out := []control.ValueChange{}
	was, is := old.Live(), now.Live()
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if was[key] != is[key] {
			out = append(out, control.ValueChange{Key: key, Old: was[key], New: is[key]})
		}
	}
	return out
}

// changedNow says of each of a server's limits what it is where that is not what
// server.yaml says.
func changedNow(def *definition, run *running) string {
	var parts []string
	for _, ch := range changedResources(def.m.Resources, run.resources()) {
		parts = append(parts, fmt.Sprintf("%s is %s until it ends; server.yaml says %s", ch.Key, ch.New, ch.Old))
	}
	return strings.Join(parts, "; ")
}
