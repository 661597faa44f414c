package manifest

import (
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/learned"
)

// Whatever a server does while it is watched, what is written of it is a profile: it is
// read, and allows nothing that no profile can have.
func FuzzLearned(f *testing.F) {
	f.Add("socket", uint64(38), uint64(5), uint64(0), "tool: #1")
	f.Add("openat", uint64(0), uint64(0), uint64(0x241), "a\nb")
	f.Add("clone", uint64(0x10000000), uint64(0), uint64(0), "")
	f.Add("prctl", uint64(22), uint64(0), uint64(0), "x")
	f.Add("bpf", uint64(0), uint64(0), uint64(0), "x")
	for _, call := range []string{"ioctl", "fchmodat", "mknodat", "setxattr", "socketpair", "personality", "arch_prctl", "memfd_create", "seccomp"} {
		f.Add(call, uint64(1), uint64(1), uint64(1), "t")
	}
	never, err := profiles.Never()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, call string, a, b, c uint64, tool string) {
		w := learned.NewWatch("amd64", nil)
		for _, start := range []string{"execve", "clone", "openat"} {
			if _, err := w.Decide(start, [6]uint64{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if !profiles.Known(call) {
			return
		}
		args := [6]uint64{a, b, c}
		g, err := w.Decide(call, args, []mcprun.ToolName{mcprun.ToolName(tool)})
		if err != nil {
			t.Fatal(err)
		}
		w.Opened(tool, true)
		s := w.Result()
		s.Server = "s"
		text := s.Propose("s-learned")
		p, err := ParseProfile("s-learned.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, allowed := range p.Calls("amd64") {
			if never[allowed] != "" {
				t.Errorf("it allows %s", allowed)
			}
		}
		// What was let through is allowed the next time, and nothing else of that call.
		known := map[uint]profiles.Value{}
		for i, v := range args {
			known[uint(i)] = profiles.Value{Name: "x", Value: uint32(v)}
		}
		j, err := p.Judge(call, known, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if g.OK && j.Outcome != profiles.Allowed {
			t.Errorf("%s%v was let through and is %v:\n%s", call, args, j.Outcome, text)
		}
	})
}
