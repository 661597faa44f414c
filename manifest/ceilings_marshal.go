package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
)

// MarshalCeilings writes c as a policy.yaml that ParseCeilings reads back as the same
// value, defaults written out. It fails if c is not valid.
func MarshalCeilings(c *Ceilings) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("writing policy.yaml: %w", err)
	}
	text := c.text()
	if len(text) > MaxSize {
		return nil, fmt.Errorf("writing policy.yaml: it would have %d bytes; at most %d", len(text), MaxSize)
	}
	return []byte(text), nil
}

// Digest names what the ceilings say, however the file is written. That of two that
// differ in anything is different.
func (c *Ceilings) Digest() mcprun.Digest {
	if c == nil {
		c = new(Ceilings)
	}
	sum := sha256.Sum256([]byte(c.WithoutAddress().text()))
	return mcprun.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func (c *Ceilings) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	list := func(key, values string, is bool) {
		if is {
			line("  %s: %s", key, values)
		}
	}
	line("version: 1")
	line("images:")
	list("allow", texts(c.Images.Allow), !c.Images.Any)
	line("  archives: %t", c.Images.Archives)
	if f := c.Files; !f.Any || len(f.Forbid)+len(f.ReadOnly) > 0 {
		line("files:")
		list("allow", "["+quoteAll(f.Allow)+"]", !f.Any)
		list("forbid", "["+quoteAll(f.Forbid)+"]", len(f.Forbid) > 0)
		list("read-only", "["+quoteAll(f.ReadOnly)+"]", len(f.ReadOnly) > 0)
	}
	line("egress:")
	list("allow", texts(c.Egress.Allow), !c.Egress.Any)
	list("forbid", texts(c.Egress.Forbid), len(c.Egress.Forbid) > 0)
	line("  private: %t", c.Egress.Private)
	line("risk:")
	line("  default: %s", c.Risk.Default)
	if len(c.Risk.Tools) > 0 {
		line("  tools:")
	}
	for _, f := range c.Risk.Tools {
		line("    - %s", f)
	}
	l := c.Limits
	line("limits:")
	line("  memory: %s", sizeString(l.Memory))
	line("  cpu: %s", milliString(l.MilliCPU))
	line("  pids: %d", l.Pids)
	line("  tmp: %s", sizeString(l.Tmp))
	line("  call: %s", durationString(l.Call))
	line("  approval: %s", durationString(l.Approval))
	for _, one := range l.sets() {
		if f := setFields(*one.set, false); len(f) > 0 {
			line("  %s: %s", one.name, f)
		}
	}
	line("grants: {sampling: %t, elicitation: %t, roots: %t}", c.Grants.Sampling, c.Grants.Elicitation, c.Grants.Roots)
	line("profiles: [%s]", quoteAll(c.Profiles))
	line("own-profiles: %s", c.OwnProfiles)
	if len(c.NeverCalls) > 0 {
		line("never-calls: %s", texts(c.NeverCalls))
	}
	line("credentials: {sources: [%s], in-container: %t}", quoteAll(c.Credentials.Sources), c.Credentials.InContainer)
	c.Approval.write(line)
	line("revive: {approvers: %d}", c.Revive.Approvers)
	if f := c.Isolation; f.All != Runc || f.High != Runc || f.Untrusted != Runc || len(f.Trusted) > 0 {
		line("minimum-isolation: {all: %s, high: %s, untrusted: %s, trusted: %s}", f.All, f.High, f.Untrusted, texts(f.Trusted))
	}
	marshalKills(c.Kill, line)
	return b.String()
}

// String is the key's value in policy.yaml.
func (o OwnProfiles) String() string {
	switch {
	case o.Any:
		return "all"
	case len(o.Allow) == 0:
		return "none"
	}
	var list []string
	for _, d := range o.Allow {
		list = append(list, string(d))
	}
	return "[" + quoteAll(list) + "]"
}

func (a Approval) write(line func(string, ...any)) {
	line("approval:")
	if len(a.Approvers) > 0 {
		var who []string
		for _, p := range a.Approvers {
			who = append(who, quote(string(p)))
		}
		line("  approvers: [%s]", strings.Join(who, ", "))
	}
	line("  needs: %d", a.Needs)
	line("  four-eyes: %t", a.FourEyes)
	line("  proof: %t", a.Proof)
	var to string
	switch w := a.Webhook; {
	case w.URL != "":
		to = "url: " + quote(w.URL)
	case w.Source.Env != "":
		to = "source: " + quote("env:"+w.Source.Env)
	case w.Source.File != "":
		to = "source: " + quote("file:"+w.Source.File)
	default:
		return
	}
	line("  webhook: {%s, settled: %t, arguments: %t}", to, a.Webhook.Settled, a.Webhook.Arguments)
}

// String is the floor as policy.yaml has it.
func (f RiskFloor) String() string {
	out := "{name: " + quote(string(f.Name))
	if f.Server != "" {
		out += ", server: " + quote(string(f.Server))
	}
	return out + ", risk: " + f.Risk.String() + "}"
}
