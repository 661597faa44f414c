// Package guides runs the commands that the documents teach, as they are
// written there, in the order they stand there.
package guides

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// patience bounds one block: the longest unpacks an image on a busy machine.
const patience = 3 * time.Minute

// block is one fenced block with the text between it and the one before.
type block struct{ kind, intro, text string }

func blocks(t *testing.T, path string) []block {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	parts := strings.Split("\n"+string(raw), "\n```")
	for i := 1; i+1 < len(parts); i += 2 {
		kind, text, _ := strings.Cut(parts[i], "\n")
		out = append(out, block{kind, parts[i-1], text + "\n"})
	}
	return out
}

// named finds the last file that the text before a block names.
var named = regexp.MustCompile("`([a-z0-9./-]+\\.yaml)`")

// exits finds what a command says of its exit code in its own comment.
var exits = regexp.MustCompile(`#.*exit code (\d+)`)

// guide is one document being followed.
type guide struct {
	t   *testing.T
	d   *harness.Daemon
	ran int
}

func (g *guide) follow(path string) {
	for _, b := range blocks(g.t, path) {
		switch b.kind {
		case "yaml": // a whole file; pieces of one are held by manifest's own test
			if m := named.FindAllStringSubmatch(b.intro, -1); m != nil {
				g.d.Write(m[len(m)-1][1], b.text)
			}
		case "sh":
			for line := range strings.Lines(b.text) {
				g.command(strings.TrimSpace(line))
			}
		case "json":
			g.client(b.text)
		}
	}
}

// command runs one line, but for the make targets, of which this test is a part.
func (g *guide) command(line string) {
	g.t.Helper()
	if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "make ") {
		return
	}
	want := 0
	if m := exits.FindStringSubmatch(line); m != nil && !strings.Contains(line, " if ") {
		want, _ = strconv.Atoi(m[1])
	}
	cmd := exec.Command("bash", "-c", line)
	as := g.d.Command()
	cmd.Dir, cmd.Env = as.Dir, append(as.Env, "PATH="+g.d.Bin+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	cmd.Wait()
	timer.Stop()
	if got := cmd.ProcessState.ExitCode(); got != want {
		g.t.Fatalf("%s: exit code %d, want %d\n%s", line, got, want, &out)
	}
	g.ran++
	g.t.Logf("%s\n%s", line, &out)
}

// client does what an MCP client does with such a configuration.
func (g *guide) client(text string) {
	g.t.Helper()
	var config struct {
		Servers map[string]struct {
			Command string
			Args    []string
		} `json:"mcpServers"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		g.t.Fatalf("%v in %s", err, text)
	}
	for name, s := range config.Servers {
		cmd := g.d.Command(s.Args...)
		if s.Command != "mcprun" {
			g.t.Fatalf("the client of %s is told to run %s", name, s.Command)
		}
		cmd.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
`)
		out, err := cmd.Output()
		if err != nil || !bytes.Contains(out, []byte(`"inputSchema"`)) {
			g.t.Errorf("the client of %s gets %v, %s", name, err, out)
		}
		g.ran++
	}
}

// The README's own example, and what the documents of the lock and the record
// say to type with the same server.
func TestReadme(t *testing.T) {
	d := harness.New(t)
	if err := os.Symlink(harness.Image("filesystem"), filepath.Join(d.Dir, "filesystem.oci.tar")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(d.Dir, "workspace"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Write("workspace/notes.txt", "The meeting is on Friday.\n")
	g := &guide{t: t, d: d}
	g.follow("../../README.md")
	if g.ran < 6 {
		t.Errorf("only %d commands found: the test sees too little", g.ran)
	}
	d.Must("revive", "files", "--why", "the next document")
	g.follow("../../docs/server-lock.md")
	d.Must("start", "files.yaml")
	g.follow("../../docs/policy.md")
	g.follow("../../docs/egress.md")
	g.follow("../../docs/audit.md")
}
