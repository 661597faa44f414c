package manifest_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy"
)

// sameCeilings compares by what is enforced, not by where it stands.
func sameCeilings() cmp.Option {
	return cmp.Options{cmpopts.IgnoreUnexported(manifest.Ceilings{}), cmpopts.EquateComparable(netpolicy.Host{}, netpolicy.Pattern{}, netpolicy.Zone{})}
}

// TestCeilingsGolden reads each file of testdata/policy: ok-*.yaml must be taken and
// bad-*.yaml refused, and the golden file beside it holds the value written out, or
// all errors.
func TestCeilingsGolden(t *testing.T) {
	for _, file := range inputs(t, "policy/*") {
		base := filepath.Base(file)
		t.Run(strings.TrimSuffix(base, ".yaml"), func(t *testing.T) {
			c, err := manifest.ParseCeilings(base, read(t, file))
			if taken := err == nil; taken != strings.HasPrefix(base, "ok-") {
				t.Fatalf("taken %v, error %v", taken, err)
			}
			got := ""
			if err != nil {
				got = err.Error() + "\n"
				checkErrorList(t, err)
			} else {
				got = string(ceilingsRoundTrip(t, c))
			}
			compareGolden(t, strings.TrimSuffix(file, ".yaml")+".golden", got)
		})
	}
}

func checkErrorList(t *testing.T, err error) {
	t.Helper()
	var list *manifest.ErrorList
	if !errors.As(err, &list) || len(list.Errors) == 0 {
		t.Fatalf("error %#v", err)
	}
	for _, e := range list.Errors {
		if e.Line < 1 || e.Col < 1 || e.What == "" || e.Fix == "" {
			t.Errorf("no position, text or fix in %+v", e)
		}
	}
}

func ceilingsRoundTrip(t *testing.T, c *manifest.Ceilings) []byte {
	t.Helper()
	data, err := manifest.MarshalCeilings(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := manifest.ParseCeilings("rendered", data)
	if err != nil {
		t.Fatalf("of what was written: %v\n%s", err, data)
	}
	if diff := cmp.Diff(c, again, sameCeilings()); diff != "" {
		t.Fatalf("value changed (-before +after):\n%s\n%s", diff, data)
	}
	if c.Digest() != again.Digest() {
		t.Fatal("the same ceilings have two digests")
	}
	return data
}

func FuzzParseCeilings(f *testing.F) {
	for _, file := range inputs(f, "policy/*") {
		f.Add(read(f, file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := manifest.ParseCeilings("fuzz", data)
		if err == nil {
			ceilingsRoundTrip(t, c)
			return
		}
		if c != nil {
			t.Fatalf("value %v with error %v", c, err)
		}
		checkErrorList(t, err)
	})
}

func ceilings(t testing.TB, text string) *manifest.Ceilings {
	t.Helper()
	c, err := manifest.ParseCeilings("policy.yaml", []byte("version: 1\n"+text+"\n"))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

func serverOf(t testing.TB, text string) *manifest.Server {
	t.Helper()
	if !strings.Contains(text, "image:") {
		text = "image: ghcr.io/acme/files@sha256:" + strings.Repeat("ab", 32) + "\n" + text
	}
	s, err := manifest.Parse("server.yaml", []byte("version: 1\nname: files\n"+text+"\n"))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return s
}

const at = "/srv/servers/files"

// TestViolations: each thing that a ceiling refuses, with one beside it that it lets
// pass, so that it is this ceiling that refuses.
func TestViolations(t *testing.T) {
	const digest = "sha256:abababababababababababababababababababababababababababababababab"
	const cred = "egress: [{host: api.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}]\ncredentials: {key: {source: SOURCE, host: api.example.com, place: {header: X-Key, format: \"{}\"}, expose: {env: KEY}}}"
	source := func(s string) string { return strings.Replace(cred, "SOURCE", s, 1) }
	for _, row := range []struct {
		name, ceilings, refused, accepted string
		want                              []string // of the violation, which is the only one
	}{
		{"an image of another registry", "images: {allow: [ghcr.io/acme]}", "image: ghcr.io/other/files@" + digest, "image: ghcr.io/acme/files@" + digest, []string{"image:", "policy.yaml:2 (images.allow)", "accepted: ghcr.io/acme"}},
		{"a name that only begins alike", "images: {allow: [ghcr.io/acme]}", "image: ghcr.io/acme-evil/files@" + digest, "image: ghcr.io/acme@" + digest, []string{"image:"}},
		{"a registry on another port", "images: {allow: [ghcr.io]}", "image: ghcr.io:444/acme/files@" + digest, "image: ghcr.io/acme/files@" + digest, []string{"image:"}},
		{"another digest", "images: {allow: [\"" + digest + "\"]}", "image: ghcr.io/acme/files@" + strings.Replace(digest, "ab", "cd", 1), "image: anywhere.example/x@" + digest, []string{"image:"}},
		{"one digest of one repository", "images: {allow: [\"ghcr.io/acme/files@" + digest + "\"]}", "image: ghcr.io/acme/other@" + digest, "image: ghcr.io/acme/files@" + digest, []string{"image:"}},
		{"an archive", "images: {archives: false}", "image: ./files.tar", "image: ghcr.io/acme/files@" + digest, []string{"image:", "images.archives", "archive on disk"}},
		{"an archive beside a list of registries", "images: {allow: [ghcr.io]}", "image: ./files.tar", "image: ghcr.io/acme/files@" + digest, []string{"image:", "policy.yaml:2 (images.allow)"}},
		{"a forbidden folder", "files: {forbid: [/srv/secrets]}", "files: [{from: /srv/secrets, to: /data}]", "files: [{from: /srv/secret, to: /data}]", []string{"files (to: /data)", "policy.yaml:2 (files.forbid[0])"}},
		{"what is in a forbidden folder", "files: {forbid: [/srv/secrets]}", "files: [{from: /srv/secrets/a/b, to: /data}]", "files: [{from: /srv/data, to: /data}]", []string{"/srv/secrets"}},
		{"what holds a forbidden folder", "files: {forbid: [/srv/a/secrets]}", "files: [{from: /srv/a, to: /data}]", "files: [{from: /srv/a/b, to: /data}]", []string{"/srv/a/secrets"}},
		{"a forbidden folder by dots", "files: {forbid: [/srv/secrets]}", "files: [{from: ../../secrets, to: /data}]", "files: [{from: ../secrets, to: /data}]", []string{`"/srv/secrets"`}},
		{"its own folder, forbidden", "files: {forbid: [/srv/servers/files/data]}", "files: [{from: ./data, to: /data}]", "files: [{from: ./other, to: /data}]", []string{`"/srv/servers/files/data"`}},
		{"everything", "files: {forbid: [/]}", "files: [{from: ./data, to: /data}]", "files: [{tmpfs: /data, size: 1MiB}]", []string{"files (to: /data)"}},
		{"outside of what is allowed", "files: {allow: [/srv/servers/files/data]}", "files: [{from: ./date, to: /data}]", "files: [{from: ./data/x, to: /data}]", []string{"policy.yaml:2 (files.allow)", "accepted: /srv/servers/files/data"}},
		{"above what is allowed", "files: {allow: [/srv/servers/files/data]}", "files: [{from: ../files, to: /data}]", "files: [{from: ./data, to: /data}]", []string{"files.allow"}},
		{"writing where only reading is", "files: {read-only: [/srv/shared]}", "files: [{from: /srv/shared/a, to: /data, access: write}]", "files: [{from: /srv/shared/a, to: /data}]", []string{"files.read-only[0]", "write access: read"}},
		{"writing at all", "files: {read-only: [/]}", "files: [{from: ./out, to: /data, access: write}]", "files: [{from: ./out, to: /data}]", []string{"files.read-only[0]"}},
		{"a forbidden host", "egress: {forbid: [a.example.com]}", "egress: [{host: a.example.com}]", "egress: [{host: b.example.com}]", []string{"egress[0].host", "policy.yaml:2 (egress.forbid[0])"}},
		{"a wildcard over a forbidden host", "egress: {forbid: [a.example.com]}", "egress: [{host: \"*.example.com\"}]", "egress: [{host: example.com}]", []string{"*.example.com can reach a.example.com"}},
		{"a host in a forbidden zone", "egress: {forbid: [\"*.example.com\"]}", "egress: [{host: a.b.example.com}]", "egress: [{host: example.com}]", []string{"egress[0].host"}},
		{"a wildcard above a forbidden zone", "egress: {forbid: [\"*.a.example.com\"]}", "egress: [{host: \"*.example.com\"}]", "egress: [{host: a.example.com}]", []string{"egress[0].host"}},
		{"a tenant below a forbidden suffix", "egress: {forbid: [\"*.ngrok.io\"]}", "egress: [{host: me.ngrok.io}]", "egress: [{host: ngrok.com}]", []string{"egress[0].host"}},
		{"any host", "egress: {forbid: [\"*\"]}", "egress: [{host: \"1.1.1.1\"}]", "tools: {a: {risk: low}}", []string{"egress[0].host"}},
		{"a forbidden address in an opened network", "egress: {forbid: [\"10.1.2.3\"]}", "egress: [{host: db.internal, networks: [10.1.0.0/16]}]", "egress: [{host: db.internal, networks: [10.2.0.0/16]}]", []string{"can reach 10.1.2.3"}},
		{"a host that is not allowed", "egress: {allow: [\"*.example.com\"]}", "egress: [{host: example.com}]", "egress: [{host: a.example.com}]", []string{"egress[0].host", "egress.allow"}},
		{"a wildcard wider than what is allowed", "egress: {allow: [\"*.a.example.com\"]}", "egress: [{host: \"*.example.com\"}]", "egress: [{host: \"*.b.a.example.com\"}]", []string{"egress.allow"}},
		{"a host inside", "egress: {private: false}", "egress: [{host: db.internal, private: true}]", "egress: [{host: db.internal}]", []string{"egress[0]:", "policy.yaml:2 (egress.private)"}},
		{"a network inside", "egress: {private: false}", "egress: [{host: db.internal, networks: [10.0.0.0/8]}]", "egress: [{host: db.internal}]", []string{"egress.private"}},
		{"much memory", "limits: {memory: 256MiB}", "resources: {memory: 257MiB}", "resources: {memory: 256MiB}", []string{"resources.memory", "policy.yaml:2 (limits.memory)", "write 256MiB or less"}},
		{"the default of memory", "limits: {memory: 256MiB}", "tools: {a: {risk: low}}", "resources: {memory: 64MiB}", []string{"512MiB is more than 256MiB"}},
		{"much cpu", "limits: {cpu: 1.5}", "resources: {cpu: 2}", "resources: {cpu: 1.5}", []string{"limits.cpu"}},
		{"many processes", "limits: {pids: 128}", "resources: {pids: 129}", "resources: {pids: 128}", []string{"limits.pids"}},
		{"many small tmpfs", "limits: {tmp: 100MiB}", "files: [{tmpfs: /a, size: 30MiB}, {tmpfs: /b, size: 30MiB}]", "files: [{tmpfs: /a, size: 30MiB}]", []string{"124MiB is more than 100MiB"}},
		{"a long call", "limits: {call: 1m}", "timeouts: {call: 2m}", "timeouts: {call: 1m}", []string{"limits.call"}},
		{"a long wait for approval", "limits: {approval: 1m}", "timeouts: {approval: 2m}", "timeouts: {approval: 1m}", []string{"limits.approval"}},
		{"sampling", "grants: {sampling: false}", "grants: {sampling: true}", "grants: {elicitation: true, roots: true}", []string{"grants.sampling"}},
		{"elicitation", "grants: {elicitation: false}", "grants: {elicitation: true}", "grants: {sampling: true, roots: true}", []string{"grants.elicitation"}},
		{"roots", "grants: {roots: false}", "grants: {roots: true}", "grants: {elicitation: true, sampling: true}", []string{"grants.roots"}},
		{"a profile", "profiles: [strict, go]", "profile: node", "profile: go", []string{"profile:", "accepted: strict, go"}},
		{"a built-in profile that allows too much", "never-calls: [memfd_create, inotify_init1]", "profile: node", "profile: strict", []string{"profile: node allows inotify_init1", "policy.yaml:2 (never-calls[1])", "deny: [{calls: [inotify_init1]"}},
		{"a source of secrets", "credentials: {sources: [file]}", source("env:KEY"), source("file:/etc/key"), []string{"credentials.key.source", "accepted: file"}},
		{"a source inside another", "credentials: {sources: [vault, file]}", source("{vault: {address: \"https://v.example.com\", path: secret/data/x, field: f, token: env:T}}"),
			source("{vault: {address: \"https://v.example.com\", path: secret/data/x, field: f, token: \"file:/t\"}}"), []string{"credentials.key.source", "from env"}},
		{"a secret in the container", "credentials: {in-container: false}", "credentials: {key: {source: env:KEY, exposure: container, expose: {file: key}}}", source("env:KEY"), []string{"credentials.key.exposure"}},
		// These no policy.yaml lets pass.
		{"a system folder by dots", "", "files: [{from: ../../../etc, to: /data}]", "files: [{from: ../../../opt, to: /data}]", []string{`"/etc"`, "no policy.yaml can allow it"}},
		{"the root by dots", "", "files: [{from: ../../.., to: /data}]", "files: [{from: ../.., to: /data}]", []string{"the whole host"}},
		{"a key store by dots", "", "files: [{from: ../../../home/a, to: /data}]", "files: [{from: ../../../home/a/work, to: /data}]", []string{"whole home folders"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := ceilings(t, row.ceilings)
			if v := c.Check(serverOf(t, row.accepted), at, nil); len(v) > 0 {
				t.Errorf("the control is refused: %v", v)
			}
			v := c.Check(serverOf(t, row.refused), at, nil)
			if len(v) != 1 {
				t.Fatalf("want one violation, got %v", v)
			}
			for _, want := range row.want {
				if !strings.Contains(v[0].String(), want) {
					t.Errorf("%s\nlacks %q", v[0], want)
				}
			}
			if v[0].Fix == "" {
				t.Errorf("nothing to do about %s", v[0])
			}
		})
	}
}

// A relative path climbs out of the folder of server.yaml into what an absolute one
// must not name: from: ../../../etc passed, since server.yaml alone does not show
// where it lies. What lies beside server.yaml passes wherever that is kept.
func TestDotsGiveNothingAway(t *testing.T) {
	c := manifest.DefaultCeilings()
	for _, row := range []struct {
		dir, from string
		pass      bool
	}{
		{"/srv/a", "../../etc", false}, {"/srv/a", "../../etc/mcprun/x", false}, {"/srv/a", "../../root/x", false}, {"/srv/a", "../../var", false}, {"/srv/a", "../../srv", true},
		{"/root/agents", "./data", true}, {"/root/agents", "./", true}, {"/root", "./data", false}, {"/root/agents", "../data", false}, {"/root/agents", "../.ssh", false},
		{"/etc/mcprun/files", "./data", true}, {"/etc/mcprun/files", "../keys", false}, {"/etc", "./ssh", false},
		{"/", "./etc", false}, {"/", "./srv", true}, {"/home/a", "./", false}, {"/home/a", "./work", true}, {"/home/a/work", "../", false}, {"/home/a/work", "../.ssh", false},
		{"/usr/local/servers", "./data", false}, {"/var/lib/mcprun", "./x", false}, {"/run/x", "./y", false},
		{"", "./data", false}, {"relative", "./data", false},
	} {
		s := manifest.Default()
		s.Files = []manifest.File{{From: row.from, To: "/data"}}
		if v := c.Check(s, row.dir, nil); (len(v) == 0) != row.pass {
			t.Errorf("%s in %q: %v, want pass %v", row.from, row.dir, v, row.pass)
		}
	}
}

// The zero value and none at all refuse everything that a server can ask for.
func TestZeroCeilingsDeny(t *testing.T) {
	for name, c := range map[string]*manifest.Ceilings{"zero": {}, "nil": nil} {
		if v := c.Check(serverOf(t, ""), at, nil); len(v) < 5 {
			t.Errorf("%s: only %v", name, v)
		}
		if least, _ := c.Least("files", "read"); least != mcprun.Block {
			t.Errorf("%s: tools have at least %s", name, least)
		}
	}
	if err := new(manifest.Ceilings).Validate(); err == nil {
		t.Error("the zero value looks as if somebody had written it")
	}
	c := manifest.DefaultCeilings()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if v := c.Check(serverOf(t, ""), at, nil); len(v) > 0 {
		t.Errorf("the default refuses %v", v)
	}
}

func TestLeast(t *testing.T) {
	c := ceilings(t, `risk: {default: medium, tools: [{name: "*delete*", risk: high}, {name: "*", server: "shell*", risk: high}, {name: drop_database, server: db, risk: block}, {name: "*delete*", risk: medium}]}`)
	for _, row := range []struct {
		server mcprun.ServerName
		tool   mcprun.ToolName
		want   mcprun.Risk
		why    string
	}{
		{"files", "read", mcprun.Medium, "policy.yaml demands medium of every tool"},
		{"files", "delete_file", mcprun.High, "policy.yaml demands high of tools named *delete*"},
		{"files", "bulkDelete", mcprun.High, "*delete*"},
		{"files", "DELETE", mcprun.High, "*delete*"},
		{"files", "dele.te", mcprun.Medium, "every tool"},
		{"shell-a", "read", mcprun.High, "policy.yaml demands high of tools named * of shell*"},
		{"db", "drop_database", mcprun.Block, "policy.yaml demands block of tools named drop_database of db"},
		{"db2", "drop_database", mcprun.Medium, "every tool"},
	} {
		if got, why := c.Least(row.server, row.tool); got != row.want || !strings.Contains(why, row.why) {
			t.Errorf("%s/%s: %s because %q, want %s because %q", row.server, row.tool, got, why, row.want, row.why)
		}
	}
	if got, why := manifest.DefaultCeilings().Least("a", "delete"); got != mcprun.Low || why != "" {
		t.Errorf("the default demands %s: %s", got, why)
	}
}

func TestGlob(t *testing.T) {
	for _, row := range []struct {
		glob, name string
		want       bool
	}{
		{"a", "a", true}, {"a", "A", true}, {"a", "ab", false}, {"*", "x", true}, {"*a", "ba", true}, {"*a", "ab", false}, {"a*", "ab", true}, {"a*", "ba", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"*ab*ab*", "xabyab", true}, {"*ab*ab*", "xab", false}, {"*a*b*c", "abcabc", true}, {"**", "x", true}, {"a**b", "ab", true},
		{"*aab", "aaab", true}, {"a*b*", "axxb", true}, {"", "", false}, {"", "a", false},
	} {
		if got := manifest.Glob(row.glob).Match(row.name); got != row.want {
			t.Errorf("%q for %q: %v", row.glob, row.name, got)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("*a*b", "xaxb")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := manifest.ParseGlob(pattern)
		if err != nil || len(name) > 64 || len(pattern) > 16 {
			return
		}
		if _, err := mcprun.ParseToolName(name); err != nil {
			return
		}
		if got, want := g.Match(name), slowMatch(strings.ToLower(pattern), strings.ToLower(name)); got != want {
			t.Fatalf("%q for %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// slowMatch tries every length of every star.
func slowMatch(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] == '*' {
		for i := 0; i <= len(name); i++ {
			if slowMatch(pattern[1:], name[i:]) {
				return true
			}
		}
		return false
	}
	return name != "" && pattern[0] == name[0] && slowMatch(pattern[1:], name[1:])
}

// TestDigestsDiffer: each key of policy.yaml is part of what the digest names.
func TestDigestsDiffer(t *testing.T) {
	seen := map[mcprun.Digest]string{manifest.DefaultCeilings().Digest(): "the default", new(manifest.Ceilings).Digest(): "the zero value"}
	for _, text := range []string{
		"images: {archives: false}", "images: {allow: [ghcr.io], archives: true}", "images: {allow: [ghcr.io/a], archives: true}", "files: {allow: [/a]}", "files: {forbid: [/a]}", "files: {read-only: [/a]}",
		"egress: {allow: [a.example.com]}", "egress: {forbid: [a.example.com]}", "egress: {forbid: [\"*.a.example.com\"]}", "egress: {private: false}", "risk: {default: medium}", "risk: {tools: [{name: a, risk: high}]}",
		"risk: {tools: [{name: a, risk: medium}]}", "risk: {tools: [{name: a, server: b, risk: high}]}", "limits: {memory: 1GiB}", "limits: {cpu: 1}", "limits: {pids: 100}", "limits: {tmp: 1GiB}", "limits: {call: 1m}", "limits: {approval: 1m}",
		"grants: {sampling: false}", "grants: {elicitation: false}", "grants: {roots: false}", "profiles: [strict]", "credentials: {sources: [env]}", "credentials: {in-container: false}",
		"approval: {approvers: [\"uid:1\"]}", "approval: {needs: 2}", "approval: {four-eyes: true}", "approval: {proof: true}", "approval: {webhook: {url: \"https://a.example\"}}", "approval: {webhook: {source: \"env:A\"}}", "approval: {webhook: {source: \"file:/a\"}}",
		"kill: [{after: tool.changed}]", "kill: [{after: egress.denied}]", "kill: [{after: egress.denied, times: 2, within: 1m}]", "kill: [{after: egress.denied, times: 2, within: 2m}]", "kill: [{after: egress.denied, level: all}]", "kill: [{after: egress.denied, level: label, label: a}]", "kill: [{after: egress.denied, level: label, label: b}]", "kill: [{after: egress.denied, cool-down: 1m}]", "kill: [{after: egress.denied, reason: a}]",
		"approval: {webhook: {source: \"file:/a\", settled: true}}", "approval: {webhook: {source: \"file:/a\", arguments: true}}",
		"revive: {approvers: 2}",
	} {
		d := ceilings(t, text).Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%q has the digest of %q", text, other)
		}
		seen[d] = text
	}
	if a, b := ceilings(t, "grants: {roots: false} # why"), ceilings(t, "grants:\n  roots: false"); a.Digest() != b.Digest() {
		t.Error("a comment changes the digest")
	}
}

// What is shown of ceilings holds no address of a webhook, and has their digest, so that
// what was decided under them can be replayed from it.
func TestWithoutAddress(t *testing.T) {
	c, other := ceilings(t, "approval: {webhook: {url: \"https://a.example/s3cret\"}}"), ceilings(t, "approval: {webhook: {url: \"https://a.example/other\"}}")
	text, err := manifest.MarshalCeilings(c.WithoutAddress())
	if err != nil || strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "a.example") {
		t.Errorf("%s: %v", text, err)
	}
	again, err := manifest.ParseCeilings("policy.yaml", text)
	if err != nil || again.Digest() != c.Digest() || c.Digest() == other.Digest() {
		t.Errorf("digests %s, %s, other %s: %v", c.Digest(), again.Digest(), other.Digest(), err)
	}
	if c.Approval.Webhook.URL != "https://a.example/s3cret" {
		t.Error("the ceilings themselves were changed")
	}
}

// The webhook's address never stands in an error: it may be a secret.
func TestWebhookIsNotRepeated(t *testing.T) {
	for _, w := range []string{"{url: \"http://hooks.example.com/s3cret\"}", "{url: \"ftp://s3cret\"}", "{url: \"https://a:s3cret@x.example\"}", "{source: \"s3cret\"}", "{source: \"env:s3cret-x\"}"} {
		_, err := manifest.ParseCeilings("policy.yaml", []byte("version: 1\napproval: {webhook: "+w+"}\n"))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", w, err)
		}
	}
}
