package servers

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

var update = flag.Bool("update", false, "learn the profiles in docs/profiles anew")

// mostCalls is what a learned profile may allow: the built-in ones allow some 210.
const mostCalls = 120

// learnRuns is how often a server is watched: what the last run of them still adds is
// chance, such as a signal that comes at another moment.
const learnRuns = 3

// Under the profile that was learned from it each server does all that it does without, in
// three lives in a row when it is learned, and that profile is half of the built-in one.
func TestLearnedProfiles(t *testing.T) {
	d := harness.New(t)
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			file, err := filepath.Abs(filepath.Join("../../docs/profiles", s.name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				learn(t, d, s.name, s.profile, s.script, file)
			}
			d.Write(s.name+"-profile.yaml", harness.Learned(t, file, s.profile, mostCalls))
			rounds := 1
			if *update {
				rounds = learnRuns
			}
			for range rounds {
				allCalls(t, d, s.name, "./"+s.name+"-profile.yaml", s.script)
			}
			out, _, _ := d.Run("profile", "denials", s.name)
			t.Logf("refused:\n%s", out)
		})
	}
}

// allCalls starts a server under a profile with a fresh workspace, and makes each of its calls.
func allCalls(t *testing.T, d *harness.Daemon, name, profile, script string) {
	t.Helper()
	fresh(t, d, name)
	d.Up(name, name, granted(name, profile, script))
	c := start(t, d.Command("connect", name))
	for _, call := range calls[name] {
		answer := c.ask("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, call.tool, call.args))
		if failed(answer) != (call.fails != "") {
			out, _, _ := d.Run("profile", "denials", name)
			t.Errorf("%s: failed: %v, expected to: %q: %.600s\n%s", call.tool, failed(answer), call.fails, answer, out)
		}
	}
	d.Must("stop", name)
}

func fresh(t *testing.T, d *harness.Daemon, name string) {
	t.Helper()
	dir := filepath.Join(d.Dir, name+"-contained")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	workspace(t, dir)
}

// learn watches a server at all of its calls, some times over, and keeps the profile.
func learn(t *testing.T, d *harness.Daemon, name, profile, script, to string) {
	t.Helper()
	var lines []string
	for _, c := range calls[name] {
		lines = append(lines, fmt.Sprintf(`{"tool":%q,"arguments":%s}`, c.tool, c.args))
	}
	d.Write(name+"-calls.jsonl", strings.Join(lines, "\n")+"\n")
	d.Write(name+".yaml", fmt.Sprintf("version: 1\nname: %s\nimage: %s\n%s", name, harness.Image(name), granted(name, profile, script)))
	fresh(t, d, name)
	d.Must("lock", name+".yaml")
	for range learnRuns {
		fresh(t, d, name)
		t.Log(d.Must("learn", name+".yaml", "--calls", name+"-calls.jsonl", "--out", name+"-learned.yaml"))
	}
	raw, err := os.ReadFile(filepath.Join(d.Dir, name+"-learned.yaml"))
	if err == nil {
		err = os.WriteFile(to, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
