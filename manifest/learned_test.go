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
		w.Opened(tool, true, nil)
		s := w.Result()
		s.Server = "s"
		for i, protocol := range []string{"tls", "http", "tcp", learned.OnlyName, "udp"} {
			for j, host := range []string{tool, "a.example.com"} {
				at := learned.Place{Host: host, Port: uint16(i + j), Protocol: protocol, Method: "GET", Path: "/" + tool}
				s.Hosts = append(s.Hosts, learned.Host{Place: at, Add: tool, Counts: learned.Counts{Tools: map[mcprun.ToolName]int64{mcprun.ToolName(tool): 1}}})
			}
		}
		text := s.Propose("s-learned")
		if _, err := ParseProfile("s-learned.yaml", []byte(uncommented(text))); err != nil {
			t.Fatalf("what stands below it: %v\n%s", err, text)
		}
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

// uncommented is a learned profile with what stands below it in force.
func uncommented(text string) string {
	own, below, _ := strings.Cut(text, "take the \"# \" away.\n")
	for line := range strings.Lines(below) {
		own += "\n" + strings.TrimPrefix(line, "# ")
	}
	return own
}

// What is written below a learned profile is a profile's once the marks are taken away, and
// names what was asked for and nothing wider.
func TestLearnedBeside(t *testing.T) {
	at := func(host string, port uint16, protocol, method, path string) learned.Host {
		return learned.Host{Place: learned.Place{Host: host, Port: port, Protocol: protocol, Method: method, Path: path, Fake: true}, Add: "egress: …", Counts: learned.Counts{Tools: map[mcprun.ToolName]int64{"look": 2}}}
	}
	there, started, private, never := at("there.example.com", 443, "tls", "", ""), at("start.example.com", 443, "tls", "", ""), at("inside.example.com", 443, "tls", "", ""), at("169.254.169.254", 80, "http", "GET", "/")
	there.Allowed, there.Add, there.Tools["other"] = true, "", 1
	started.Start = 1
	private.Grant.Private = true
	never.Add = ""
	s := learned.Seen{Server: "s", Memory: 40 << 20, Pids: 11, Hosts: []learned.Host{
		at("api.example.com", 443, "tls", "GET", "/v1/items"),
		at("api.example.com", 443, "tls", "POST", "/v1/items"),
		at("api.example.com", 443, "tls", "GET", "/v1/*"), // a path that would mean others
		at("api.example.com", 443, "tls", "BREW", "/pot"),
		at("plain.example.com", 80, "http", "GET", "/a"),
		at("silent.example.com", 80, "http", "", ""),
		at("db.example.com", 5432, "tcp", "", ""),
		at("name.example.com", 0, learned.OnlyName, "", ""),
		at("udp.example.com", 53, "udp", "", ""),
		at("bad\nhost\"", 443, "tls", "", ""),
		there, started, private, never,
	}}
	text := uncommented(s.Propose("s-learned"))
	p, err := ParseProfile("s-learned.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"memory: 80MiB", "pids: 22", "db.example.com", "protocol: tcp"} {
		if !strings.Contains(p.Beside(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.Beside())
		}
	}
	for _, not := range []string{"*", "BREW", "silent", "udp", "bad", "169.254"} {
		if strings.Contains(p.Beside(), not) {
			t.Errorf("it says %q:\n%s", not, p.Beside())
		}
	}
	m, _, err := ParseUnder("server.yaml", []byte("version: 1\nname: s\nimage: ./a.tar\nprofile: ./s-learned.yaml\ntools: {look: {risk: low}, other: {risk: low}}\n"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"{host: api.example.com, port: 443, inspect: true, methods: [GET, POST], paths: [\"/v1/items\"], tools: [look]}",
		"{host: db.example.com, port: 5432, protocol: tcp, tools: [look]}",
		"{host: inside.example.com, port: 443, private: true, tools: [look]}",
		"{host: name.example.com, port: 443, tools: [look]}",
		"{host: plain.example.com, port: 80, protocol: http, methods: [GET], paths: [\"/a\"], tools: [look]}",
		"{host: start.example.com, port: 443}", // it went there while no tool was called
		"{host: there.example.com, port: 443, tools: [look, other]}",
	} {
		if len(m.Egress) <= i || m.Egress[i].String() != want {
			t.Errorf("rule %d of %v is not %s", i, m.Egress, want)
		}
	}
	if len(m.Egress) != 7 {
		t.Errorf("%d rules: %v", len(m.Egress), m.Egress)
	}
	for _, want := range []string{"  # 8 times, in calls of look\n", "  # 3 times, while it started and in calls of look\n", "the port is a guess\n", "# Asked the fake internet for POST /v1/items at api.example.com, port 443: 2 times, in calls of look.\n"} {
		if !strings.Contains(s.Propose("s-learned"), want) {
			t.Errorf("it does not say %q:\n%s", want, s.Propose("s-learned"))
		}
	}
}
