// Package manifesttest makes manifests for the property tests of other packages.
//
// It protects nothing and belongs into tests only. What it makes is valid and
// extreme on purpose; it does not try to look like what people write.
package manifesttest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

// Random returns a manifest that passes Validate. Each value is an ordinary one
// or, half of the time, one at the edge of what is allowed. Each count is small
// most of the time and the largest allowed once in a while.
func Random(r *rand.Rand) *manifest.Server {
	s := manifest.Default()
	s.Name = mcprun.ServerName(name(r, mcprun.MaxServerName))
	s.Image = image(r)
	s.Command = command(r)
	s.WorkDir = pick(r, "", "/", "/app", "/"+odd(r, 200))
	s.Environment = environment(r)
	s.Profile = pick(r, manifest.Profiles()...)
	s.Files = files(r)
	s.Tmp = size(r, manifest.MinTmpfs, manifest.MaxTmpfs)
	s.Resources = resources(r)
	s.Timeouts = timeouts(r)
	s.Grants = manifest.Grants{Sampling: coin(r), Elicitation: coin(r), Roots: coin(r)}
	s.Tools = tools(r)
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
		Start: duration(r, manifest.MinStart, manifest.MaxStart),
		Call:  duration(r, manifest.MinCall, manifest.MaxCall),
		Stop:  duration(r, manifest.MinStop, manifest.MaxStop),
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
		out[mcprun.ToolName(name)] = manifest.Tool{Risk: pick(r, mcprun.Block, mcprun.High, mcprun.Medium, mcprun.Low)}
	}
	return out
}
