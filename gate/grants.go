package gate

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// PolicyOf is the policy that a server.yaml and its pins make under the operator's
// ceilings, named by a digest of all three. Without ceilings every tool is blocked.
func PolicyOf(s *manifest.Server, f *lock.File, c *manifest.Ceilings) (*Policy, []Problem) {
	p, problems := NewPolicy(s.Name, f, GrantsUnder(s, c))
	p.around = around(s, "")
	h := sha256.New()
	raw, err := manifest.Marshal(s)
	if err == nil && f != nil {
		var pins []byte
		pins, err = lock.Marshal(f)
		raw = append(raw, pins...)
	}
	if err != nil {
		// Only a value that nobody read from a file cannot be written; its policy has no
		// name, and no record can be judged by it again.
		return p, problems
	}
	h.Write(raw)
	h.Write([]byte("\n" + c.Digest()))
	p.digest = mcprun.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	return p, problems
}

// GrantsUnder is what a server.yaml says of its tools, and what the operator's ceilings
// demand of them at least.
func GrantsUnder(s *manifest.Server, c *manifest.Ceilings) map[mcprun.ToolName]Grant {
	out := Grants(s)
	for name, g := range out {
		g.least, g.demanded = c.Least(s.Name, name)
		g.behind = c.WallOfHigh(s.Isolation)
		out[name] = g
	}
	return out
}

// Grants is what a server.yaml says of its tools.
func Grants(s *manifest.Server) map[mcprun.ToolName]Grant {
	out := make(map[mcprun.ToolName]Grant, len(s.Tools))
	for name, t := range s.Tools {
		out[name] = Grant{Risk: t.Risk, Justify: t.Justify, Confirm: t.Confirm, Preview: t.Preview, Arguments: t.Arguments, Rules: t.Rules, Untrusted: t.Untrusted, Private: t.Private, Sends: t.Sends, around: around(s, name)}
	}
	return out
}
