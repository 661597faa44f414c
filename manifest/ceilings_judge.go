package manifest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/profiles"
)

// Violation is one thing that a server.yaml asks for and the ceilings do not give.
type Violation struct {
	Key     string // of server.yaml
	What    string // what it asks for
	Ceiling string // the key of policy.yaml; "" for what is refused whatever it says
	Line    int    // in policy.yaml; 0 if it does not have the key
	Fix     string // what would be accepted
}

func (v Violation) String() string {
	by := "no policy.yaml can allow it"
	switch {
	case v.Line > 0:
		by = fmt.Sprintf("policy.yaml:%d (%s)", v.Line, v.Ceiling)
	case v.Ceiling != "":
		by = "the default of " + v.Ceiling
	}
	return fmt.Sprintf("%s: %s: %s; %s", v.Key, v.What, by, v.Fix)
}

// Check returns all that a server.yaml asks for beyond the ceilings, in the order of
// its keys. dir is the absolute folder of server.yaml, where its relative paths begin;
// without one they cannot be judged and are refused. own is the profile in the file that
// server.yaml names; nil where it names a built-in one. A nil or zero Ceilings refuses
// every server.
//
// The classes of tools are not here: they are raised, which refuses nothing (Least).
func (c *Ceilings) Check(s *Server, dir string, own *profiles.Profile) []Violation {
	if c == nil {
		c = new(Ceilings)
	}
	v := violations{c: c}
	v.image(s.Image)
	v.profile(s, own)
	v.isolation(s)
	v.resources(s)
	v.files(s.Files, dir)
	v.grants(s.Grants)
	for i, rule := range s.Egress {
		v.rule(i, rule)
	}
	for _, one := range s.Credentials {
		v.credential(one)
	}
	return v.all
}

type violations struct {
	c   *Ceilings
	all []Violation
}

// add refuses what a key of server.yaml asks for, because of a key of policy.yaml.
func (v *violations) add(key, ceiling, fix, format string, args ...any) {
	v.all = append(v.all, Violation{key, fmt.Sprintf(format, args...), ceiling, v.c.lineOf(ceiling), fix})
}

func (v *violations) image(i Image) {
	switch {
	case i.Path != "":
		if !v.c.Images.Archives {
			ceiling := "images.archives"
			if v.c.lines[ceiling] == 0 && !v.c.Images.Any {
				ceiling = "images.allow"
			}
			v.add("image", ceiling, "use an image of a registry, by its digest"+those(": ", listed(v.c.Images.Allow)), "%s is an archive on disk", show(i.Path))
		}
	case v.c.Images.Any:
	case !slices.ContainsFunc(v.c.Images.Allow, func(r ImageRange) bool { return r.Has(i) }):
		v.add("image", "images.allow", accepted(listed(v.c.Images.Allow)), "%s is not among the images that may run", show(i.Ref))
	}
}

func (v *violations) isolation(s *Server) {
	if least, key := v.c.Wall(s); s.Isolation < least {
		ceiling := key
		if v.c.lines[key] == 0 { // written as one word for all
			ceiling = "minimum-isolation"
		}
		why := map[string]string{"minimum-isolation.high": ", and it has a tool of high risk", "minimum-isolation.untrusted": ", and its image is not among those that are trusted"}[key]
		v.add("isolation", ceiling, "write isolation: "+least.String()+" (make setup-gvisor builds it)", "it is %s%s", s.Isolation, why)
	}
}

func (v *violations) profile(s *Server, own *profiles.Profile) {
	p := own
	if s.OwnProfile() {
		if own == nil {
			v.add("profile", "", "read it as well", "%s was not read, so that it cannot be judged", show(s.Profile))
			return
		}
		v.ownProfile(own)
	} else {
		builtin, err := profiles.Load(s.Profile)
		if err != nil || !slices.Contains(v.c.Profiles, s.Profile) {
			v.add("profile", "profiles", accepted(v.c.Profiles), "%s may not be used", show(s.Profile))
			return
		}
		p = builtin
	}
	for i, f := range v.c.NeverCalls {
		if rules := p.Grants(f); len(rules) > 0 {
			v.add("profile", fmt.Sprintf("never-calls[%d]", i), neverFix(f, rules[0]), "%s allows %s, which no profile may", p.Name(), f)
		}
	}
}

// ownProfile judges a profile in a file by what it enforces and what it stands on.
func (v *violations) ownProfile(p *profiles.Profile) {
	if !v.c.OwnProfiles.Any && !slices.Contains(v.c.OwnProfiles.Allow, p.Digest()) {
		key := "own-profiles"
		if v.c.lines[key] == 0 && v.c.lines["profiles"] > 0 {
			key = "profiles"
		}
		v.add("profile", key, fmt.Sprintf("use %s, or have the operator add %s to own-profiles", oneOrNone(v.c.Profiles), p.Digest()), "the profile %s is in a file, and not among those that may be used", p.Name())
	}
	if p.Extends() != "" && p.Extends() != profiles.Nothing && !slices.Contains(v.c.Profiles, p.Extends()) {
		v.add("profile", "profiles", accepted(v.c.Profiles), "the profile %s extends %s, which may not be used", p.Name(), p.Extends())
	}
}

func oneOrNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " or ")
}

// neverFix says how to do without what a rule allows.
func neverFix(f profiles.Forbidden, r profiles.Rule) string {
	if r.Line > 0 {
		return fmt.Sprintf("take it out of allow: %s:%d", r.Profile, r.Line)
	}
	where := ""
	if !f.Whole {
		where = fmt.Sprintf("where: [{arg: %d, any: [%s]}], ", f.Arg, f.Value.Name)
	}
	return fmt.Sprintf("deny it in a profile of your own: deny: [{calls: [%s], %sreason: …}]", f.Call, where)
}

func (v *violations) resources(s *Server) {
	l := v.c.Limits
	tmp := s.Tmp
	for _, f := range s.Files {
		tmp += f.Size
	}
	above(v, "resources.memory", "limits.memory", s.Resources.Memory, l.Memory, sizeString)
	above(v, "resources.cpu", "limits.cpu", s.Resources.MilliCPU, l.MilliCPU, milliString)
	above(v, "resources.pids", "limits.pids", s.Resources.Pids, l.Pids, decimal)
	above(v, "files (all tmpfs)", "limits.tmp", tmp, l.Tmp, sizeString)
	above(v, "timeouts.call", "limits.call", s.Timeouts.Call, l.Call, durationString)
	above(v, "timeouts.approval", "limits.approval", s.Timeouts.Approval, l.Approval, durationString)
}

func above[T cmp.Ordered](v *violations, key, ceiling string, asked, most T, text func(T) string) {
	if asked > most {
		v.add(key, ceiling, "write "+text(most)+" or less", "%s is more than %s", text(asked), text(most))
	}
}

func (v *violations) files(files []File, dir string) {
	for _, f := range files {
		if !f.Tmpfs {
			v.mount(fmt.Sprintf("files (to: %s)", f.To), f, dir)
		}
	}
}

// mount judges one path of the host by what it is once its dots are gone. The runtime
// opens that path without following links, so that its name is what it is.
func (v *violations) mount(key string, f File, dir string) {
	p := f.From
	if !strings.HasPrefix(p, "/") {
		if !strings.HasPrefix(dir, "/") {
			v.add(key, "", "write the whole path", "%s is relative to a folder that is not known", show(p))
			return
		}
		p = path.Join(dir, p)
	}
	// A path with dots may be /etc in other words, which server.yaml alone cannot show.
	if what := givesAwayFrom(p, path.Clean(dir)); what != "" {
		v.add(key, "", "name a folder that holds only what this server needs", "%s is %s, which gives away %s", show(f.From), show(p), what)
		return
	}
	if !v.c.Files.Any && !slices.ContainsFunc(v.c.Files.Allow, func(in string) bool { return inside(p, in) }) {
		v.add(key, "files.allow", accepted(v.c.Files.Allow), "%s is in none of the folders that may be mounted", show(p))
		return
	}
	if i := slices.IndexFunc(v.c.Files.Forbid, func(no string) bool { return overlap(p, no) }); i >= 0 {
		v.add(key, fmt.Sprintf("files.forbid[%d]", i), "name a folder that neither holds it nor lies in it", "%s is, holds or lies in %s, which is forbidden", show(p), show(v.c.Files.Forbid[i]))
		return
	}
	if i := slices.IndexFunc(v.c.Files.ReadOnly, func(no string) bool { return overlap(p, no) }); i >= 0 && f.Access == Write {
		v.add(key, fmt.Sprintf("files.read-only[%d]", i), "write access: read", "%s is, holds or lies in %s, which may only be read", show(p), show(v.c.Files.ReadOnly[i]))
	}
}

func (v *violations) grants(g Grants) {
	for _, one := range []struct {
		name       string
		asked, may bool
	}{{"sampling", g.Sampling, v.c.Grants.Sampling}, {"elicitation", g.Elicitation, v.c.Grants.Elicitation}, {"roots", g.Roots, v.c.Grants.Roots}} {
		if one.asked && !one.may {
			v.add("grants."+one.name, "grants."+one.name, "take it out", "%s may not be granted", one.name)
		}
	}
}

func (v *violations) rule(i int, r netpolicy.Rule) {
	key := egressPath(i)
	if !v.c.Egress.Any && !slices.ContainsFunc(v.c.Egress.Allow, func(p netpolicy.Pattern) bool { return p.Holds(r.Host) }) {
		v.add(key+".host", "egress.allow", accepted(listed(v.c.Egress.Allow)), "%s is not among the hosts that may be reached", r.Host)
	}
	for n, z := range v.c.Egress.Forbid {
		if z.Touches(r.Host) || z.InAny(r.Grant.Networks) {
			v.add(key+".host", fmt.Sprintf("egress.forbid[%d]", n), "name hosts that are not forbidden", "%s can reach %s, which is forbidden", r.Host, z)
		}
	}
	if !v.c.Egress.Private && (r.Grant.Private || len(r.Grant.Networks) > 0) {
		v.add(key, "egress.private", "take private and networks out", "%s may not be reached inside your network", r.Host)
	}
}

func (v *violations) credential(c Credential) {
	at := credentialPath(c.Name)
	for _, kind := range sourceKinds(c.Source, 0) {
		if !slices.Contains(v.c.Credentials.Sources, kind) {
			v.add(at+".source", "credentials.sources", accepted(v.c.Credentials.Sources), "secrets may not come from %s", kind)
		}
	}
	if c.InContainer && !v.c.Credentials.InContainer {
		v.add(at+".exposure", "credentials.in-container", "write exposure: proxy", "the container would hold the secret itself")
	}
}

// sourceKinds names the kinds of a source and of those inside it, each once.
func sourceKinds(s credentials.Source, depth int) []string {
	var kinds []string
	add := func(set bool, kind string, inner ...*credentials.Source) {
		if !set {
			return
		}
		kinds = append(kinds, kind)
		for _, i := range inner {
			if i != nil && depth < credentials.MaxDepth {
				kinds = append(kinds, sourceKinds(*i, depth+1)...)
			}
		}
	}
	add(s.Env != "", "env")
	add(s.File != "", "file")
	add(s.Age != nil, "age")
	add(s.Exec != nil, "exec")
	if s.Vault != nil {
		add(true, "vault", s.Vault.Token)
	}
	if s.OAuth != nil {
		add(true, "oauth", s.OAuth.Secret)
	}
	if s.Exchange != nil {
		add(true, "exchange", s.Exchange.Secret, s.Exchange.Subject)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// maxAccepted is how many ranges a message names.
const maxAccepted = 8

// accepted says what would be.
func accepted(list []string) string {
	if len(list) == 0 {
		return "nothing would be accepted"
	}
	return "accepted" + those(": ", list)
}

func those(before string, list []string) string {
	switch {
	case len(list) == 0:
		return ""
	case len(list) > maxAccepted:
		return before + strings.Join(list[:maxAccepted], ", ") + fmt.Sprintf(" and %d more", len(list)-maxAccepted)
	}
	return before + strings.Join(list, ", ")
}
