package manifest

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/profiles"
)

// ParseCeilings reads one policy.yaml, as strictly as Parse reads server.yaml. The
// error is always an *ErrorList that holds every error found.
func ParseCeilings(filename string, data []byte) (*Ceilings, error) {
	r := newReport()
	root := readYAML(data, r)
	if root == nil {
		return nil, r.list(filename)
	}
	c := decodeCeilings(*root, r)
	checkCeilings(c, r)
	if err := r.list(filename); err != nil {
		return nil, err
	}
	c.lines = map[string]int{}
	for path, at := range r.where {
		c.lines[path] = at.line
	}
	return c, nil
}

func decodeCeilings(root node, r *report) *Ceilings {
	r.keys = newKeyTable(ceilingKeys(), nil)
	r.where[""] = place{pos: root.pos}
	c := DefaultCeilings()
	o := openObject(r, "", "", root)
	if root.kind != mapKind {
		return c
	}
	decodeVersion(o)
	decodeImageCeilings(o.object("images"), &c.Images)
	decodeFileCeilings(o.object("files"), &c.Files)
	decodeEgressCeilings(o.object("egress"), &c.Egress)
	decodeFloors(o.object("risk"), &c.Risk)
	decodeCeilingLimits(o.object("limits"), &c.Limits)
	decodeGrants(o.object("grants"), &c.Grants)
	oneOfWords(o, "profiles", Profiles(), &c.Profiles)
	if _, narrowed := o.fields["profiles"]; narrowed {
		c.OwnProfiles.Any = false // whoever names profiles means these
	}
	decodeOwnProfiles(o, &c.OwnProfiles)
	c.NeverCalls = each(o, "never-calls", "memfd_create", parsed("memfd_create", profiles.ParseForbidden))
	secrets := o.object("credentials")
	oneOfWords(secrets, "sources", SourceKinds(), &c.Credentials.Sources)
	secrets.bool("in-container", &c.Credentials.InContainer)
	decodeApproval(o.object("approval"), &c.Approval)
	decodePeople(o.object("revive"), "approvers", &c.Revive.Approvers)
	decodeIsolationFloors(o, &c.Isolation)
	c.Kill = decodeKills(o)
	return c
}

func decodeOwnProfiles(o object, dst *OwnProfiles) {
	n, path, ok := o.take("own-profiles")
	if !ok {
		return
	}
	const fix = "write all, none or a list of digests"
	switch {
	case n.kind == listKind:
		dst.Any = false
		dst.Allow = each(o, "own-profiles", "sha256:…", parsed("sha256:… as mcprun profile check prints it", mcprun.ParseDigest))
	case n.kind == scalarKind && n.text == "all":
		dst.Any = true
	case n.kind == scalarKind && n.text == "none":
		dst.Any = false
	default:
		p := wrongKind(n, "all, none or a list of digests", "none")
		if n.kind == scalarKind {
			p = problem{show(n.text) + " is not known", fix}
		}
		o.r.fail(path, p.fix, "%s", p.what)
	}
}

// decodeIsolationFloors reads one word for all servers, or a mapping.
func decodeIsolationFloors(o object, dst *IsolationFloors) {
	const key = "minimum-isolation"
	if n, ok := o.fields[key]; ok && n.kind == scalarKind {
		decodeWall(o, key, &dst.All)
		return
	}
	m := o.object(key)
	decodeWall(m, "all", &dst.All)
	decodeWall(m, "high", &dst.High)
	decodeWall(m, "untrusted", &dst.Untrusted)
	dst.Trusted = each(m, "trusted", "ghcr.io/acme", parsed(rangeForm, ParseImageRange))
}

func decodeImageCeilings(o object, dst *ImageCeilings) {
	if allow, ok := only(o, "allow", "ghcr.io/acme", parsed(rangeForm, ParseImageRange)); ok {
		dst.Any, dst.Allow, dst.Archives = false, allow, false
	}
	o.bool("archives", &dst.Archives)
}

func decodeFileCeilings(o object, dst *FileCeilings) {
	if allow, ok := only(o, "allow", "/srv/agents", textLike("/srv/agents")); ok {
		dst.Any, dst.Allow = false, allow
	}
	dst.Forbid = each(o, "forbid", "/srv/secrets", textLike("/srv/secrets"))
	dst.ReadOnly = each(o, "read-only", "/srv/shared", textLike("/srv/shared"))
}

func decodeEgressCeilings(o object, dst *EgressCeilings) {
	if allow, ok := only(o, "allow", "api.example.com", readPattern); ok {
		dst.Any, dst.Allow = false, allow
	}
	dst.Forbid = each(o, "forbid", "paste.example.com", readZone)
	o.bool("private", &dst.Private)
}

var readZone = plainHost(parsed("paste.example.com", netpolicy.ParseZone))

// only reads a list that says what alone is allowed, if it is there.
func only[T any](o object, name, example string, read func(node) (T, problem)) ([]T, bool) {
	_, ok := o.fields[name]
	return each(o, name, example, read), ok
}

// oneOfWords reads a list of words out of known ones, in the order of those.
func oneOfWords(o object, name string, known []string, dst *[]string) {
	read := func(n node) (string, problem) {
		text, p := readText(n, known[0])
		if !p.none() {
			return "", p
		}
		for _, k := range known {
			if k == text {
				return text, problem{}
			}
		}
		if meant := suggest(text, known); meant != "" {
			return "", problem{show(text) + " is not known", "did you mean " + meant + "?"}
		}
		return "", problem{show(text) + " is not known", "write " + oneOf(known)}
	}
	given, ok := only(o, name, known[0], read)
	if !ok {
		return
	}
	*dst = nil
	for _, k := range known {
		for _, g := range given {
			if g == k {
				*dst = append(*dst, k)
				break
			}
		}
	}
}

func decodeFloors(o object, dst *RiskFloors) {
	set(o, "default", &dst.Default, readRisk)
	items := o.list("tools", `[{name: "*delete*", risk: high}]`)
	for i, n := range items {
		path := fmt.Sprintf("risk.tools[%d]", i)
		o.r.where[path] = place{n.pos, path}
		f := openObject(o.r, "risk.tools[]", path, n)
		if n.kind == mapKind {
			f.need("name", `name the tools, e.g. name: "*delete*"`)
			f.need("risk", "add risk: medium, high or block")
		}
		var floor RiskFloor
		set(f, "name", &floor.Name, parsed(`"*delete*"`, ParseGlob))
		set(f, "server", &floor.Server, parsed("github", ParseGlob))
		set(f, "risk", &floor.Risk, readRisk)
		dst.Tools = append(dst.Tools, floor)
	}
}

func decodeCeilingLimits(o object, dst *Limits) {
	o.size("memory", &dst.Memory)
	set(o, "cpu", &dst.MilliCPU, func(n node) (int64, problem) { return readMilli(n, "0.5") })
	o.number("pids", "128", &dst.Pids)
	o.size("tmp", &dst.Tmp)
	o.duration("call", &dst.Call)
	o.duration("approval", &dst.Approval)
	for _, one := range dst.sets() {
		decodeSet(openAt(o, one.name, "limits."+one.name), "limits."+one.name, one.set)
	}
}

func decodeApproval(o object, dst *Approval) {
	dst.Approvers = each(o, "approvers", "uid:1000", parsed("uid:1000", parseApprover))
	decodePeople(o, "needs", &dst.Needs)
	o.bool("four-eyes", &dst.FourEyes)
	o.bool("proof", &dst.Proof)
	w := openAt(o, "webhook", "approval.webhook")
	w.text("url", "https://hooks.example.com/mcprun", &dst.Webhook.URL)
	set(w, "source", &dst.Webhook.Source, parsed("env:MCPRUN_WEBHOOK", parseWebhookSource))
	w.bool("settled", &dst.Webhook.Settled)
	w.bool("arguments", &dst.Webhook.Arguments)
}

// decodePeople reads how many people it takes.
func decodePeople(o object, name string, dst *int) {
	n := int64(*dst)
	o.number(name, "1", &n)
	*dst = int(min(n, 1<<30)) // the checks refuse it
}

var userID = regexp.MustCompile(`^uid:(0|[1-9][0-9]{0,9})$`)

// parseApprover reads who may approve. Only what the kernel says of a peer can be
// trusted, and that is the number of a user.
func parseApprover(s string) (mcprun.Principal, error) {
	m := userID.FindStringSubmatch(s)
	if m == nil {
		return "", fmt.Errorf("%s is not uid: and the number of a user; `id -u NAME` prints it", show(s))
	}
	if _, err := strconv.ParseUint(m[1], 10, 32); err != nil {
		return "", fmt.Errorf("%s is not the number of a user", show(s))
	}
	return mcprun.Principal(s), nil
}

func parseWebhookSource(s string) (credentials.Source, error) {
	src, err := parseSource(s)
	if err != nil {
		return src, fmt.Errorf("the source is env:NAME or file:/path")
	}
	return src, src.Validate()
}
