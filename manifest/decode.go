package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// decode builds the value. It judges types only; whether the values are allowed
// is for the checks, so that they hold for values from elsewhere as well.
func decode(root node, r *report) *Server {
	r.keys = newKeyTable(schema(), later())
	r.where[""] = place{pos: root.pos}
	s := Default()
	o := openObject(r, "", "", root)
	if root.kind != mapKind {
		r.bad["name"], r.bad["image"] = true, true
		return s
	}
	decodeVersion(o)
	o.need("name", "give the server a name, e.g. name: files")
	o.need("image", "name the image by its digest, e.g. image: registry.example/files@sha256:…")
	o.text("name", "files", (*string)(&s.Name))
	s.Labels = decodeLabels(o)
	decodeImage(o, &s.Image)
	s.Command = decodeCommand(o)
	o.text("workdir", "/app", &s.WorkDir)
	s.Environment = decodeEnvironment(o)
	decodeFixed(o, "transport", "stdio")
	decodeIsolation(o, &s.Isolation)
	decodeProfile(o, &s.Profile)
	decodeResources(o.object("resources"), &s.Resources)
	decodeFiles(o, s)
	decodeTimeouts(o.object("timeouts"), &s.Timeouts)
	decodeIdle(o, &s.Idle)
	decodeCallLimits(o.object("limits"), &s.Limits)
	decodeGrants(o.object("grants"), &s.Grants)
	s.Tools = decodeTools(o)
	s.Egress = decodeEgress(o)
	s.Credentials = decodeCredentials(o)
	s.Kill = decodeKills(o)
	return s
}

func decodeVersion(o object) {
	o.need("version", "the first line is version: 1")
	var v int64 = 1
	o.number("version", "1", &v)
	if v != 1 {
		o.r.fail("version", "write version: 1", "version %d is not known; this mcprun reads version 1", v)
	}
}

// decodeFixed takes a key that has one supported value.
func decodeFixed(o object, name, only string) {
	v := only
	o.text(name, only, &v)
	if v != only {
		o.r.fail(name, "write "+name+": "+only+", or leave the key out", "%s is not supported yet", show(v))
	}
}

// decodeIsolation says why virtual machines are not there: no socket of the host can be
// reached from one through a folder.
func decodeIsolation(o object, dst *Isolation) { decodeWall(o, "isolation", dst) }

func decodeWall(o object, key string, dst *Isolation) {
	var text string
	o.text(key, "gvisor", &text)
	path := join(o.path, key)
	switch i := slices.Index(isolationWords, text); {
	case text == "":
	case i >= 0:
		*dst = Isolation(i)
	case strings.HasPrefix(text, "kata"):
		o.r.fail(path, "write gvisor, which needs no virtual machine", "%s is not supported: a virtual machine cannot reach the socket by which the daemon speaks with a server", show(text))
	default:
		o.r.fail(path, "write "+oneOf(isolationWords), "%s is not known", show(text))
	}
}

func decodeProfile(o object, dst *string) {
	o.text("profile", "strict", dst)
}

func decodeImage(o object, dst *Image) {
	var text string
	o.text("image", "registry.example/files@sha256:…", &text)
	if startsLikePath(text) {
		dst.Path = text
		return
	}
	dst.Ref = text
	if _, digest, ok := strings.Cut(text, "@"); ok {
		dst.Digest = mcprun.Digest(digest)
	}
}

func decodeCommand(o object) []string {
	items := o.list("command", "[node, /app/server.js]")
	if n, ok := o.fields["command"]; ok && n.kind == listKind && len(items) == 0 {
		o.r.fail("command", "name the program, or leave the key out to run the image's own", "is an empty list")
	}
	words := make([]string, len(items))
	for i, n := range items {
		path := commandPath(i)
		o.r.where[path] = place{n.pos, path}
		setAt(o.r, path, n, &words[i], textLike("/app/server"))
	}
	if len(words) == 0 {
		return nil
	}
	return words
}

func decodeEnvironment(o object) []EnvVar {
	var env []EnvVar
	for _, p := range o.named("environment", "{LOG_LEVEL: info}") {
		v := EnvVar{Name: p.key.text}
		path := envPath(v.Name)
		o.r.where[path] = place{p.value.pos, path}
		setAt(o.r, path, p.value, &v.Value, textLike("info"))
		env = append(env, v)
	}
	slices.SortFunc(env, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env
}

func decodeResources(o object, dst *Resources) {
	o.size("memory", &dst.Memory)
	set(o, "cpu", &dst.MilliCPU, func(n node) (int64, problem) { return readMilli(n, "0.5") })
	o.number("pids", "128", &dst.Pids)
	o.size("file-size", &dst.FileSize)
	o.number("open-files", "1024", &dst.OpenFiles)
}

func decodeTimeouts(o object, dst *Timeouts) {
	o.duration("start", &dst.Start)
	o.duration("call", &dst.Call)
	o.duration("stop", &dst.Stop)
	o.duration("approval", &dst.Approval)
	o.duration("idle", &dst.Idle)
}

func decodeIdle(o object, dst *Idle) {
	var text string
	o.text("idle", "stop", &text)
	if text == "" {
		return
	}
	i := slices.Index(idleWords, text)
	if i < 0 {
		o.r.fail("idle", "write "+oneOf(idleWords), "%s is not known", show(text))
		return
	}
	*dst = Idle(i)
}

func decodeGrants(o object, dst *Grants) {
	o.bool("sampling", &dst.Sampling)
	o.bool("elicitation", &dst.Elicitation)
	o.bool("roots", &dst.Roots)
}

func decodeTools(o object) map[mcprun.ToolName]Tool {
	var tools map[mcprun.ToolName]Tool
	for _, p := range o.named("tools", "{get_issue: {risk: low}}") {
		name := mcprun.ToolName(p.key.text)
		path := toolPath(name)
		o.r.where[path] = place{p.value.pos, path}
		t := openObject(o.r, "tools.*", path, p.value)
		t.need("risk", "add risk: low, medium, high or block")
		var tool Tool
		set(t, "risk", &tool.Risk, readRisk)
		decodeSaid(t, "untrusted", &tool.Untrusted)
		decodeSaid(t, "private", &tool.Private)
		decodeSaid(t, "sends", &tool.Sends)
		t.bool("confirm", &tool.Confirm)
		tool.Preview = decodePreview(t)
		set(t, "justification", &tool.Justify, readRequired)
		set(t, "approvers", &tool.Approvers, readApprovers)
		decodeSet(openAt(t, "limits", "tools.*.limits"), "tools.*.limits", &tool.Limits)
		decodeCost(t, &tool.Cost)
		tool.Arguments, tool.Rules = decodeArguments(t), decodeRules(t)
		if tools == nil {
			tools = map[mcprun.ToolName]Tool{}
		}
		tools[name] = tool
	}
	return tools
}

func decodeSaid(o object, name string, dst *Said) {
	set(o, name, dst, func(n node) (Said, problem) {
		yes, p := readBool(n)
		if yes {
			return Yes, p
		}
		return No, p
	})
}

func readRequired(n node) (bool, problem) {
	text, p := readText(n, "required")
	if p.none() && text != "required" {
		return false, problem{show(text) + " is not known here", "write required, or leave the key out"}
	}
	return p.none(), p
}

func readApprovers(n node) (int, problem) {
	v, p := readInt(n, "2")
	if p.none() && (v < 1 || v > MaxApprovers) {
		p = problem{fmt.Sprintf("%d people cannot be asked for", v), fmt.Sprintf("write 1 to %d", MaxApprovers)}
	}
	return int(v), p
}

func readRisk(n node) (mcprun.Risk, problem) {
	text, p := readText(n, "low")
	if !p.none() {
		return mcprun.Block, p
	}
	risk, err := mcprun.ParseRisk(text)
	if err != nil {
		return mcprun.Block, problem{show(text) + " is not a risk", "write low, medium, high or block"}
	}
	return risk, problem{}
}

func envPath(name string) string           { return "environment." + keyName(name) }
func toolPath(name mcprun.ToolName) string { return "tools." + keyName(string(name)) }
func commandPath(i int) string             { return fmt.Sprintf("command[%d]", i) }
