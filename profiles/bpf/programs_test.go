//go:build cgo && linux && amd64

package bpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs are what must work under each profile.
func programs() []program {
	return []program{
		{"strict", "static Go server", []string{"server"}, nil},
		{"go", "Go server and a shell", []string{"server"}, []string{"SHELL_TOO=1"}},
		{"python", "Python", []string{"python3", "program.py"}, nil},
		{"node", "Node.js", []string{"node", "program.mjs"}, nil},
	}
}

type program struct {
	profile, name string
	command       []string // a name in the test folder or, before it, of an installed program
	env           []string
}

// A program must do all that it does without a filter, under the filter alone.
func TestProgramsUnderTheFilter(t *testing.T) {
	dir := testFolder(t)
	for _, p := range programs() {
		for _, profile := range []string{unfiltered, p.profile} {
			t.Run(p.profile+"/"+profile, func(t *testing.T) {
				cmd := helper(t, "exec", append([]string{profile}, p.path(t, dir)...)...)
				cmd.Env = append(append(cmd.Env, p.env...), "SCRATCH="+t.TempDir())
				judge(t, p, cmd)
			})
		}
	}
}

// What is not granted fails in the program as it fails in the kernel test.
func TestProgramsAreRefused(t *testing.T) {
	dir := testFolder(t)
	for _, tt := range []struct{ profile, script, want, reason string }{
		{unfiltered, "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('opened')", "opened", "no filter"},
		{"python", "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('opened')", "Operation not permitted", "family"},
		{unfiltered, "import os; os.chmod('f', 0o4700); print(oct(os.stat('f').st_mode))", "0o104700", "no filter"},
		{"python", "import os; os.chmod('f', 0o4700); print(oct(os.stat('f').st_mode))", "Operation not permitted", "S_ISUID"},
		{"python", "import os; os.chmod('f', 0o700); print(oct(os.stat('f').st_mode))", "0o100700", "plain mode"},
		{unfiltered, "import os; os.memfd_create('m'); print('made')", "made", "no filter"},
		{"python", "import os; os.memfd_create('m'); print('made')", "Operation not permitted", "in no profile"},
	} {
		cmd := helper(t, "exec", append([]string{tt.profile}, program{command: []string{"python3"}}.path(t, dir)...)...)
		cmd.Args = append(cmd.Args, "-c", tt.script)
		cmd.Dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(cmd.Dir, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), tt.want) {
			t.Errorf("%s, %s (%s): %q, want %q", tt.profile, tt.script, tt.reason, out, tt.want)
		}
	}
}

// path is the command line with the folder that holds the test programs.
func (p program) path(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for i, arg := range p.command {
		if i == 0 && arg != "server" {
			// Not from PATH, where a wrapper may stand.
			arg = filepath.Join("/usr/bin", arg)
			if _, err := os.Stat(arg); err != nil {
				t.Fatal(err)
			}
		} else {
			arg = filepath.Join(dir, arg)
		}
		out = append(out, arg)
	}
	return out
}

// judge runs the command and wants every line of its output to say ok.
func judge(t *testing.T, p program, cmd *exec.Cmd) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	ok := 0
	for line := range strings.Lines(stdout.String()) {
		if strings.HasPrefix(line, "ok ") {
			ok++
		} else {
			t.Errorf("%s under %s: %s", p.name, p.profile, strings.TrimSpace(line))
		}
	}
	const fewest = 10 // every test program makes at least as many checks
	if err != nil || ok < fewest {
		t.Errorf("%s under %s: %v after %d checks\n%s", p.name, p.profile, err, ok, stderr.Bytes())
	}
}

// testFolder builds the static server beside the scripts.
func testFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "server"), "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v: %s", err, out)
	}
	for _, name := range []string{"program.py", "program.mjs"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
