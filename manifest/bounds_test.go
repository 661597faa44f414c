package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

const header = "version: 1\nname: a\nimage: ./a.tar\n"

// TestBounds takes each count at its bound and refuses one more.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		most int
		file func(n int) string
		what string
	}{
		{"tools", manifest.MaxTools, func(n int) string { return header + "tools:\n" + lines(n, "  t%d: {risk: low}\n") }, "1025 tools; at most 1024"},
		{"environment", manifest.MaxEnvironment, func(n int) string { return header + "environment:\n" + lines(n, "  V%d: a\n") }, "257 variables; at most 256"},
		{"labels", manifest.MaxLabels, func(n int) string { return header + "labels:\n" + lines(n, "  k%d: a\n") }, "17 labels; at most 16"},
		{"files", manifest.MaxFiles, func(n int) string { return header + "files:\n" + lines(n, "  - {from: ./a, to: /m%d}\n") }, "65 entries; at most 64"},
		{"command", manifest.MaxCommand, func(n int) string { return header + "command:\n" + lines(n, "  - w%d\n") }, "257 words; at most 256"},
		{"value", manifest.MaxValue, func(n int) string { return header + "environment: {A: " + strings.Repeat("x", n) + "}\n" }, "has 32769 bytes; at most 32768"},
		{"path", manifest.MaxPath, func(n int) string {
			return header + "files: [{from: ./" + strings.Repeat("x", n-2) + ", to: /a}]\n"
		}, "has 4096 bytes; at most 4095"},
		{"size", manifest.MaxSize, func(n int) string {
			return header + strings.Repeat("#\n", (n-len(header))/2) + strings.Repeat("#", (n-len(header))%2)
		}, "the file has 262145 bytes; at most 262144"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := manifest.Parse("f", []byte(c.file(c.most))); err != nil {
				t.Errorf("at the bound: %v", err)
			}
			wantOnly(t, c.file(c.most+1), c.what)
		})
	}
}

func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// wantOnly asserts that text is refused for one reason and no other.
func wantOnly(t *testing.T, text, what string) {
	t.Helper()
	_, err := manifest.Parse("f", []byte(text))
	var list *manifest.ErrorList
	if !errors.As(err, &list) {
		t.Fatalf("taken; want %q", what)
	}
	if len(list.Errors) != 1 || list.Errors[0].What != what {
		t.Errorf("got %v, want only %q", err, what)
	}
}

// TestLargestFile: every count at its bound at once is still read, so MaxSize and
// MaxTokens forbid nothing that the other bounds allow.
func TestLargestFile(t *testing.T) {
	text := header + "command:\n" + lines(manifest.MaxCommand, "  - w%d\n") +
		"environment:\n" + lines(manifest.MaxEnvironment, "  V%d: a\n") +
		"files:\n" + lines(manifest.MaxFiles, "  - {from: ./a, to: /m%d, access: write}\n") +
		"tools: {" + lines(manifest.MaxTools, "t%d: {risk: low,},") + "}\n"
	if _, err := manifest.Parse("f", []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestTooManyTokens(t *testing.T) {
	wantOnly(t, strings.Repeat("- ", manifest.MaxTokens+1), "the file has more than 16384 words and marks")
}

// TestBlockTextIsNotScanned: the YAML scanner takes minutes for this file, so it
// must be refused before.
func TestBlockTextIsNotScanned(t *testing.T) {
	wantOnly(t, "a: |\n  "+strings.Repeat("\n", manifest.MaxSize-8), "block text (|)")
}

func TestErrorsAreCut(t *testing.T) {
	_, err := manifest.Parse("f", []byte(header+lines(250, "k%d: 1\n")))
	var list *manifest.ErrorList
	if !errors.As(err, &list) || len(list.Errors) != manifest.MaxErrors || list.More != 150 {
		t.Fatalf("got %d errors and %d more", len(list.Errors), list.More)
	}
	if !strings.HasSuffix(err.Error(), "\nand 150 more") {
		t.Errorf("the text does not end with how many more: %q", err.Error()[len(err.Error())-40:])
	}
}

// TestValidate covers what a file cannot say and a program can.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*manifest.Server)
		want   string // empty: valid
	}{
		{"nothing", func(s *manifest.Server) {}, ""},
		{"zero value", func(s *manifest.Server) { *s = manifest.Server{} }, "name: a server name is empty"},
		{"no image", func(s *manifest.Server) { s.Image = manifest.Image{} }, "image: is empty"},
		{"two images", func(s *manifest.Server) { s.Image.Ref = "registry.example/a" }, "image: names a registry and a path"},
		{"digest of a path", func(s *manifest.Server) { s.Image.Digest = "sha256:00" }, "image: a path has no digest here"},
		{"other digest", func(s *manifest.Server) {
			s.Image = manifest.Image{Ref: "registry.example/a@sha256:" + strings.Repeat("0", 64)}
		}, `image: "sha256:000000000000000000000000000000000000000000000000000`},
		{"long reference", func(s *manifest.Server) { s.Image = manifest.Image{Ref: strings.Repeat("a", 513)} }, "image: the reference is too long"},
		{"empty command", func(s *manifest.Server) { s.Command = []string{} }, "command: is an empty list"},
		{"bytes in command", func(s *manifest.Server) { s.Command = []string{"\xff"} }, "command[0]: is not UTF-8"},
		{"unsorted", func(s *manifest.Server) { s.Environment = []manifest.EnvVar{{"B", ""}, {"A", ""}} }, "environment.A: is out of order or there twice"},
		{"twice", func(s *manifest.Server) { s.Environment = []manifest.EnvVar{{"A", ""}, {"A", ""}} }, "environment.A: is out of order or there twice"},
		{"unset profile", func(s *manifest.Server) { s.Profile = "" }, `profile: "" is not a built-in profile`},
		{"tmpfs with a host path", func(s *manifest.Server) {
			s.Files = []manifest.File{{From: "./a", To: "/a", Tmpfs: true, Size: 1 << 20}}
		}, "files[0]: a tmpfs has no host path and no access"},
		{"host path with a size", func(s *manifest.Server) { s.Files = []manifest.File{{From: "./a", To: "/a", Size: 1 << 20}} }, "files[0]: only a tmpfs has a size"},
		{"unknown access", func(s *manifest.Server) { s.Files = []manifest.File{{From: "./a", To: "/a", Access: 7}} }, "files[0].access: 7 is not an access"},
		{"no /tmp", func(s *manifest.Server) { s.Tmp = 0 }, "tmp.size: 0 bytes is below the minimum of 1MiB"},
		{"odd size", func(s *manifest.Server) { s.Resources.Memory++ }, "resources.memory: 536870913 bytes are not a whole number of KiB"},
		{"no timeout", func(s *manifest.Server) { s.Timeouts.Call = 0 }, "timeouts.call: 0s is below the minimum of 100ms"},
		{"odd timeout", func(s *manifest.Server) { s.Timeouts.Call++ }, "timeouts.call: 1m0.000000001s is not a whole number of milliseconds"},
		{"negative", func(s *manifest.Server) { s.Resources.Pids = -1 }, "resources.pids: -1 is below the minimum of 16"},
		{"unknown risk", func(s *manifest.Server) { s.Tools = map[mcprun.ToolName]manifest.Tool{"a": {Risk: 9}} }, "tools.a.risk: 9 is not a risk"},
		{"odd tool", func(s *manifest.Server) { s.Tools = map[mcprun.ToolName]manifest.Tool{"": {}} }, `tools."": a tool name is empty`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := manifest.Default()
			s.Name, s.Image.Path = "a", "./a.tar"
			c.change(s)
			err := s.Validate()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if _, err := manifest.Marshal(s); err == nil {
				t.Error("Marshal wrote it")
			}
		})
	}
}

// TestMarshalTooLarge: a valid value that no file can hold is not written.
func TestMarshalTooLarge(t *testing.T) {
	s := manifest.Default()
	s.Name, s.Image.Path = "a", "./a.tar"
	for i := range 16 {
		s.Environment = append(s.Environment, manifest.EnvVar{Name: fmt.Sprintf("V%02d", i), Value: strings.Repeat("x", manifest.MaxValue)})
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Marshal(s); err == nil || !strings.Contains(err.Error(), "at most 262144") {
		t.Errorf("got %v", err)
	}
}
