package lives

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

func TestLimitsOfARunningContainerCanBeChanged(t *testing.T) {
	needs(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nlimits: {memory: 256MiB, pids: 200}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := harness.New(t, "-policy", policy)
	file := unruly(t, d, "s", "resources: {memory: 64MiB, pids: 48, cpu: 1}")
	refused := func(t *testing.T, code int, parts []string, args ...string) {
		t.Helper()
		out, errs, got := d.Run(append([]string{"limits", "set", "s"}, args...)...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d", args, got, code)
		}
		says(t, out+errs, parts...)
	}
	d.Must("start", file)
	t.Run("what was too much is not", func(t *testing.T) {
		_, errs, code := d.Run("call", "s", "child", `{"n":100}`) // the control
		if code == 0 {
			t.Fatal("100 MiB fit into 64")
		}
		says(t, errs+d.Must("logs", "s"), "mcprun limits set s --memory 128MiB")
		out, errs, _ := d.Run("limits", "set", "s", "--memory", "192MiB", "--pids", "100", "--cpu", "0.5", "--why", "a big file")
		says(t, out+errs, "memory was 64MiB and is 192MiB", "pids was 48 and is 100", "cpu was 1 and is 0.5", "until the server ends", "resources: {cpu: 0.5, memory: 192MiB, pids: 100}")
		d.Must("call", "s", "child", `{"n":100}`)
		d.Must("call", "s", "fork", `{"n":10}`)
		says(t, d.Must("inspect", "s"), "of 192MiB", "memory is 192MiB until it ends; server.yaml says 64MiB")
		got := records(t, d, "policy")
		if r := got[len(got)-1]; r.Server != "s" || r.Principal != "uid:0" || r.Why != "a big file" || r.Detail["memory"] != "64MiB to 192MiB" || r.Detail["pids"] != "48 to 100" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("within the ceilings and what it uses", func(t *testing.T) {
		refused(t, 3, []string{"300MiB is more than 256MiB"}, "--memory", "300MiB")
		refused(t, 3, []string{"limits.pids"}, "--pids", "201")
		refused(t, 2, []string{"below the minimum"}, "--memory", "1MiB")
		refused(t, 2, []string{"say the unit"}, "--memory", "64")
		refused(t, 2, []string{"say what to change"})
		refused(t, 2, []string{"nothing would change"}, "--cpu", "0.5")
		d.Must("call", "s", "fill", `{"n":80}`)
		refused(t, 1, []string{"it uses", "not less than 64MiB"}, "--memory", "64MiB")
		d.Must("limits", "set", "s", "--memory", "128MiB")
		if out := d.Must("call", "s", "count"); out != "1\n" {
			t.Errorf("it goes on, and counts %q", out)
		}
	})
	t.Run("a ceiling that is lowered ends it", func(t *testing.T) {
		if err := os.WriteFile(policy, []byte("version: 1\nlimits: {memory: 100MiB}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		says(t, d.Must("policy", "reload"), "s was stopped")
		refused(t, 1, []string{"not running"}, "--memory", "64MiB")
	})
	t.Run("the next start goes by the file", func(t *testing.T) {
		d.Must("start", file)
		says(t, d.Must("inspect", "s"), "of 64MiB", "of 48")
		if _, _, code := d.Run("call", "s", "child", `{"n":100}`); code == 0 {
			t.Error("100 MiB fit into 64")
		}
	})
}
