package egress

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secrets are what must never be seen inside a container, in the record or on disk
// but where the operator keeps it.
const (
	readSecret  = "rd-secret-5c1f9e77aa20b3d4"
	writeSecret = "wr-secret-90b1c2d3e4f5a6b7"
	basicSecret = "ba-secret-1029384756abcdef"
	querySecret = "qu-secret-fedcba6574839201"
	fileSecret  = "fi-secret-0f1e2d3c4b5a6978"
)

const credentialYAML = `egress:
  - {host: api.example.com, inspect: true, methods: [GET, POST, DELETE], paths: ["/**"], websocket: true}
  - {host: other.example.com, inspect: true, methods: [GET], paths: ["/**"]}
credentials:
  reader: {source: "env:READ_SECRET", host: api.example.com, place: {header: Authorization, format: "Bearer {}"}, methods: [GET], expose: {env: READ_TOKEN}, shape: github}
  writer: {source: "env:WRITE_SECRET", host: api.example.com, place: {header: Authorization, format: "Bearer {}"}, methods: [POST], paths: ["/repos/**"], tools: [run_command], expose: {env: WRITE_TOKEN}}
  basic: {source: "env:BASIC_SECRET", host: api.example.com, place: {basic: password}, expose: {env: BASIC_TOKEN}}
  query: {source: "env:QUERY_SECRET", host: api.example.com, place: {query: access_token}, expose: {env: QUERY_TOKEN}}
  from-file: {source: "file:SECRETFILE", lifetime: 1s, host: api.example.com, place: {header: X-Api-Key, format: "{}"}, expose: {file: key}}
  broken: {source: "env:NOT_SET", host: api.example.com, place: {header: X-Broken, format: "{}"}, expose: {env: BROKEN_TOKEN}}
`

func credentialWorld(t *testing.T) (*world, string) {
	w := newWorld(t, "READ_SECRET="+readSecret, "WRITE_SECRET="+writeSecret, "BASIC_SECRET="+basicSecret, "QUERY_SECRET="+querySecret)
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "other.example.com": {public}})
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(fileSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w, path
}

// A credential arrives where it is bound, in its place, and nowhere else; the
// container holds placeholders; what an upstream echoes is blotted out.
func TestCredentials(t *testing.T) {
	w, path := credentialWorld(t)
	web := w.lab.HTTPS(public+":443", "api.example.com", "other.example.com")
	w.up("net", strings.Replace(credentialYAML, "SECRETFILE", path, 1))
	curl := func(args string) string { return w.sh("net", "curl -sS -m 5 -w ' [%{http_code}]' "+args) }
	last := func() string {
		r := web.Requests()
		return r[len(r)-1].Header.Get("Authorization") + r[len(r)-1].Header.Get("X-Api-Key") + " " + r[len(r)-1].Target
	}
	for _, row := range []struct{ name, args, arrives string }{
		{"a header", `-H "Authorization: Bearer $READ_TOKEN" https://api.example.com/echo`, "Bearer " + readSecret},
		{"over HTTP/1.1, another case of the scheme", `--http1.1 -H "authorization: bearer $READ_TOKEN" https://api.example.com/echo`, readSecret},
		{"the writer writes", `-X POST -d x -H "Authorization: Bearer $WRITE_TOKEN" https://api.example.com/repos/x`, "Bearer " + writeSecret},
		{"basic", `-u "git:$BASIC_TOKEN" https://api.example.com/echo`, "Basic " + base64.StdEncoding.EncodeToString([]byte("git:"+basicSecret))},
		{"a query", `"https://api.example.com/echo?a=1&access_token=$QUERY_TOKEN"`, querySecret},
		{"from a file", `-H "X-Api-Key: $(cat /.mcprun/secrets/key)" https://api.example.com/echo`, fileSecret},
		{"none", "https://api.example.com/echo", " /echo"},
	} {
		before := len(web.Requests())
		out := curl(row.args)
		if !strings.Contains(out, "[200]") || len(web.Requests()) != before+1 || !strings.Contains(last(), row.arrives) {
			t.Errorf("%s: %s; what arrives: %s", row.name, out, last())
		}
		if strings.Contains(out, "-secret-") {
			t.Errorf("%s: C4 the container reads the secret that the upstream echoes: %s", row.name, out)
		}
	}
	for _, row := range []struct{ name, args string }{
		{"C1 another allowed host", `-H "Authorization: Bearer $READ_TOKEN" https://other.example.com/echo`},
		{"C13 the reader writes", `-X POST -d x -H "Authorization: Bearer $READ_TOKEN" https://api.example.com/repos/x`},
		{"C13 the writer reads", `-H "Authorization: Bearer $WRITE_TOKEN" https://api.example.com/repos/x`},
		{"the writer elsewhere", `-X POST -d x -H "Authorization: Bearer $WRITE_TOKEN" https://api.example.com/admin`},
		{"C3 in another header", `-H "X-Other: $READ_TOKEN" https://api.example.com/echo`},
		{"C3 in the query", `"https://api.example.com/echo?x=$READ_TOKEN"`},
		{"C3 in the path", `"https://api.example.com/echo/$READ_TOKEN"`},
		{"C3 as a user", `-u "$BASIC_TOKEN:x" https://api.example.com/echo`},
		{"C3 with another scheme", `-H "Authorization: Token $READ_TOKEN" https://api.example.com/echo`},
		{"twice, once in place", `-H "Authorization: Bearer $READ_TOKEN" -H "X-Copy: $READ_TOKEN" https://api.example.com/echo`},
	} {
		before := len(web.Requests())
		if out := curl(row.args); !strings.Contains(out, "[403]") || len(web.Requests()) != before {
			t.Errorf("%s: %s, %d requests arrived", row.name, out, len(web.Requests())-before)
		}
	}
	w.misuse()
	before := len(web.Requests())
	if out := curl(`-H "X-Broken: $BROKEN_TOKEN" https://api.example.com/echo`); !strings.Contains(out, "[503]") || len(web.Requests()) != before {
		t.Errorf("C9 a source that fails: %s", out)
	}
	// Echoes in the body and in a header, packed, in small pieces.
	for _, page := range []string{"/reflect-auth", "/reflect-auth?gzip=1", "/reflect-auth?chunk=1", "/reflect-auth?gzip=1&chunk=1"} {
		out := curl(`-i --compressed -H "Authorization: Bearer $READ_TOKEN" "https://api.example.com` + page + `"`)
		if !strings.Contains(out, "***") || strings.Contains(out, readSecret) || strings.Contains(out, base64.StdEncoding.EncodeToString([]byte(readSecret))) {
			t.Errorf("%s: %s", page, out)
		}
	}
	// C8: what is rotated is taken up without a restart.
	if err := os.WriteFile(path, []byte("fi-secret-rotated-7777777\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sh("net", "sleep 1.2")
	if curl(`-H "X-Api-Key: $(cat /.mcprun/secrets/key)" https://api.example.com/echo`); !strings.Contains(last(), "fi-secret-rotated-7777777") {
		t.Errorf("after the rotation arrives %s", last())
	}
}

// misuse checks that the record names placeholders in wrong places.
func (w *world) misuse() {
	w.t.Helper()
	for _, r := range w.egress() {
		if r.Rule == "credential.misuse" && r.Verdict == "deny" {
			return
		}
	}
	w.t.Errorf("no record of a misuse: %s", w.summary())
}

// C11: what another server, or an earlier life, was given is known for what it is.
func TestForeignPlaceholders(t *testing.T) {
	w, path := credentialWorld(t)
	web := w.lab.HTTPS(public+":443", "api.example.com", "other.example.com")
	yaml := strings.Replace(credentialYAML, "SECRETFILE", path, 1)
	w.up("net", yaml)
	w.up("two", yaml)
	token := func(server string) string { return firstLine(w.sh(server, "printenv READ_TOKEN")) }
	mine, others := token("net"), token("two")
	if !strings.HasPrefix(mine, "ghp_") || mine == others {
		t.Fatalf("placeholders %q and %q", mine, others)
	}
	use := func(p string) string {
		return w.sh("net", `curl -sS -m 5 -w ' [%{http_code}]' -H "Authorization: Bearer `+p+`" https://api.example.com/echo`)
	}
	if out := use(mine); !strings.Contains(out, "[200]") {
		t.Errorf("control: %s", out)
	}
	if out := use(others); !strings.Contains(out, "[403]") {
		t.Errorf("another server's: %s", out)
	}
	w.d.Must("stop", "net")
	w.d.Must("start", "net.yaml")
	if out := use(mine); !strings.Contains(out, "[403]") {
		t.Errorf("an earlier life's: %s", out)
	}
	w.misuse()
	if n := len(web.Requests()); n != 1 {
		t.Errorf("%d requests arrived, want the control's", n)
	}
}

// The canary: secrets are used in every way, and then searched for wherever they
// could have been left.
func TestCanary(t *testing.T) {
	w, path := credentialWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com", "other.example.com")
	w.up("net", strings.Replace(credentialYAML, "SECRETFILE", path, 1))
	for _, args := range []string{
		`-i -H "Authorization: Bearer $READ_TOKEN" https://api.example.com/reflect-auth`,
		`-u "git:$BASIC_TOKEN" https://api.example.com/echo`,
		`"https://api.example.com/echo?access_token=$QUERY_TOKEN"`,
		`-H "X-Api-Key: $(cat /.mcprun/secrets/key)" https://api.example.com/echo`,
		`-H "X-Broken: $BROKEN_TOKEN" https://api.example.com/echo`,
		`-H "Authorization: Bearer $READ_TOKEN" https://other.example.com/echo`,
	} {
		w.sh("net", "curl -sS -m 5 "+args)
	}
	inside := w.sh("net", "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; cat /.mcprun/*.pem /.mcprun/secrets/* /etc/resolv.conf 2>/dev/null; grep -r secret- /tmp /workspace 2>/dev/null")
	if strings.Contains(inside, "-secret-") {
		t.Errorf("inside the container: %s", inside)
	}
	if !strings.Contains(inside, "READ_TOKEN=ghp_") {
		t.Errorf("the control: no placeholder is found inside: %s", inside)
	}
	said := ""
	for _, args := range [][]string{{"inspect", "net", "--json"}, {"egress", "net", "--json"}, {"ps", "--json"}, {"logs", "net"}, {"audit", "tail", "-n", "10000", "--json"}, {"check", "net.yaml"}} {
		out, errs, _ := w.d.Run(args...)
		said += out + errs
	}
	if strings.Contains(said, "-secret-") {
		t.Error("a command prints a secret")
	}
	// On disk: the daemon's folders, the container's description and layers among them.
	found := 0
	for _, dir := range []string{w.d.Dirs.Run, w.d.Dirs.Data} {
		filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || strings.Contains(p, "/io.containerd.content.v1.content/") || strings.Contains(p, "/fs/usr/") || strings.Contains(p, "/fs/app/") {
				return nil
			}
			raw, err := os.ReadFile(p)
			if err == nil && strings.Contains(string(raw), "READ_TOKEN") {
				found++
			}
			for _, s := range []string{readSecret, writeSecret, basicSecret, querySecret, fileSecret} {
				if err == nil && strings.Contains(string(raw), s) {
					t.Errorf("%s holds %s", p, s[:9])
				}
			}
			return nil
		})
	}
	if found == 0 {
		t.Error("the control: the search does not see the container's description")
	}
}

// A secret that is handed over is in its file, and everybody says so.
func TestHandedOver(t *testing.T) {
	w := newWorld(t, "PG_SECRET=pg-secret-123456")
	w.up("net", "credentials:\n  pg: {source: \"env:PG_SECRET\", expose: {file: pgpass, text: \"db:5432:*:app:{}\"}, exposure: container}\n")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("db:5432:*:app:pg-secret-123456")))
	if out := w.sh("net", "sha256sum </.mcprun/secrets/pgpass; stat -c '%a %u' /.mcprun/secrets/pgpass; env | grep -c 'pg-[s]ecret'"); !strings.Contains(out, sum) || !strings.Contains(out, "400 1000\n0") {
		t.Errorf("the file: %s", out)
	}
	// What the server tells of it is taken out of its answers.
	if out := w.sh("net", "cat /.mcprun/secrets/pgpass"); !strings.Contains(out, "db:5432:*:app:****************") {
		t.Errorf("an answer that holds the secret: %s", out)
	}
	for _, args := range [][]string{{"ps"}, {"inspect", "net"}, {"check", "net.yaml"}, {"audit", "tail", "--json"}} {
		out, errs, _ := w.d.Run(args...)
		if text := out + errs; !strings.Contains(text, "pg") || strings.Contains(text, "pg-secret") || !strings.Contains(text, "itself") && !strings.Contains(text, "container") {
			t.Errorf("%v does not say that the container holds the secret: %s", args, text)
		}
	}
	// It is pinned: another secret in the container needs another look.
	if raw, err := os.ReadFile(filepath.Join(w.d.Dir, "net.lock")); err != nil || !strings.Contains(string(raw), "secretsInContainer") {
		t.Errorf("the lock does not name it: %v", err)
	}
	w.d.Must("stop", "net")
	file := filepath.Join(w.d.Dir, "net.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.d.Write("net.yaml", string(raw)+"  second: {source: \"env:PG_SECRET\", expose: {file: second}, exposure: container}\n")
	if _, errs, code := w.d.Run("start", "net.yaml"); code != 3 || !strings.Contains(errs, "second") {
		t.Errorf("a start with one more secret in the container: code %d, %s", code, errs)
	}
	w.d.Write("net.yaml", string(raw))
	w.d.Must("start", "net.yaml")
}
