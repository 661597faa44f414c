// Package manifesttest makes manifests for the property tests of other packages.
//
// It protects nothing and belongs into tests only. What it makes is valid and
// extreme on purpose; it does not try to look like what people write.
package manifesttest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy"
)

// Random returns a manifest that passes Validate. Each value is an ordinary one
// or, half of the time, one at the edge of what is allowed. Each count is small
// most of the time and the largest allowed once in a while.
func Random(r *rand.Rand) *manifest.Server {
	s := manifest.Default()
	s.Name = mcprun.ServerName(name(r, mcprun.MaxServerName))
	s.Labels = labels(r)
	s.Image = image(r)
	s.Command = command(r)
	s.WorkDir = pick(r, "", "/", "/app", "/"+odd(r, 200))
	s.Environment = environment(r)
	s.Profile = pick(r, manifest.Profiles()...)
	s.Isolation = pick(r, manifest.Runc, manifest.GVisor)
	s.Files = files(r)
	s.Tmp = size(r, manifest.MinTmpfs, manifest.MaxTmpfs)
	s.Resources = resources(r)
	s.Timeouts = timeouts(r)
	if s.Idle = pick(r, manifest.IdleRun, manifest.IdleFreeze, manifest.IdleStop); s.Idle != manifest.IdleRun {
		s.Timeouts.Idle = duration(r, manifest.MinIdle, manifest.MaxIdle)
	}
	s.Limits = callLimits(r)
	s.Grants = manifest.Grants{Sampling: coin(r), Elicitation: coin(r), Roots: coin(r)}
	s.Tools = tools(r)
	s.Egress = egress(r, s.Tools)
	s.Credentials = secrets(r, s)
	s.Kill = kills(r)
	return s
}

func coin(r *rand.Rand) bool { return r.IntN(2) == 0 }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// between returns low, high, or something between them.
func between(r *rand.Rand, low, high int64) int64 {
	return pick(r, low, high, low+r.Int64N(high-low+1), low+r.Int64N(high-low+1))
}

func size(r *rand.Rand, low, high int64) int64 {
	const kib = 1 << 10
	return between(r, low/kib, high/kib) * kib
}

func duration(r *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(between(r, low.Milliseconds(), high.Milliseconds())) * time.Millisecond
}

// count is small, and the largest once in 32 times.
func count(r *rand.Rand, most int) int {
	if r.IntN(32) == 0 {
		return most
	}
	return r.IntN(min(most, 5) + 1)
}

// letters returns n characters of the alphabet.
func letters(r *rand.Rand, alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

const lower = "abcdefghijklmnopqrstuvwxyz"

func name(r *rand.Rand, most int) string {
	n := int(between(r, 1, int64(most)))
	return strings.TrimRight(pick(r, "a", "y", "n", "z")+letters(r, lower+"0123456789-", n-1), "-")
}

// odd returns printable text that is hostile to careless quoting and fit for a
// path: no slash, no dots alone.
func odd(r *rand.Rand, most int) string {
	parts := []string{"a", "null", "on", "0777", " ", "'", `"`, `\`, ":", ": ", " #", "{", "}", "[", "]", ",", "&", "*", "!", "|", ">", "%", "@", "`", "~", "é", "漢", "😀", "$(x)", "=", "-", "<<"}
	var b strings.Builder
	b.WriteString("x")
	for range r.IntN(8) {
		if part := pick(r, parts...); b.Len()+len(part) <= most {
			b.WriteString(part)
		}
	}
	return b.String()
}

// text is odd text with the characters that a value may hold and a path may not.
func text(r *rand.Rand) string {
	switch r.IntN(16) {
	case 0:
		return strings.Repeat("é", manifest.MaxValue/32)
	case 1:
		return pick(r, "true", "no", "~", "1e3", "0o17", "2001-01-01", ".inf", "-", "?", "---", "...", "=", " lead", "trail ")
	}
	return odd(r, 100) + pick(r, "", "\n", "\t", "\r\n", "\u0085", "\u2028", "\ufeff", "\u202e", "\x01", "\x7f", "\U0010ffff")
}

func image(r *rand.Rand) manifest.Image {
	if coin(r) {
		return manifest.Image{Path: pick(r, "./", "../", "/srv/") + odd(r, 200)}
	}
	digest := mcprun.Digest("sha256:" + letters(r, "0123456789abcdef", 64))
	repo := pick(r, "registry.example/a", "localhost/a", "127.0.0.1:5000/a/b_c/d-e.f")
	return manifest.Image{Ref: repo + "@" + string(digest), Digest: digest}
}

func command(r *rand.Rand) []string {
	var words []string
	for range count(r, manifest.MaxCommand) {
		words = append(words, "w"+text(r))
	}
	return words
}

func labels(r *rand.Rand) []mcprun.Label {
	var out []mcprun.Label
	for i := range count(r, manifest.MaxLabels) {
		out = append(out, mcprun.Label(fmt.Sprintf("k%02d-%s=%s", i, letters(r, lower+"0123456789-", r.IntN(20)), pick(r, "1", "null", "0x1f", "v1.2_3-", "A", "no", letters(r, lower, 60)))))
	}
	slices.Sort(out)
	return out
}

func environment(r *rand.Rand) []manifest.EnvVar {
	seen := map[string]bool{}
	var env []manifest.EnvVar
	for i := range count(r, manifest.MaxEnvironment) {
		v := manifest.EnvVar{Name: pick(r, "Y", "NO", "_", "V"+letters(r, "ABC_xyz019", 8), fmt.Sprintf("V%d", i)), Value: pick(r, "", odd(r, 100), text(r))}
		if !seen[v.Name] {
			seen[v.Name] = true
			env = append(env, v)
		}
	}
	if total := totalBytes(env); total > manifest.MaxSize/2 {
		env = env[:1]
	}
	slices.SortFunc(env, func(a, b manifest.EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env
}

func totalBytes(env []manifest.EnvVar) int {
	n := 0
	for _, v := range env {
		n += len(v.Name) + len(v.Value)
	}
	return n
}

func files(r *rand.Rand) []manifest.File {
	var out []manifest.File
	room := manifest.MaxTmpfsTotal - manifest.MaxTmpfs // /tmp may take the rest
	for i := range count(r, manifest.MaxFiles) {
		to := fmt.Sprintf("/m%d%s", i, odd(r, 60))
		if tmpfs := size(r, manifest.MinTmpfs, manifest.MaxTmpfs); coin(r) && tmpfs <= room {
			room -= tmpfs
			out = append(out, manifest.File{To: to, Tmpfs: true, Size: tmpfs})
			continue
		}
		from := pick(r, "./", "../", "../../", "/srv/", "/home/somebody/") + odd(r, 60)
		out = append(out, manifest.File{From: from, To: to, Access: pick(r, manifest.Read, manifest.Write)})
	}
	return out
}

func resources(r *rand.Rand) manifest.Resources {
	return manifest.Resources{
		Memory:    size(r, manifest.MinMemory, manifest.MaxMemory),
		MilliCPU:  between(r, manifest.MinMilliCPU, manifest.MaxMilliCPU),
		Pids:      between(r, manifest.MinPids, manifest.MaxPids),
		FileSize:  size(r, manifest.MinFileSize, manifest.MaxFileSize),
		OpenFiles: between(r, manifest.MinOpenFiles, manifest.MaxOpenFiles),
	}
}

func timeouts(r *rand.Rand) manifest.Timeouts {
	return manifest.Timeouts{
		Start:    duration(r, manifest.MinStart, manifest.MaxStart),
		Call:     duration(r, manifest.MinCall, manifest.MaxCall),
		Stop:     duration(r, manifest.MinStop, manifest.MaxStop),
		Approval: duration(r, manifest.MinApproval, manifest.MaxApproval),
		Idle:     manifest.DefaultIdle,
	}
}

func tools(r *rand.Rand) map[mcprun.ToolName]manifest.Tool {
	var out map[mcprun.ToolName]manifest.Tool
	for range count(r, manifest.MaxTools) {
		if out == nil {
			out = map[mcprun.ToolName]manifest.Tool{}
		}
		n := int(pick(r, between(r, 1, 20), between(r, 1, mcprun.MaxToolName)))
		name := pick(r, letters(r, lower+"_-.0123456789ABC", n), "on", "null", "0777", "-", ".", "---")
		out[mcprun.ToolName(name)] = manifest.Tool{Risk: pick(r, mcprun.Block, mcprun.High, mcprun.Medium, mcprun.Low),
			Untrusted: pick(r, manifest.Unsaid, manifest.No, manifest.Yes), Private: pick(r, manifest.Unsaid, manifest.No, manifest.Yes), Sends: pick(r, manifest.Unsaid, manifest.No, manifest.Yes),
			Justify: coin(r), Approvers: r.IntN(manifest.MaxApprovers + 1)}
		if t := out[mcprun.ToolName(name)]; t.Risk > mcprun.High && coin(r) {
			t.Confirm = true
			out[mcprun.ToolName(name)] = t
		}
		if t := out[mcprun.ToolName(name)]; r.IntN(16) == 0 {
			t.Limits, t.Cost.Each = limitSet(r, false), amount(r, limits.Cost)
			out[mcprun.ToolName(name)] = t
		}
		if t := out[mcprun.ToolName(name)]; t.Risk != mcprun.Block && coin(r) {
			t.Preview = []manifest.Fixed{{Name: "dry " + odd(r, 8), Value: pick(r, "true", "false", "-7", "1.5", `"x"`, `"true"`, `"1"`)}}
			out[mcprun.ToolName(name)] = t
		}
	}
	return out
}

// must is for texts that are written here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// some is up to three of the tools, none twice.
func some(r *rand.Rand, tools map[mcprun.ToolName]manifest.Tool) []mcprun.ToolName {
	names := slices.Sorted(maps.Keys(tools))
	n := min(len(names), r.IntN(4))
	if n == 0 {
		return nil
	}
	return names[:n]
}

// egress makes rules for hosts of their own, so that no two of them disagree.
func egress(r *rand.Rand, tools map[mcprun.ToolName]manifest.Tool) []netpolicy.Rule {
	var out []netpolicy.Rule
	for i := range count(r, 40) {
		host := pick(r, fmt.Sprintf("h%d.example.com", i), fmt.Sprintf("*.w%d.example.com", i), fmt.Sprintf("a-%d.example.org", i), fmt.Sprintf("93.184.216.%d", i))
		rule := netpolicy.Rule{
			Host: must(netpolicy.ParsePattern(host)), Port: uint16(between(r, 1, 65535)), Protocol: pick(r, netpolicy.TLS, netpolicy.HTTP, netpolicy.TCP), Tools: some(r, tools),
			Grant:  netpolicy.Grant{Private: coin(r)},
			Limits: netpolicy.Limits{Connections: int(between(r, 0, 256)), PerMinute: int(between(r, 0, 9_999_999)), Bytes: size(r, 0, 1<<40)},
		}
		if coin(r) {
			rule.Grant.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
		}
		rule.Inspect = rule.Protocol == netpolicy.TLS && coin(r)
		if rule.Inspect || rule.Protocol == netpolicy.HTTP {
			rule.Methods = []string{"GET", pick(r, "POST", "DELETE")}
			rule.Paths = []netpolicy.PathPattern{must(netpolicy.ParsePathPattern(pick(r, "/**", "/a/*/c", "/%20/**/x")))}
			rule.WebSocket = coin(r)
		}
		out = append(out, rule)
	}
	return out
}

// secrets makes credentials for what the rules inspect.
func secrets(r *rand.Rand, s *manifest.Server) []manifest.Credential {
	var out []manifest.Credential
	for i, rule := range s.Egress {
		host, err := netpolicy.ParseHost(rule.Host.String())
		if !rule.Inspect || err != nil || len(out) == manifest.MaxCredentials {
			continue
		}
		out = append(out, manifest.Credential{
			Name: fmt.Sprintf("c%02d", i), Source: source(r), Lifetime: duration(r, manifest.MinLifetime, manifest.MaxLifetime),
			Host: host, Port: rule.Port, Methods: rule.Methods, Paths: rule.Paths, Tools: some(r, s.Tools),
			Place:  pick(r, manifest.Place{Header: "Authorization", Format: "Bearer {}"}, manifest.Place{Basic: "username"}, manifest.Place{Query: "access_token"}),
			Expose: manifest.Expose{Env: fmt.Sprintf("SECRET_%d", i), Text: pick(r, "{}", "x: \"{}\""), Shape: pick(r, credentials.Shapes()...)},
		})
	}
	if coin(r) {
		out = append(out, manifest.Credential{Name: "z", Source: source(r), Lifetime: manifest.DefaultLifetime, Port: 443, InContainer: true,
			Expose: manifest.Expose{File: "z", Text: "{}", Shape: credentials.Plain}})
	}
	return out[:min(len(out), manifest.MaxCredentials)]
}

func source(r *rand.Rand) credentials.Source {
	inner := &credentials.Source{Env: "INNER"}
	return pick(r,
		credentials.Source{Env: "TOKEN"}, credentials.Source{File: "/etc/mcprun/" + odd(r, 40)}, credentials.Source{Exec: []string{"/bin/print", text(r)}},
		credentials.Source{Age: &credentials.Age{File: "/a", Identity: "/b"}},
		credentials.Source{Vault: &credentials.Vault{Address: "https://v.example.com", Path: "secret/data/x", Field: "f", Token: inner}},
		credentials.Source{OAuth: &credentials.OAuth{TokenURL: "https://l.example.com/t", ClientID: "c", Secret: inner, Scopes: []string{"a"}}},
		credentials.Source{Exchange: &credentials.Exchange{TokenURL: "https://l.example.com/t", Subject: inner}},
	)
}
