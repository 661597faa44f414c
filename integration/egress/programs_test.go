package egress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/lab"
)

// Programs work as they are, with no proxy variables: through TLS that is carried
// unread, and through TLS that ends at the proxy, whose authority they trust.
func TestProgramsWorkUnchanged(t *testing.T) {
	for _, mode := range []struct{ name, rules string }{
		{"unread", trusting + "egress:\n  - {host: api.example.com}\n  - {host: grpc.example.com}\n"},
		{"inspected", "egress:\n  - {host: api.example.com, inspect: true, methods: [GET, POST, HEAD], paths: [\"/**\"], websocket: true}\n  - {host: grpc.example.com, inspect: true, methods: [POST], paths: [\"/grpc.health.v1.Health/*\"]}\n"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			w := newWorld(t)
			web := w.lab.HTTPS(public+":443", "api.example.com")
			repo := w.lab.Git(web, lab.GitOptions{Name: "acme/app.git"})
			calls := w.lab.GRPC(otherPublic+":443", "grpc.example.com")
			w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "grpc.example.com": {otherPublic}})
			web.Handle("/-/ping", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "{}") }))
			w.up("net", mode.rules)
			watch := w.lab.Capture()
			for _, row := range []struct{ name, command, want string }{
				{"curl", "curl -sS https://api.example.com/echo", `"method":"GET"`},
				{"Node's fetch", `node -e 'fetch("https://api.example.com/echo").then(r => r.text()).then(console.log)'`, `"method":"GET"`},
				{"Python's urllib", `python3 -c 'import urllib.request; print(urllib.request.urlopen("https://api.example.com/echo").read().decode())'`, `"method":"GET"`},
				{"Python's requests", `python3 -c 'import requests; print(requests.get("https://api.example.com/echo").text)'`, `"method":"GET"`},
				{"git over https", "git clone -q https://api.example.com" + repo.Path + " /tmp/app && git -C /tmp/app rev-parse HEAD", repo.Head},
				{"npm", "npm ping --registry https://api.example.com/ 2>&1", "PONG"},
				{"openssl", "echo | openssl s_client -connect api.example.com:443 -servername api.example.com 2>&1", "Verify return code: 0 (ok)"},
			} {
				if out := w.sh("net", row.command); !strings.Contains(out, row.want) {
					t.Errorf("%s: %s", row.name, out)
				}
			}
			w.allowed(w.try("net", "get", "https://api.example.com/echo"), "Go's net/http")
			w.allowed(w.try("net", "ws", "wss://api.example.com/ws"), "a WebSocket client")
			w.allowed(w.try("net", "grpc", "grpc.example.com:443"), "a gRPC client")
			if len(calls.Calls()) == 0 {
				t.Error("no gRPC call arrived")
			}
			// The same programs, where no rule is: at once, each in its own words.
			for _, row := range []struct{ name, command string }{
				{"curl", "curl -sS https://evil.example.org/"},
				{"Node's fetch", `node -e 'fetch("https://evil.example.org/").catch(e => console.log("refused", e.cause.code))'`},
				{"Python's urllib", `python3 -c 'import urllib.request; urllib.request.urlopen("https://evil.example.org/")' 2>&1 | tail -1`},
				{"git", "git clone -q https://evil.example.org/x /tmp/x 2>&1"},
			} {
				out := w.sh("net", "/usr/bin/time -f took=%e true 2>/dev/null; "+row.command)
				if strings.Contains(out, `"method"`) || out == "" {
					t.Errorf("%s reached a host that no rule allows: %s", row.name, out)
				}
			}
			w.denied("evil.example.org", "egress.host")
			w.nothingElse(watch, public, otherPublic)
		})
	}
}

// psql talks to a real PostgreSQL through a tcp rule, with the password handed
// over in a file, for nothing can be swapped in its protocol.
func TestPostgres(t *testing.T) {
	l := lab.New(t)
	pg := l.Postgres("192.168.50.20:5432")
	w := newWorldIn(t, l, "PG_SECRET="+pg.Password)
	w.lab.DNS.Names(map[string][]string{"db.internal.example.com": {"192.168.50.20"}})
	w.up("net", fmt.Sprintf(`egress:
  - {host: db.internal.example.com, port: 5432, protocol: tcp, networks: [192.168.50.0/24]}
environment: {PGPASSFILE: /.mcprun/secrets/pgpass}
credentials:
  pg: {source: "env:PG_SECRET", expose: {file: pgpass, text: "*:*:*:%s:{}"}, exposure: container}
`, pg.User))
	psql := "psql -At -h %s -U " + pg.User + " -d " + pg.Database + " -c 'select 6*7' 2>&1"
	if out := w.sh("net", fmt.Sprintf(psql, "db.internal.example.com")); !strings.HasPrefix(out, "42") {
		t.Errorf("psql: %s", out)
	}
	if out := w.sh("net", fmt.Sprintf(psql, "192.168.50.20")); strings.HasPrefix(out, "42") {
		t.Errorf("psql by an address that no rule names: %s", out)
	}
}

// A credential from a real OpenID provider: client credentials, and the token that
// they give exchanged for another.
func TestOpenIDProvider(t *testing.T) {
	l := lab.New(t)
	provider := l.OIDC(lab.Site, 9998) // beside the daemon, which is its client
	w := newWorldIn(t, l, "CLIENT_SECRET="+provider.ClientSecret, "EXCHANGE_SECRET="+provider.ExchangeSecret, "SUBJECT="+mustToken(t, l, provider))
	web := w.lab.HTTPS(public+":443", "api.example.com")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.up("net", fmt.Sprintf(`egress:
  - {host: api.example.com, inspect: true, methods: [GET], paths: ["/**"]}
credentials:
  client: {source: {oauth: {token-url: %q, client: %q, secret: "env:CLIENT_SECRET", scopes: [openid]}}, host: api.example.com, place: {header: Authorization, format: "Bearer {}"}, expose: {env: A}, shape: jwt}
  exchanged: {source: {exchange: {token-url: %q, client: %q, secret: "env:EXCHANGE_SECRET", subject: "env:SUBJECT", scopes: [openid]}}, host: api.example.com, place: {header: X-Token, format: "{}"}, expose: {env: B}, shape: jwt}
`, provider.TokenURL, provider.ClientID, provider.TokenURL, provider.ExchangeID))
	for _, row := range []struct{ name, args, header string }{
		{"client credentials", `-H "Authorization: Bearer $A"`, "Authorization"},
		{"token exchange", `-H "X-Token: $B"`, "X-Token"},
	} {
		out := w.sh("net", "curl -sS -m 10 -w ' [%{http_code}]' "+row.args+" https://api.example.com/echo")
		all := web.Requests()
		if !strings.Contains(out, "[200]") || len(all) == 0 {
			t.Errorf("%s: %s", row.name, out)
			continue
		}
		token := strings.TrimPrefix(all[len(all)-1].Header.Get(row.header), "Bearer ")
		placeholder := firstLine(w.sh("net", "printenv A B | head -1"))
		if len(token) < 20 || token == placeholder || strings.Contains(out, token) {
			t.Errorf("%s: what arrives is %.20q…; the container reads %s", row.name, token, out)
		}
	}
}

func mustToken(t *testing.T, l *lab.Lab, p *lab.OIDC) string {
	t.Helper()
	token, err := p.Token(p.ClientID, p.ClientSecret, map[string][]string{"grant_type": {"client_credentials"}, "scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Real MCP servers that go out: to what they may, and not elsewhere, and under the profile
// that was learned from them they do all that they do without. They share a daemon, since
// their images are big.
func TestRealServers(t *testing.T) {
	l := lab.New(t)
	pg := l.Postgres("192.168.50.20:5432")
	w := newWorldIn(t, l, "PG_SECRET="+pg.Password)
	web := l.HTTPS(public+":443", "api.example.com", "www.example.com")
	if !*update {
		t.Run("fetch", func(t *testing.T) { w.fetchServer(t, web) })
		t.Run("browser", func(t *testing.T) { w.browser(t, web) })
	}
	w.learnedProfiles(t, web, pg)
}

// fetchServer is made to fetch: an allowed page and not another.
func (w *world) fetchServer(t *testing.T, web *lab.Web) {
	web.Handle("/page", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, "<p>the allowed page</p>")
	}))
	trap := w.lab.TCPEcho(metadata + ":80")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	w.d.Up("fetch", "fetch", trusting+"profile: node\ntools: {"+w.tools("fetch", "fetch")+"}\negress:\n  - {host: api.example.com}\n")
	watch := w.lab.Capture()
	tool := "get_raw_text"
	out, errs, code := w.d.Run("call", "fetch", tool, `{"url":"https://api.example.com/page"}`)
	if code != 0 || !strings.Contains(out, "the allowed page") {
		t.Errorf("an allowed URL: %d %s%s", code, out, errs)
	}
	for _, url := range []string{"http://169.254.169.254/latest/meta-data/", "https://evil.example.org/", "http://127.0.0.1:80/"} {
		if out, errs, _ := w.d.Run("call", "fetch", tool, fmt.Sprintf(`{"url":%q}`, url)); strings.Contains(out, "page") || out+errs == "" {
			t.Errorf("%s: %s%s", url, out, errs)
		}
	}
	w.deniedTo("169.254.169.254", "egress.metadata")
	if len(trap.Conns()) > 0 {
		t.Error("the metadata address was reached")
	}
	w.nothingElse(watch, public)
	w.d.Must("stop", "fetch")
}

// tools lists a server's tools as grants, by locking it once.
func (w *world) tools(name, image string) string {
	w.t.Helper()
	w.d.Write(name+"-look.yaml", "version: 1\nname: "+name+"-look\nimage: "+imagePath(image)+"\nprofile: node\nresources: {memory: 1GiB, pids: 256}\n")
	out := w.d.Must("lock", "--json", name+"-look.yaml")
	var tools struct{ Tools []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &tools); err != nil || len(tools.Tools) == 0 {
		w.t.Fatalf("lock --json: %v %s", err, out)
	}
	var grants []string
	for _, tool := range tools.Tools {
		grants = append(grants, tool.Name+": {risk: low}")
	}
	return strings.Join(grants, ", ")
}

// browser opens an allowed page and not another. The marks are taken off its tools, so
// that it is the way out that says no, and not the gate, which holds what comes after a
// page of strangers.
func (w *world) browser(t *testing.T, web *lab.Web) {
	web.Handle("/page", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, `<title>the allowed page</title><h1>hello</h1><img src="https://tracker.example.org/pixel">`)
	}))
	w.lab.DNS.Names(map[string][]string{"www.example.com": {public}, "tracker.example.org": {otherPublic}})
	w.d.Up("web", "playwright", `profile: node
resources: {memory: 1GiB, pids: 256, cpu: 2}
timeouts: {start: 60s}
command: [/usr/local/bin/node, /app/node_modules/@playwright/mcp/cli.js, --config, /app/playwright.json, --ignore-https-errors]
tools: {browser_navigate: {risk: low, untrusted: false, private: false, sends: false}, browser_snapshot: {risk: low, untrusted: false}}
egress:
  - {host: www.example.com}
`)
	watch := w.lab.Capture()
	out, errs, _ := w.d.Run("call", "web", "browser_navigate", `{"url":"https://www.example.com/page"}`)
	if !strings.Contains(out, "the allowed page") {
		t.Errorf("the allowed page: %s%s; %s", out, errs, w.summary())
	}
	if out, _, _ := w.d.Run("call", "web", "browser_navigate", `{"url":"https://tracker.example.org/"}`); !strings.Contains(out, "ERR_NAME_NOT_RESOLVED") {
		t.Errorf("another page: %s", out)
	}
	w.nothingElse(watch, public)
	if !strings.Contains(w.summary(), "tracker.example.org egress.host") {
		t.Errorf("the picture from elsewhere is not seen: %s", w.summary())
	}
	w.d.Must("stop", "web")
}

// A git server clones over https from a real git host that wants a password: what
// the container holds is a placeholder, and the host gets the secret.
func TestGitServer(t *testing.T) {
	w := newWorld(t, "GIT_SECRET=git-secret-0a1b2c3d4e5f")
	web := w.lab.HTTPS(public+":443", "git.example.com")
	repo := w.lab.Git(web, lab.GitOptions{Name: "acme/app.git", User: "bot", Password: "git-secret-0a1b2c3d4e5f"})
	w.lab.DNS.Names(map[string][]string{"git.example.com": {public}, "evil.example.org": {otherPublic}})
	if err := os.Mkdir(filepath.Join(w.d.Dir, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.d.Write("home/.gitconfig", "[include]\n\tpath = /.mcprun/secrets/git\n")
	w.d.Up("git", "git", `profile: node
resources: {memory: 1GiB, pids: 128}
files: [{tmpfs: /workspace, size: 64MiB}, {from: ./home, to: /home/user}]
environment: {HOME: /home/user}
tools: {git_clone: {risk: low}, git_log: {risk: low}}
egress:
  - {host: git.example.com, inspect: true, methods: [GET, POST], paths: ["/git/acme/**"], tools: [git_clone]}
credentials:
  forge: {source: "env:GIT_SECRET", host: git.example.com, place: {basic: password}, tools: [git_clone], expose: {file: git, text: "[url \"https://bot:{}@git.example.com/\"] insteadOf = https://git.example.com/"}}
`)
	clone := func(url string) (string, int) {
		out, errs, code := w.d.Run("call", "git", "git_clone", fmt.Sprintf(`{"url":%q,"path":"/workspace/%d"}`, url, time.Now().UnixNano()))
		return out + errs, code
	}
	if out, code := clone("https://git.example.com" + repo.Path); code != 0 || !strings.Contains(out, "success") {
		t.Errorf("an allowed repository: %d %s; %s", code, out, w.summary())
	}
	if out, _ := clone("https://evil.example.org/acme/app.git"); !strings.Contains(out, "Could not resolve host") {
		t.Errorf("another host: %s", out)
	}
	w.deniedFor("evil.example.org", "egress.host", "git_clone c-")
}
