package command

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/gate/argument"
)

func TestValidate(t *testing.T) {
	for _, s := range []Spec{developer, open, {Programs: []Program{{Name: "find", Opens: []string{"-exec"}}, {Name: "/usr/bin/git"}, {Name: "awk", Opens: []string{"script"}}, {Name: "["}}}} {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
	for want, s := range map[string]Spec{
		"none is listed":       {},
		"refuse or hold":       {Others: argument.Pass},
		"listed twice":         {Programs: []Program{{Name: "ls"}, {Name: "ls"}}},
		"one word":             {Programs: []Program{{Name: "ls -l"}}},
		"plain ASCII":          {Programs: []Program{{Name: "\u0455l"}}},
		"begins with /":        {Programs: []Program{{Name: "./ls"}}},
		"nothing allows":       {Programs: []Program{{Name: "mount"}}},
		"is no option":         {Programs: []Program{{Name: "ls", Forbidden: []string{"l"}}}},
		"opens nothing":        {Programs: []Program{{Name: "ls", Opens: []string{"-l"}}}},
		"opened and forbidden": {Programs: []Program{{Name: "find", Opens: []string{"-exec"}, Forbidden: []string{"-exec"}}}},
		"is no subcommand":     {Programs: []Program{{Name: "git", Subcommands: []string{"-c"}}}},
		"at most 256":          {Programs: make([]Program, maxList+1)},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// Every feature of the shell is refused until it is granted, and then passes.
func TestFeatures(t *testing.T) {
	base := Spec{Programs: []Program{{Name: "ls"}, {Name: "cat"}, {Name: "/bin/date"}}}
	for _, c := range []struct {
		text, rule string
		grant      func(*Spec)
	}{
		{"ls | cat", "command.pipe", func(s *Spec) { s.Pipes = true }},
		{"ls > a", "command.redirection", func(s *Spec) { s.Redirections = true }},
		{"cat <<X\na\nX", "command.redirection", func(s *Spec) { s.Redirections = true }},
		{"ls $(cat a)", "command.substitution", func(s *Spec) { s.Substitution = true }},
		{"ls; cat a", "command.sequence", func(s *Spec) { s.Sequences = true }},
		{"ls && cat a", "command.sequence", func(s *Spec) { s.Sequences = true }},
		{"ls\ncat a", "command.sequence", func(s *Spec) { s.Sequences = true }},
		{"(ls)", "command.sequence", func(s *Spec) { s.Sequences = true }},
		{"ls &", "command.background", func(s *Spec) { s.Background = true }},
		{"ls $a", "command.variable", func(s *Spec) { s.Variables = true }},
		{"a=b ls", "command.variable", func(s *Spec) { s.Variables = true }},
		{"ls *.go", "command.glob", func(s *Spec) { s.Globs = true }},
	} {
		check(t, base, attack{c.text, argument.Refuse, c.rule})
		s := base
		c.grant(&s)
		check(t, s, attack{c.text, argument.Pass, ""})
	}
	check(t, base, attack{"ls 2>&1 >/dev/null", argument.Pass, ""})
	check(t, base, attack{"/bin/date", argument.Pass, ""})
	check(t, base, attack{"date", argument.Refuse, "command.program"})
}

func TestOpens(t *testing.T) {
	s := Spec{Programs: []Program{{Name: "find", Opens: []string{"-exec"}}, {Name: "grep"}, {Name: "awk", Opens: []string{"script"}}, {Name: "docker", Subcommands: []string{"run", "ps"}}, {Name: "make", Subcommands: []string{"test"}}}}
	check(t, s, attack{`find . -exec grep a {} \;`, argument.Pass, ""})
	check(t, s, attack{`find . -exec nc a {} \;`, argument.Refuse, "command.program"})
	check(t, s, attack{`find . -execdir grep a {} \;`, argument.Hold, "command.runs"})
	check(t, s, attack{`awk 'BEGIN { print "a" | "cat" }'`, argument.Pass, ""})
	check(t, s, attack{"docker run alpine", argument.Pass, ""})
	check(t, s, attack{"docker run --privileged alpine", argument.Refuse, "command.never.container"})
	check(t, s, attack{"make test", argument.Pass, ""})
}

// What makes a parser or a walk slow ends in a finding, and soon.
func TestBounds(t *testing.T) {
	for _, c := range []struct{ text, rule string }{
		{strings.Repeat("a", maxText+1), "command.long"},
		{"ls " + strings.Repeat("a ", maxWords+1), "command.long"},
		{strings.Repeat("(", maxText), "command.depth"},
		{strings.Repeat("( ", 20) + "ls" + strings.Repeat(")", 20), "command.depth"},
		{strings.Repeat("sudo ", 20) + "ls", "command.depth"},
		{strings.Repeat("((", 99), "command.syntax"},
		{strings.Repeat("$((", 99), "command.syntax"},
		{strings.Repeat("$(", 99), "command.syntax"},
		{strings.Repeat("${a:-", 99), "command.syntax"},
		{strings.Repeat("if ", maxText/3), "command.syntax"},
		{strings.Repeat("for a in"+strings.Repeat(" b", 80)+"; do ", 5) + "ls;" + strings.Repeat("done;", 5), "command.long"},
		{strings.Repeat("cd a;", 20), "command.long"},
	} {
		start := time.Now()
		check(t, open, attack{c.text, argument.Refuse, c.rule})
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("%.40q takes %s", c.text, d)
		}
	}
}
