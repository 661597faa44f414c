package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Marshal writes s as a server.yaml that Parse reads back as the same value,
// defaults written out and notes left out. It fails if s is not valid or too large for a file.
func Marshal(s *Server) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("writing server.yaml: %w", err)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("version: 1")
	line("name: %s", quote(string(s.Name)))
	marshalLabels(s, line)
	line("image: %s", quote(s.Image.Ref+s.Image.Path))
	if len(s.Command) > 0 {
		line("command: [%s]", quoteAll(s.Command))
	}
	if s.WorkDir != "" {
		line("workdir: %s", quote(s.WorkDir))
	}
	marshalEnvironment(s, line)
	line("isolation: %s", s.Isolation)
	line("profile: %s", quote(s.Profile))
	marshalResources(s, line)
	marshalFiles(s, line)
	line("timeouts: {start: %s, call: %s, stop: %s, approval: %s, idle: %s}", durationString(s.Timeouts.Start), durationString(s.Timeouts.Call), durationString(s.Timeouts.Stop), durationString(s.Timeouts.Approval), durationString(s.Timeouts.Idle))
	line("idle: %s", s.Idle)
	line("limits: %s", limitFields(s.Limits))
	line("grants: {sampling: %t, elicitation: %t, roots: %t}", s.Grants.Sampling, s.Grants.Elicitation, s.Grants.Roots)
	marshalTools(s, line)
	marshalEgress(s, line)
	marshalCredentials(s, line)
	marshalKills(s.Kill, line)
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("writing server.yaml: it would have %d bytes; at most %d", b.Len(), MaxSize)
	}
	return []byte(b.String()), nil
}

func marshalResources(s *Server, line func(string, ...any)) {
	line("resources: {memory: %s, cpu: %s, pids: %d, file-size: %s, open-files: %d}", sizeString(s.Resources.Memory),
		milliString(s.Resources.MilliCPU), s.Resources.Pids, sizeString(s.Resources.FileSize), s.Resources.OpenFiles)
}

func marshalEnvironment(s *Server, line func(string, ...any)) {
	if len(s.Environment) == 0 {
		return
	}
	line("environment:")
	for _, v := range s.Environment {
		line("  %s: %s", quote(v.Name), quote(v.Value))
	}
}

func marshalFiles(s *Server, line func(string, ...any)) {
	line("files:")
	line("  - {tmpfs: /tmp, size: %s}", sizeString(s.Tmp))
	for _, f := range s.Files {
		if f.Tmpfs {
			line("  - {tmpfs: %s, size: %s}", quote(f.To), sizeString(f.Size))
		} else {
			line("  - {from: %s, to: %s, access: %s}", quote(f.From), quote(f.To), f.Access)
		}
	}
}

func marshalTools(s *Server, line func(string, ...any)) {
	if len(s.Tools) == 0 {
		return
	}
	line("tools:")
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		line("  %s: %s", quote(string(name)), toolFields(s.Tools[name]))
	}
}

// Quote writes text as server.yaml has it: bare if it is a plain word, else in double
// quotes.
func Quote(s string) string { return quote(s) }

// quote writes text so that it is text to every reader: bare if it is a plain
// word, else in double quotes with JSON's escapes.
func quote(s string) string {
	if plainWord(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			for _, unit := range utf16.AppendRune(nil, c) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, ", ")
}

// plainWord says whether s is letters, with inner digits and marks that mean
// nothing to YAML, and no word that has another meaning.
func plainWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '/' || c == '_'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != "" && ambiguous(node{text: s}) == ""
}

// String says all of s on one line, but for the values of the environment, which
// do not belong into a log.
func (s *Server) String() string {
	parts := []string{string(s.Name), "image=" + s.Image.Ref + s.Image.Path}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, l := range s.Labels {
		add("label=%s", l)
	}
	if len(s.Command) > 0 {
		add("command=%q", s.Command)
	}
	if s.WorkDir != "" {
		add("workdir=%q", s.WorkDir)
	}
	for _, v := range s.Environment {
		add("env=%s", v.Name)
	}
	if s.Isolation != Runc {
		add("isolation=%s", s.Isolation)
	}
	add("profile=%s memory=%s cpu=%s pids=%d file-size=%s open-files=%d", s.Profile, sizeString(s.Resources.Memory),
		milliString(s.Resources.MilliCPU), s.Resources.Pids, sizeString(s.Resources.FileSize), s.Resources.OpenFiles)
	add("tmp=%s", sizeString(s.Tmp))
	for _, f := range s.Files {
		add("%s", f)
	}
	add("start=%s call=%s stop=%s approval=%s", durationString(s.Timeouts.Start), durationString(s.Timeouts.Call), durationString(s.Timeouts.Stop), durationString(s.Timeouts.Approval))
	if s.Idle != IdleRun {
		add("idle=%s after %s", s.Idle, durationString(s.Timeouts.Idle))
	}
	add("limits=%s", limitFields(s.Limits))
	add("%s", s.Grants)
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		if f := toolFields(s.Tools[name]); len(f) > 1 {
			add("%s=%s", name, f)
		} else {
			add("%s=%s", name, s.Tools[name].Risk)
		}
	}
	for _, e := range s.Egress {
		add("egress=%s", e)
	}
	for _, c := range s.Credentials {
		add("credential=%s", c)
	}
	for _, k := range s.Kill {
		add("kill=%s", killFields(k))
	}
	return strings.Join(parts, " ")
}

func (f File) String() string {
	if f.Tmpfs {
		return fmt.Sprintf("tmpfs=%q:%s", f.To, sizeString(f.Size))
	}
	return fmt.Sprintf("%s=%q:%q", f.Access, f.From, f.To)
}

func (g Grants) String() string {
	var granted []string
	for _, one := range []struct {
		name string
		ok   bool
	}{{"sampling", g.Sampling}, {"elicitation", g.Elicitation}, {"roots", g.Roots}} {
		if one.ok {
			granted = append(granted, one.name)
		}
	}
	return "grants=[" + strings.Join(granted, ",") + "]"
}
