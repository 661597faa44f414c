package lives

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// A server that is watched does what its profile would refuse, if some profile could allow
// it, and nothing else; what is written of it is a profile with where each call was seen.
func TestLearn(t *testing.T) {
	needs(t)
	d := harness.New(t)
	file := unruly(t, d, "s", "", "backdoor: {risk: low}", "litter: {risk: low}")
	d.Write("calls.jsonl", `{"tool": "count"}
{"tool": "backdoor", "arguments": {}}
`)
	out := filepath.Join(d.Dir, "s-learned.yaml")
	said := d.Must("learn", file, "--calls", "calls.jsonl")
	says(t, said, "2 of 8 tools were called, in one run", "Not called yet: child, end, fill", "nothing can allow it: socket(AF_ALG, SOCK_SEQPACKET, unspecified)", "nothing can allow it: ptrace(")
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	says(t, text, "extends: none", "seen in calls of backdoor\n    calls:\n      - sync # once", "where: [{arg: family, any: [AF_UNIX]}")
	for _, not := range []string{"AF_ALG]", "- ptrace", "- chroot", "- mount"} {
		if strings.Contains(text, not) {
			t.Errorf("it allows %q:\n%s", not, text)
		}
	}
	d.Must("profile", "check", out)
	t.Run("it was recorded that no profile held", func(t *testing.T) {
		starts := records(t, d, "start")
		if len(starts) != 1 || starts[0].Detail["learning"] != "true" {
			t.Errorf("%+v", starts)
		}
		refused := map[string]bool{}
		for _, r := range records(t, d, "syscall") {
			refused[r.Detail["call"]] = r.Rule == "seccomp.never"
		}
		if !refused["socket"] || !refused["ptrace"] || !refused["chroot"] || refused["sync"] {
			t.Errorf("refused %v", refused)
		}
	})
	t.Run("nothing is left of it", func(t *testing.T) {
		if pids := d.Pids(); len(pids) > 0 {
			t.Errorf("processes %v", pids)
		}
		if s := status(t, d, "s"); s.State != "stopped" {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a profile is compared with what was seen", func(t *testing.T) {
		said, _, code := d.Run("profile", "diff", "go", "--used", file)
		says(t, said, "- never seen:\n    accept accept4 ", " bind ", "+ allow sync  (seen in calls of backdoor, once)", "It would refuse what was seen: ", "sync()", "never seen (2 of 8 tools were called", "profile go denied")
		if code != 3 {
			t.Errorf("exit code %d", code)
		}
		said, errs, code := d.Run("profile", "diff", out, "--used", file) // the control
		says(t, said, "of which 0 were never seen", "It lets through all that was seen.")
		if code != 0 || strings.Contains(said, "\n- ") {
			t.Errorf("exit code %d: %s%s", code, said, errs)
		}
		says(t, d.Must("profile", "tighten", file), "System calls: profile go allows ", "that no run of mcprun learn saw (2 of 8 tools", "what was learned instead: profile: ./s-learned.yaml", "+ resources: {memory: ", "tool child: never called")
	})
	t.Run("a second run adds to the first", func(t *testing.T) {
		says(t, d.Must("learn", file, "--", filepath.Join(d.Bin, "mcprun"), "call", "s", "wait", `{"n":1}`), "3 of 8 tools were called, in 2 runs")
		raw, err := os.ReadFile(strings.TrimSuffix(out, ".yaml") + ".json")
		var seen struct{ Runs []json.RawMessage }
		if err == nil {
			err = json.Unmarshal(raw, &seen)
		}
		if err != nil || len(seen.Runs) != 2 {
			t.Errorf("%d runs, %v", len(seen.Runs), err)
		}
	})
	t.Run("a command that fails leaves all as it was", func(t *testing.T) {
		_, hint, code := d.Run("learn", file, "--", "false")
		says(t, hint, "the command failed, and nothing was written")
		if raw, err := os.ReadFile(out); code != 1 || err != nil || strings.Contains(string(raw), "3 runs") {
			t.Errorf("exit code %d, %v", code, err)
		}
	})
	t.Run("a back door is refused under what was learned without it", func(t *testing.T) {
		d.Write("honest.jsonl", `{"tool": "count"}`+"\n"+`{"tool": "wait", "arguments": {"n": 1}}`+"\n")
		d.Must("learn", file, "--calls", "honest.jsonl", "--out", "honest.yaml")
		raw, err := os.ReadFile(filepath.Join(d.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		under := strings.Replace(string(raw), "profile: go", "profile: ./honest.yaml", 1)
		under = strings.Replace(under, "name: s\n", "name: held\n", 1)
		d.Write("held.yaml", under)
		d.Must("lock", "held.yaml")
		d.Must("start", "held.yaml")
		c := connect(t, d, "held")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"isError":false`)
		says(t, c.ask("tools/call", `{"name":"wait","arguments":{"n":1}}`), `"isError":false`)
		if got := denied(t, d, "held"); len(got) != 0 {
			t.Errorf("what was learned refuses the server %v", got)
		}
		says(t, c.ask("tools/call", `{"name":"backdoor","arguments":{}}`), "alg: operation not permitted; ptrace: operation not permitted; chroot: operation not permitted",
			"sync: operation not permitted; unix: operation not permitted; inet: operation not permitted")
		says(t, c.ask("tools/call", `{"name":"fork","arguments":{"n":1}}`), `"isError":true`, "fork/exec /proc/self/exe: operation not permitted")
		out, _, _ := d.Run("profile", "denials", "held")
		says(t, out, "execve(", "fork", "socket(AF_INET, SOCK_STREAM, unspecified)", "profile honest does not name it")
		said, _, code := d.Run("profile", "diff", "go", "--used", "held")
		says(t, said, "What held makes of what go allows is not known", "profile honest denied:", "GO ALLOWS IT")
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		d.Must("stop", "held")
	})
	t.Run("it ends with its client", func(t *testing.T) {
		cmd := d.Command("learn", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the watched server", func() bool { return status(t, d, "s").State == "running" })
		says(t, status(t, d, "s").Why, "held to none")
		cmd.Process.Kill()
		cmd.Wait()
		eventually(t, "its end", func() bool { return status(t, d, "s").State == "stopped" && len(d.Pids()) == 0 })
	})
	t.Run("a switch stops it", func(t *testing.T) {
		cmd := d.Command("learn", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the watched server", func() bool { return status(t, d, "s").State == "running" })
		d.Must("kill", "s", "--why", "test")
		if pids := d.Pids(); len(pids) > 0 {
			t.Errorf("processes %v", pids)
		}
		cmd.Wait()
		_, hint, _ := d.Run("learn", file, "--calls", "calls.jsonl")
		says(t, hint, "killed")
	})
}

// A profile can be tried on a command of the host's, without a container.
func TestProfileTest(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Write("quiet.yaml", "version: 1\nname: quiet\nextends: go\nallow:\n  - {calls: [sync], reason: it flushes what it wrote}\n")
	out, said, code := d.Run("profile", "test", "go", "--", "sh", "-c", "sync; echo went on; exit 7")
	says(t, out, "went on")
	says(t, said, "go refused:", "sync()", "- calls: [sync]")
	if code != 7 {
		t.Errorf("exit code %d", code)
	}
	out, said, code = d.Run("profile", "test", "./quiet.yaml", "--", "sh", "-c", "sync; echo went on")
	if !strings.Contains(out, "went on") || strings.Contains(said, "sync") || code != 0 {
		t.Errorf("%q %q, exit code %d", out, said, code)
	}
}
