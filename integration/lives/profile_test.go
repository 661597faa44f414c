package lives

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// ownProfile gives the unruly server a call that its profile refuses, and takes one away.
const ownProfile = `version: 1
name: own
extends: go
deny:
  - calls: [socket]
    where: [{arg: family, any: [AF_UNIX]}]
    reason: it has no sockets of its own
allow:
  - calls: [sync]
    reason: it writes everything out before it answers
`

// A server runs under a profile in a file: what that adds is allowed, what it takes out is
// refused, and all else is as in the profile that it extends. The operator decides whether
// there may be one, and a changed one needs a new look.
func TestOwnProfile(t *testing.T) {
	needs(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	allow := func(text string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte("version: 1\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	allow("")
	d := harness.New(t, "-policy", policy)
	file := unruly(t, d, "s", "", "backdoor: {risk: low}")
	d.Write("own.yaml", ownProfile)
	text, err := os.ReadFile(filepath.Join(d.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	under := func(profile string) {
		t.Helper()
		d.Write(file, strings.Replace(string(text), "profile: go", "profile: "+profile, 1))
	}
	backdoor := func() string {
		t.Helper()
		d.Must("start", file)
		defer d.Must("stop", "s")
		return connect(t, d, "s").ask("tools/call", `{"name":"backdoor","arguments":{}}`)
	}
	t.Run("the control, under go", func(t *testing.T) { says(t, backdoor(), "sync: operation not permitted", "unix: errno 0") })
	under("./own.yaml")
	t.Run("another profile than was pinned", func(t *testing.T) {
		_, err, code := d.Run("start", file)
		says(t, err, "the profile own is not the one that was pinned", "mcprun lock")
		if code != 3 {
			t.Errorf("exit code %d", code)
		}
	})
	d.Must("lock", file)
	t.Run("under the own one", func(t *testing.T) {
		says(t, backdoor(), "alg: operation not permitted", "chroot: operation not permitted", "sync: errno 0", "unix: operation not permitted")
	})
	t.Run("a changed file", func(t *testing.T) {
		d.Write("own.yaml", strings.Replace(ownProfile, "[sync]", "[sync, syncfs]", 1))
		defer d.Write("own.yaml", ownProfile)
		_, err, _ := d.Run("start", file)
		says(t, err, "the profile own is not the one that was pinned")
	})
	t.Run("what nobody can be given", func(t *testing.T) {
		d.Write("own.yaml", strings.Replace(ownProfile, "[sync]", "[sync, ptrace]", 1))
		defer d.Write("own.yaml", ownProfile)
		_, err, _ := d.Run("start", file)
		says(t, err, "own.yaml:9:19: allow[0].calls[1]: ptrace can be in no profile", "mcprun profile check")
	})
	t.Run("changed while it runs", func(t *testing.T) {
		d.Must("start", file)
		defer d.Must("stop", "s")
		d.Write("own.yaml", strings.Replace(ownProfile, "[sync]", "[sync, syncfs]", 1))
		defer d.Write("own.yaml", ownProfile)
		_, err, _ := d.Run("reload", file)
		says(t, err, "the profile's file")
	})
	t.Run("what else it gives", func(t *testing.T) {
		whole := ownProfile + "environment: {FROM: the profile}\nresources: {memory: 96MiB, pids: 40}\n"
		d.Write("own.yaml", whole)
		defer func() {
			allow("")
			d.Must("policy", "reload")
			d.Write("own.yaml", ownProfile)
			d.Must("lock", file)
		}()
		_, err, _ := d.Run("start", file)
		says(t, err, "the profile own is not the one that was pinned")
		says(t, d.Must("check", file), "from ./own.yaml: resources, environment")
		d.Must("lock", file)
		d.Must("start", file)
		says(t, d.Must("inspect", "s"), "96MiB")
		d.Must("stop", "s")
		allow("limits: {memory: 64MiB}\n")
		d.Must("policy", "reload")
		_, err, code := d.Run("start", file)
		says(t, err, "policy.yaml:2 (limits.memory)")
		if code != 3 {
			t.Errorf("exit code %d", code)
		}
		allow("")
		d.Must("policy", "reload")
		d.Write("own.yaml", strings.Replace(whole, "96MiB", "512MiB", 1))
		_, err, _ = d.Run("start", file)
		says(t, err, "the profile own is not the one that was pinned")
	})
	t.Run("a call that the operator lets nobody have", func(t *testing.T) {
		d.Must("start", file)
		allow("never-calls: [sync]\n")
		says(t, d.Must("policy", "reload"), "s was stopped")
		_, err, code := d.Run("start", file)
		says(t, err, "own allows sync, which no profile may", "policy.yaml:2 (never-calls[0])", "own:9")
		if code != 3 {
			t.Errorf("exit code %d", code)
		}
		_, err, _ = d.Run("lock", file)
		says(t, err, "own allows sync, which no profile may")
		_, err, _ = d.Run("check", file)
		says(t, err, "own allows sync, which no profile may")
	})
	t.Run("no own ones", func(t *testing.T) {
		allow("own-profiles: none\n")
		d.Must("policy", "reload")
		_, err, _ := d.Run("start", file)
		says(t, err, "the profile own is in a file, and not among those that may be used", "policy.yaml:2 (own-profiles)")
	})
}
