package manifest

import (
	"strings"
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

// What is written below a learned profile is a profile's once the marks are taken away, and
// names what was asked for and nothing wider.
func TestLearnedBeside(t *testing.T) {
	s := learned.Seen{Server: "s", Memory: 40 << 20, Pids: 11, Hosts: []learned.Host{
		{Host: "api.example.com", Port: 443, Protocol: "tls", Method: "GET", Path: "/v1/items", Fake: true},
		{Host: "api.example.com", Port: 443, Protocol: "tls", Method: "POST", Path: "/v1/items", Fake: true},
		{Host: "api.example.com", Port: 443, Protocol: "tls", Method: "GET", Path: "/v1/*", Fake: true}, // a path that would mean others
		{Host: "api.example.com", Port: 443, Protocol: "tls", Method: "BREW", Path: "/pot", Fake: true},
		{Host: "plain.example.com", Port: 80, Protocol: "http", Method: "GET", Path: "/a", Fake: true},
		{Host: "silent.example.com", Port: 80, Protocol: "http", Fake: true},
		{Host: "db.example.com", Port: 5432, Protocol: "tcp", Fake: true},
		{Host: "there.example.com", Port: 443, Protocol: "tls", Allowed: true},
		{Host: "bad\nhost\"", Port: 443, Protocol: "tls"},
	}}
	_, below, ok := strings.Cut(s.Propose("s-learned"), "take the \"# \" away.\n")
	if !ok {
		t.Fatal("nothing is written below the profile")
	}
	var lines string
	for line := range strings.Lines(below) {
		lines += strings.TrimPrefix(line, "# ")
	}
	text := "version: 1\nname: s-learned\nextends: node\n" + lines
	p, err := ParseProfile("s-learned.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"memory: 80MiB", "pids: 22", "db.example.com", "protocol: tcp"} {
		if !strings.Contains(p.Beside(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.Beside())
		}
	}
	for _, not := range []string{"*", "BREW", "silent", "there", "bad"} {
		if strings.Contains(p.Beside(), not) {
			t.Errorf("it says %q:\n%s", not, p.Beside())
		}
	}
	m, _, err := ParseUnder("server.yaml", []byte("version: 1\nname: s\nimage: ./a.tar\nprofile: ./s-learned.yaml\n"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Egress) != 3 || len(m.Egress[0].Methods) != 2 || len(m.Egress[0].Paths) != 1 {
		t.Errorf("the rules are %+v", m.Egress)
	}
}
