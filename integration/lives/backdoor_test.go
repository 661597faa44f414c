package lives

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// A server that goes to one host, learned with a fake internet and held to what was learned,
// has a back door that it did not use meanwhile. Each thing that the back door tries is
// denied, and mcprun says why and what would allow it; what was learned goes on.
func TestBackDoor(t *testing.T) {
	needs(t)
	d := harness.New(t)
	for _, dir := range []string{"given", "secret"} {
		if err := os.Mkdir(filepath.Join(d.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.Write("given/a.txt", "given")
	d.Write("secret/key", "the host's secret")
	secret := filepath.Join(d.Dir, "secret/key")
	more := "files: [{from: ./given, to: /given}]\nenvironment: {STEAL: \"/given/a.txt " + secret + " /given/../" + strings.TrimPrefix(secret, "/") + "\"}\n"
	grants := []string{"steal: {risk: low}", "visit: {risk: low}", "shell: {risk: low}", "backdoor: {risk: low}"}
	file := unruly(t, d, "s", more, grants...)
	d.Write("honest.jsonl", `{"tool": "count"}`+"\n"+`{"tool": "visit", "arguments": {"n": 0}}`+"\n")
	said := d.Must("learn", file, "--calls", "honest.jsonl", "--out", "honest.yaml")
	rule := `{host: api.example.com, port: 80, protocol: http, methods: [GET], paths: ["/v1/things"]}`
	says(t, said, rule)
	raw, err := os.ReadFile(filepath.Join(d.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	held := strings.NewReplacer("profile: go\n", "profile: ./honest.yaml\negress:\n  - "+rule+"\n", "name: s\n", "name: held\n").Replace(string(raw))
	d.Write("held.yaml", held)
	d.Must("lock", "held.yaml")
	d.Must("start", "held.yaml")
	c := connect(t, d, "held")
	says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"isError":false`)

	t.Run("another file", func(t *testing.T) {
		answer := c.ask("tools/call", `{"name":"steal","arguments":{}}`)
		says(t, answer, "read /given/a.txt: given", "open "+secret+": no such file or directory")
		if strings.Contains(answer, "the host's secret") {
			t.Errorf("it read a file of the host's: %s", answer)
		}
		says(t, d.Must("inspect", "held", "--path", secret), "this machine's is not in the container")
		out, hint, _ := d.Run("inspect", "held", "--path", "/srv/secret/key")
		says(t, out+hint, "this machine's is not in the container, since no entry of files names a folder that holds it", "to give it, in server.yaml: files: [{from: /srv/secret, to: /srv/secret}]")
		says(t, d.Must("inspect", "held", "--path", "/given/a.txt"), filepath.Join(d.Dir, "given/a.txt")+" of this machine, which the server may read")
	})
	t.Run("elsewhere", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"visit","arguments":{"n":1}}`), `"isError":true`)
		says(t, c.ask("tools/call", `{"name":"visit","arguments":{"n":2}}`), `"isError":true`, "no such host")
		out, hint, _ := d.Run("egress", "held")
		says(t, out+hint, "198.51.100.7", "elsewhere.example.org", "no egress rule names this host", "- {host: elsewhere.example.org")
	})
	t.Run("a shell", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"shell","arguments":{}}`), `"isError":true`)
	})
	t.Run("the kernel's cryptography", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"backdoor","arguments":{}}`), "alg: operation not permitted", "ptrace: operation not permitted")
	})
	out, _, _ := d.Run("profile", "denials", "held")
	says(t, out, "execve(", "shell", "socket(AF_ALG, SOCK_SEQPACKET, unspecified)", "no profile can allow it: it would allow AF_ALG", "ptrace(")
	d.Must("stop", "held")
}
