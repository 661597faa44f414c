package manifest_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/manifest/manifesttest"
	"github.com/mcprun/mcprun/netpolicy"
)

// TestUnknownKeyAlwaysFails puts a key that no level knows into each level of
// manifests that are valid otherwise.
func TestUnknownKeyAlwaysFails(t *testing.T) {
	levels := []struct{ path, before, after string }{
		{"", "version: 1\n", "version: 1\nKEY: 1\n"},
		{"resources.", "{memory:", "{KEY: 1, memory:"},
		{"files[0].", "{tmpfs: /tmp,", "{KEY: 1, tmpfs: /tmp,"},
		{"files[1].", "{from:", "{KEY: 1, from:"},
		{"timeouts.", "{start:", "{KEY: 1, start:"},
		{"grants.", "{sampling:", "{KEY: {}, sampling:"},
		{"tools.t.", "{risk: low}", "{KEY: [], risk: low}"},
		{"egress[0].", "{host: a.example.com,", "{KEY: 1, host: a.example.com,"},
		{"egress[0].limits.", "{connections: 1}", "{KEY: 1, connections: 1}"},
		{"credentials.c.", "{source: \"env:T\",", "{KEY: 1, source: \"env:T\","},
		{"credentials.c.place.", "{basic: password}", "{KEY: 1, basic: password}"},
		{"credentials.c.expose.", "{env: T,", "{KEY: 1, env: T,"},
	}
	keys := []string{"zzz", "Version", "from_", "__proto__", "constructor", "x-anything", "NAME", "Risk", `"risk "`, `"\u0000"`, `""`, "a.b", `"files[0]"`, "tools.t", `"*"`}
	for seed := range uint64(20) {
		s := manifesttest.Random(rand.New(rand.NewPCG(seed, 2)))
		s.Files = []manifest.File{{From: "./a", To: "/m"}}
		s.Command, s.Environment = nil, nil
		s.Tools = map[mcprun.ToolName]manifest.Tool{"t": {Risk: mcprun.Low}}
		s.Egress, s.Credentials = reachable(t)
		valid, err := manifest.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range levels {
			for _, key := range keys {
				text := strings.Replace(string(valid), level.before, strings.Replace(level.after, "KEY", key, 1), 1)
				wantUnknown(t, text, level.path)
			}
		}
	}
}

// reachable is a rule with a limit, and a credential for it.
func reachable(t *testing.T) ([]netpolicy.Rule, []manifest.Credential) {
	t.Helper()
	parsed, err := manifest.Parse("f", []byte(header+`egress:
  - {host: a.example.com, inspect: true, methods: [GET], paths: ["/**"], limits: {connections: 1}}
credentials:
  c: {source: "env:T", host: a.example.com, place: {basic: password}, expose: {env: T}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Egress, parsed.Credentials
}

func wantUnknown(t *testing.T, text, path string) {
	t.Helper()
	_, err := manifest.Parse("f", []byte(text))
	var list *manifest.ErrorList
	if !errors.As(err, &list) {
		t.Fatalf("taken:\n%s", text)
	}
	if len(list.Errors) != 1 || list.Errors[0].What != "unknown key" || !strings.HasPrefix(list.Errors[0].Key, path) {
		t.Fatalf("got %v, want an unknown key in %q in\n%s", err, path, text)
	}
}

// TestLaterKeysAlwaysFail: what is designed and not built is refused by its name,
// whatever its value is.
func TestLaterKeysAlwaysFail(t *testing.T) {
	for path := range manifest.Later() {
		for _, value := range []string{"1", "{}", "[]", "{a: b}", "~", `"x"`, "{rate: 1}"} {
			text := header
			switch parts := strings.Split(path, "."); {
			case len(parts) == 1:
				text += path + ": " + value + "\n"
			case parts[0] == "limits":
				text += "limits: {" + parts[1] + ": " + value + "}\n"
			default:
				text += "tools: {t: {risk: low, " + parts[2] + ": " + value + "}}\n"
			}
			_, err := manifest.Parse("f", []byte(text))
			want := strings.Replace(path, "*", "t", 1) + ": is not supported yet\n"
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %v, want %q", text, err, want)
			}
		}
	}
}
