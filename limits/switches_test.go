package limits

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
)

func open(t *testing.T, dir string) *Switches {
	t.Helper()
	s, err := OpenSwitches(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSwitchesStopWhatTheyName(t *testing.T) {
	for _, r := range []struct {
		name         string
		kill         Kill
		server, tool string
		want         bool
	}{
		{"none", Kill{Server: "other"}, "files", "read", false},
		{"tool", Kill{Server: "files", Tool: "read"}, "files", "read", true},
		{"another tool of it", Kill{Server: "files", Tool: "read"}, "files", "write", false},
		{"the server of a killed tool", Kill{Server: "files", Tool: "read"}, "files", "", false},
		{"that tool of another server", Kill{Server: "files", Tool: "read"}, "mail", "read", false},
		{"server", Kill{Server: "files"}, "files", "read", true},
		{"server itself", Kill{Server: "files"}, "files", "", true},
		{"everything", Kill{}, "files", "read", true},
	} {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			r.kill.Who, r.kill.Why, r.kill.When = "me", "test", time.Unix(1, 0)
			s.Deny(r.kill)
			if _, got := s.Check(mcprun.ServerName(r.server), mcprun.ToolName(r.tool)); got != r.want {
				t.Errorf("Check = %v, want %v", got, r.want)
			}
			// What is not persisted is gone with the process, what is stays.
			if _, got := open(t, dir).Check(mcprun.ServerName(r.server), mcprun.ToolName(r.tool)); got {
				t.Error("the switch is on disk before Persist")
			}
			if err := s.Persist(r.kill); err != nil {
				t.Fatal(err)
			}
			if _, got := open(t, dir).Check(mcprun.ServerName(r.server), mcprun.ToolName(r.tool)); got != r.want {
				t.Errorf("after a restart: Check = %v, want %v", got, r.want)
			}
			if _, err := s.Revive(r.kill.Server, r.kill.Tool); err != nil {
				t.Fatal(err)
			}
			if _, got := open(t, dir).Check(mcprun.ServerName(r.server), mcprun.ToolName(r.tool)); got {
				t.Error("revived, and thrown again after a restart")
			}
		})
	}
}

// A switch file that cannot be read may be a switch: the daemon must not start
// as if it were none.
func TestDamagedSwitchFailsClosed(t *testing.T) {
	for name, text := range map[string]string{"server@files.json": "{", "all.json": `{"server":"files"}`, "tool@a@b.json": ""} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSwitches(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: OpenSwitches = %v, want a refusal", name, err)
		}
	}
}

func TestReviveNeedsTheExactTarget(t *testing.T) {
	s := open(t, t.TempDir())
	s.Deny(Kill{Server: "files"})
	if _, err := s.Revive("files", "read"); err == nil {
		t.Error("a tool of a killed server was revived")
	}
	if _, killed := s.Check("files", "read"); !killed {
		t.Error("the switch is gone")
	}
}

// A switch that a command put on disk while the daemon did not answer holds
// after Reread, and a switch in memory is not lost by it.
func TestRereadAddsAndNeverTakesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.Deny(Kill{Server: "mail"})
	if err := Write(dir, Kill{Server: "files"}); err != nil {
		t.Fatal(err)
	}
	if _, killed := s.Check("files", ""); killed {
		t.Fatal("the switch holds before it was read")
	}
	if err := s.Reread(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []mcprun.ServerName{"files", "mail"} {
		if _, killed := s.Check(name, ""); !killed {
			t.Errorf("the switch of %s does not hold", name)
		}
	}
}
