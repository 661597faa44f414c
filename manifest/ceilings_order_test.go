package manifest_test

import (
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/manifest/manifesttest"
	"github.com/mcprun/mcprun/netpolicy"
)

// TestStricterNeverAllowsMore: whatever the server and the ceilings, what ceilings
// refuse, stricter ones refuse as well, and no tool has a lower class.
func TestStricterNeverAllowsMore(t *testing.T) {
	allowed, refused, flipped := 0, 0, 0
	for seed := range uint64(6000) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := manifesttest.Random(r)
		loose := manifest.DefaultCeilings()
		for range r.IntN(4) {
			tighten(r, loose, s)
		}
		strict := *loose
		for range 1 + r.IntN(3) {
			tighten(r, &strict, s)
		}
		l, v := loose.Check(s, at, nil), strict.Check(s, at, nil)
		if len(l) > 0 && len(v) == 0 {
			t.Fatalf("seed %d: refused: %v\nand allowed by the stricter\n%+v", seed, l, strict)
		}
		for name := range s.Tools {
			a, _ := loose.Least(s.Name, name)
			b, _ := strict.Least(s.Name, name)
			if b > a {
				t.Fatalf("seed %d: %s has at least %s, and by the stricter %s", seed, name, a, b)
			}
		}
		switch {
		case len(v) == 0:
			allowed++
		case len(l) == 0:
			flipped++
		default:
			refused++
		}
	}
	// The control: all three happen.
	if allowed < 50 || refused < 50 || flipped < 50 {
		t.Errorf("%d allowed by both, %d refused by both, %d by the stricter alone: the test sees too little", allowed, refused, flipped)
	}
}

// tighten makes one thing stricter, often near what the server asks for.
func tighten(r *rand.Rand, c *manifest.Ceilings, s *manifest.Server) {
	file := func() string {
		if len(s.Files) == 0 || r.IntN(4) == 0 {
			return "/srv/servers"
		}
		p := path.Join(at, s.Files[r.IntN(len(s.Files))].From)
		for range r.IntN(3) {
			p = path.Dir(p)
		}
		return p
	}
	host := func() (netpolicy.Pattern, netpolicy.Zone) {
		text := "api.example.com"
		if len(s.Egress) > 0 {
			text = s.Egress[r.IntN(len(s.Egress))].Host.String()
		}
		p, _ := netpolicy.ParsePattern(text)
		z, _ := netpolicy.ParseZone(text)
		return p, z
	}
	floor := manifest.RiskFloor{Name: []manifest.Glob{"*", "*a*", "a*"}[r.IntN(3)], Risk: mcprun.Risk(r.IntN(3))}
	switch r.IntN(19) {
	case 0:
		allow := []manifest.ImageRange{{Name: "registry.example"}, {Name: "localhost"}, {Digest: s.Image.Digest}}
		if c.Images.Any {
			c.Images.Any, c.Images.Allow, c.Images.Archives = false, allow, false
		} else if len(c.Images.Allow) > 0 {
			c.Images.Allow = c.Images.Allow[1:]
		}
	case 1:
		c.Images.Archives = false
	case 2:
		if c.Files.Any {
			c.Files.Any, c.Files.Allow = false, []string{file(), file(), "/srv"}
		} else if len(c.Files.Allow) > 0 {
			c.Files.Allow = c.Files.Allow[1:]
		}
	case 3:
		c.Files.Forbid = append(slices.Clone(c.Files.Forbid), file())
	case 4:
		c.Files.ReadOnly = append(slices.Clone(c.Files.ReadOnly), file())
	case 5:
		p, _ := host()
		q, _ := host()
		if c.Egress.Any {
			c.Egress.Any, c.Egress.Allow = false, []netpolicy.Pattern{p, q}
		} else if len(c.Egress.Allow) > 0 {
			c.Egress.Allow = c.Egress.Allow[1:]
		}
	case 6:
		_, z := host()
		c.Egress.Forbid = append(slices.Clone(c.Egress.Forbid), z)
	case 7:
		c.Egress.Private = false
	case 8:
		c.Risk.Default = mcprun.Stricter(c.Risk.Default, mcprun.Risk(r.IntN(4)))
	case 9:
		c.Risk.Tools = append(slices.Clone(c.Risk.Tools), floor)
	case 10:
		c.Limits.Memory = min(c.Limits.Memory, s.Resources.Memory-int64(r.IntN(2)))
	case 11:
		c.Limits.Call, c.Limits.Approval = c.Limits.Call/2, c.Limits.Approval/2
	case 12:
		c.Limits.Pids, c.Limits.Tmp, c.Limits.MilliCPU = c.Limits.Pids/2, c.Limits.Tmp/2, c.Limits.MilliCPU/2
	case 13:
		c.Grants.Sampling, c.Grants.Roots = false, c.Grants.Roots && r.IntN(2) == 0
	case 16:
		c.Isolation.All = manifest.GVisor
	case 17:
		c.Isolation.High = manifest.GVisor
	case 18:
		if c.Isolation.Untrusted == manifest.Runc {
			c.Isolation.Untrusted, c.Isolation.Trusted = manifest.GVisor, []manifest.ImageRange{{Name: "registry.example"}, {Name: "localhost"}}
		} else if len(c.Isolation.Trusted) > 0 {
			c.Isolation.Trusted = c.Isolation.Trusted[1:]
		}
	case 14:
		if len(c.Profiles) > 1 {
			c.Profiles = c.Profiles[1:]
		}
	case 15:
		if c.Credentials.InContainer = false; len(c.Credentials.Sources) > 1 {
			c.Credentials.Sources = c.Credentials.Sources[1:]
		}
	}
}

// FuzzCheck: whatever a policy.yaml and a server.yaml say, judging them ends, says the
// same twice, and names a fix for each violation.
func FuzzCheck(f *testing.F) {
	for _, c := range inputs(f, "policy/ok-*") {
		for _, s := range inputs(f, "ok-*") {
			f.Add(read(f, c), read(f, s), at)
		}
	}
	f.Fuzz(func(t *testing.T, policy, server []byte, dir string) {
		c, err := manifest.ParseCeilings("policy.yaml", policy)
		if err != nil {
			return
		}
		s, err := manifest.Parse("server.yaml", server)
		if err != nil {
			return
		}
		first, second := c.Check(s, dir, nil), c.Check(s, dir, nil)
		if !slices.Equal(first, second) {
			t.Fatalf("%v\nthen %v", first, second)
		}
		for _, v := range first {
			if v.Key == "" || v.What == "" || v.Fix == "" {
				t.Errorf("%+v says too little", v)
			}
		}
	})
}
