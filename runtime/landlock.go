package runtime

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// landlockPaths are what a container may do with which of its files: what its mounts say.
// It is pure.
func landlockPaths(s *specs.Spec) []landlock.Path {
	paths := []landlock.Path{{Path: "/", Allow: landlock.ReadExecute}}
	for _, m := range s.Mounts {
		switch {
		case m.Destination == "/dev":
			paths = append(paths, landlock.Path{Path: m.Destination, Allow: landlock.Devices})
		case m.Type == "tmpfs":
			paths = append(paths, landlock.Path{Path: m.Destination, Allow: landlock.Own})
		case m.Type == "bind" && hasOption(m, "rw"):
			paths = append(paths, landlock.Path{Path: m.Destination, Allow: landlock.Write})
		}
	}
	return paths
}

// LandlockState says whether the server is enclosed by Landlock, and if not, why.
func (i *Instance) LandlockState() string {
	if i.Landlock == nil && i.isolation != manifest.GVisor && i.rt.landlock != 0 {
		return "none: left out"
	}
	return i.rt.LandlockBehind(i.isolation)
}

// LandlockBehind says whether a server of this isolation is enclosed, and if not, why.
func (r *Runtime) LandlockBehind(i manifest.Isolation) string {
	switch {
	case i == manifest.GVisor:
		return "none: behind gVisor it is not used"
	case r.landlockWhy != nil:
		return "none: " + r.landlockWhy.Error()
	}
	return landlock.Version(r.landlock)
}

// landlockOf are the rules for a container on this kernel, nil where it has no Landlock. TCP
// is left alone where the daemon stands at the only way out: it judges each connection and
// records what it refuses, which Landlock would hide, and a server may talk with its own
// programs on loopback. Behind gVisor it is not used: the server's kernel is another one.
func (r *Runtime) landlockOf(plan Plan, s *specs.Spec) *landlock.Rules {
	if plan.Server.Isolation == manifest.GVisor {
		return nil
	}
	rules := landlock.New(r.landlock, landlockPaths(s), plan.Network.Namespace != "")
	if plan.Enclose != nil {
		rules = plan.Enclose(rules)
	}
	return rules
}
