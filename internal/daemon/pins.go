package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime"
)

// Rules of tools that are not as they were pinned: one that was so when the server was
// last asked, and one that became so since.
const (
	ruleToolDiffers = "tool.differs"
	ruleToolChanged = "tool.changed"
)

// handedOver names the credentials that the container holds itself.
func handedOver(m *manifest.Server) []string {
	var out []string
	for _, c := range m.Credentials {
		if c.InContainer {
			out = append(out, c.Name)
		}
	}
	return out
}

// observe reads what the server is now, in the form that pins have.
func (s *server) observe(ctx context.Context, run *running, def *definition, image runtime.Image, g upstream.Greeting) (*lock.File, error) {
	defs, err := run.conn.Tools(ctx, def.m.Timeouts.Start)
	if err != nil {
		return nil, err
	}
	f := &lock.File{
		Version: lock.Version, Server: def.m.Name, Image: image.Digest, Profile: def.profile.Name(), ProfileDigest: def.profile.Digest(),
		Secrets: handedOver(def.m), Protocol: g.ProtocolVersion, ServerInfo: g.ServerInfo, Capabilities: g.Capabilities, Instructions: g.Instructions,
	}
	for _, raw := range defs {
		t, err := lock.NewTool(raw)
		if err != nil {
			return nil, fmt.Errorf("reading the server's tools: %w", err)
		}
		f.Tools = append(f.Tools, t)
	}
	return f, f.Seal()
}

func hiddenTextError(name mcprun.ServerName, def *definition, why string) error {
	return &mcprun.Error{Class: mcprun.Denied, What: "starting " + string(name), Why: why, Hint: "look at " + def.file + "'s lock file; no server needs hidden text"}
}

// hiddenText says what a reader of a server's instructions or description would
// not see. Both reach the model, as tool definitions do.
func hiddenText(f *lock.File) string {
	for name, text := range map[string]string{"instructions": f.Instructions, "serverInfo": string(f.ServerInfo)} {
		for _, r := range text {
			if kind := lock.Hidden(r); kind != "" && !strings.ContainsRune("\n\t\r\u200d\ufe0f", r) {
				return fmt.Sprintf("its %s holds a character that a reader does not see: %s (%s)", name, lock.Visible(string(r)), kind)
			}
		}
	}
	return ""
}

// noteChanges records each tool that is not as it was pinned, and so withheld; before is
// what they were when the server was last asked, nil if that is not known.
func (s *server) noteChanges(pinned, before, current *lock.File, run *running) {
	became := changed(pinned, before, current)
	for _, c := range lock.Compare(pinned, current) {
		rec := &audit.Record{Type: audit.TypeToolChange, Server: s.name, Instance: run.inst.ID, Tool: c.Tool, Rule: ruleToolDiffers, Reason: lock.Text([]lock.Change{c})}
		if became[c.Tool] {
			rec.Rule = ruleToolChanged
			delete(became, c.Tool) // a tool can differ in many places
		}
		s.d.record.Append(rec)
	}
}

// changed are the pinned tools that became something else than they were before, and than
// what was pinned. What is not known of before was as it was pinned.
func changed(pinned, before, current *lock.File) map[mcprun.ToolName]bool {
	was := map[mcprun.ToolName]mcprun.Digest{}
	pins := map[mcprun.ToolName]mcprun.Digest{}
	for _, t := range pinned.Tools {
		pins[t.Name], was[t.Name] = t.Digest, t.Digest
	}
	if before != nil {
		for _, t := range before.Tools {
			was[t.Name] = t.Digest
		}
	}
	out := map[mcprun.ToolName]bool{}
	for _, t := range current.Tools {
		if pin, ok := pins[t.Name]; ok && t.Digest != pin && t.Digest != was[t.Name] {
			out[t.Name] = true
		}
	}
	return out
}

// recheckPause keeps a server that reports changes without end from costing more
// than one listing a second.
const recheckPause = time.Second

// recheck lists the tools anew when the server says they changed.
func (s *server) recheck(run *running, def *definition, g upstream.Greeting, again <-chan struct{}) {
	for {
		select {
		case <-run.done:
			return
		case <-again:
		}
		ctx, cancel := context.WithTimeout(context.Background(), def.m.Timeouts.Call)
		current, err := s.observe(ctx, run, def, runtime.Image{Digest: def.lock.Image}, g)
		cancel()
		if err != nil {
			current = nil // what cannot be compared is not as it was pinned
		}
		if current != nil {
			s.noteChanges(def.lock, run.current, current, run)
		}
		run.found(current)
		s.front.ToolsChanged()
		select {
		case <-run.done:
			return
		case <-time.After(recheckPause):
		}
	}
}

// matchesPins refuses to run anything else than what was reviewed.
func (def *definition) matchesPins(image runtime.Image) error {
	doing := "starting " + string(def.m.Name)
	hint := "if the change is meant: mcprun lock --diff " + def.file + ", then mcprun lock " + def.file
	switch {
	case def.lock.Image != image.Digest:
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the image is %s, but %s was pinned", image.Digest.Short(), def.lock.Image.Short()), Hint: hint}
	case !slices.Equal(def.lock.Secrets, handedOver(def.m)):
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the container would hold the secrets %q itself, but %q was pinned", handedOver(def.m), def.lock.Secrets), Hint: hint}
	case def.lock.ProfileDigest != def.profile.Digest():
		return &mcprun.Error{Class: mcprun.Denied, What: doing, Why: fmt.Sprintf("the profile %s is not the one that was pinned", def.profile.Name()), Hint: hint}
	}
	return nil
}
