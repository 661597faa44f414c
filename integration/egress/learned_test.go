package egress

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/lab"
)

var update = flag.Bool("update", false, "learn the profiles in docs/profiles anew")

// learnRuns is how often a server is watched, as in integration/servers.
const learnRuns = 3

// call is one tool with arguments, and what is in its answer; fails says why that is an
// error.
type call struct{ tool, args, want, fails string }

// learnedServers are servers that go out, each with a call of every tool, and one in
// Python. most is what its profile may allow: a browser needs more than others.
var learnedServers = []struct {
	name, builtin, yaml string
	most                int
	calls               []call
}{
	{"fetch", "node", trusting + "egress: [{host: www.example.com}]\n", 120, []call{
		{"get_raw_text", `{"url":"https://www.example.com/page"}`, "the page", ""},
		// Its own browser is not in the image, so that these answer with nothing.
		{"get_rendered_html", `{"url":"https://www.example.com/page"}`, "", ""},
		{"get_markdown", `{"url":"https://www.example.com/page"}`, "", ""},
		{"get_markdown_summary", `{"url":"https://www.example.com/page"}`, "", ""},
	}},
	{"playwright", "node", `resources: {memory: 1GiB, pids: 256, cpu: 2}
timeouts: {start: 60s}
command: [/usr/local/bin/node, /app/node_modules/@playwright/mcp/cli.js, --config, /app/playwright.json, --ignore-https-errors]
egress: [{host: www.example.com}]
`, 160, browserCalls},
	{"postgres", "node", `command: [/usr/local/bin/node, /app/node_modules/@modelcontextprotocol/server-postgres/dist/index.js, "postgresql://lab@db.internal.example.com:5432/postgres"]
egress: [{host: db.internal.example.com, port: 5432, protocol: tcp, networks: [192.168.50.0/24]}]
environment: {PGPASSFILE: /.mcprun/secrets/pgpass}
credentials:
  pg: {source: "env:PG_SECRET", expose: {file: pgpass, text: "*:*:*:lab:{}"}, exposure: container}
`, 120, []call{
		{"query", `{"sql":"select name, note from rivers order by name"}`, "Elbe", ""},
		{"query", `{"sql":"select no_such_column from rivers"}`, "no_such_column", "the database refuses it"},
	}},
	{"python", "python", "", 120, []call{{"echo", `{"text":"a\u00e9 \ud83d\ude00"}`, "aé 😀", ""}}},
}

// formPage has what the tools of a browser act on.
const formPage = `<!doctype html><title>the form</title><h1>hello</h1>
<input id=name><input id=agree type=checkbox><select id=pick><option>one<option>two</select><input id=file type=file>
<button id=ask onclick="alert('sure?')">ask</button><div id=from draggable=true>from</div><div id=to ondragover="event.preventDefault()">to</div>
<script>console.log("loaded"); fetch("/echo", {method: "POST", body: "x"}); new Worker(URL.createObjectURL(new Blob(["postMessage(1)"])))</script>`

var browserCalls = []call{
	{"browser_navigate", `{"url":"https://www.example.com/form"}`, "the form", ""},
	{"browser_resize", `{"width":800,"height":600}`, "", ""},
	{"browser_snapshot", `{}`, "hello", ""},
	{"browser_find", `{"text":"hello"}`, "hello", ""},
	{"browser_wait_for", `{"text":"hello"}`, "", ""},
	{"browser_console_messages", `{"level":"info"}`, "loaded", ""},
	{"browser_network_requests", `{"static":true}`, "/echo", ""},
	{"browser_network_request", `{"index":1}`, "", ""},
	{"browser_emulate_media", `{"colorScheme":"dark"}`, "", ""},
	{"browser_evaluate", `{"function":"() => document.title"}`, "the form", ""},
	{"browser_run_code_unsafe", `{"code":"async (page) => await page.title()"}`, "the form", ""},
	{"browser_fill_form", `{"fields":[{"target":"#agree","name":"agree","type":"checkbox","value":"true"}]}`, "", ""},
	{"browser_type", `{"target":"#name","text":"Ada"}`, "", ""},
	{"browser_press_key", `{"key":"Tab"}`, "", ""},
	{"browser_select_option", `{"target":"#pick","values":["two"]}`, "", ""},
	{"browser_hover", `{"target":"#to"}`, "", ""},
	{"browser_drag", `{"startTarget":"#from","endTarget":"#to"}`, "", ""},
	{"browser_drop", `{"target":"#to","data":{"text/plain":"dropped"}}`, "", ""},
	{"browser_take_screenshot", `{"scale":"css"}`, "png", ""},
	{"browser_tabs", `{"action":"list"}`, "the form", ""},
	{"browser_click", `{"target":"#ask"}`, "", ""},
	{"browser_handle_dialog", `{"accept":true}`, "", ""},
	{"browser_click", `{"target":"#file"}`, "", ""},
	{"browser_file_upload", `{}`, "", ""},
	{"browser_navigate", `{"url":"https://www.example.com/page"}`, "a page", ""},
	{"browser_navigate_back", `{}`, "the form", ""},
	{"browser_close", `{}`, "", ""},
}

// learnedProfiles holds that each does all that it does without under the profile that was
// learned from it, as for those of integration/servers.
func (w *world) learnedProfiles(t *testing.T, web *lab.Web, pg *lab.Postgres) {
	pg.SQL("create table rivers (name text, note text); insert into rivers values ('Elbe', 'long'), ('Oder', 'border')")
	for path, text := range map[string]string{"/page": "<title>a page</title><p>the page</p>", "/form": formPage} {
		web.Handle(path, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			fmt.Fprint(rw, text)
		}))
	}
	w.lab.DNS.Names(map[string][]string{"www.example.com": {public}, "db.internal.example.com": {"192.168.50.20"}})
	for _, s := range learnedServers {
		t.Run("learned/"+s.name, func(t *testing.T) {
			file := filepath.Join("../../docs/profiles", s.name+".yaml")
			if *update {
				w.learn(t, s.name, s.yaml, s.builtin, s.calls, file)
			}
			w.d.Write(s.name+"-profile.yaml", harness.Learned(t, file, s.builtin, s.most))
			rounds := 1
			if *update {
				rounds = learnRuns
			}
			for range rounds {
				w.allCalls(t, s.name, granting("./"+s.name+"-profile.yaml", s.yaml, s.calls), s.calls)
			}
			out, _, _ := w.d.Run("profile", "denials", s.name)
			t.Logf("refused:\n%s", out)
		})
	}
}

// granting is the server.yaml of a server with every tool granted and the marks taken off:
// it is the profile that is tried here, and not the gate.
func granting(profile, yaml string, calls []call) string {
	var b strings.Builder
	fmt.Fprintf(&b, "profile: %s\n%slimits: {rate: none, repeats: none}\ntools:\n", profile, yaml)
	seen := map[string]bool{}
	for _, c := range calls {
		if !seen[c.tool] {
			fmt.Fprintf(&b, "  %s: {risk: low, untrusted: false, private: false, sends: false, arguments: {\"*\": {unchecked: tests}}}\n", c.tool)
		}
		seen[c.tool] = true
	}
	return b.String()
}

// allCalls starts a server under its profile, and makes each of its calls.
func (w *world) allCalls(t *testing.T, name, yaml string, calls []call) {
	t.Helper()
	w.d.Up(name, name, yaml)
	for _, c := range calls {
		out, errs, code := w.d.Run("call", name, c.tool, c.args)
		if (code != 0) != (c.fails != "") || !strings.Contains(out+errs, c.want) {
			denials, _, _ := w.d.Run("profile", "denials", name)
			t.Errorf("%s %s: exit code %d, expected to fail: %q, to say %q: %.600s%.600s\n%s", c.tool, c.args, code, c.fails, c.want, out, errs, denials)
		}
	}
	w.d.Must("stop", name)
}

// learn watches a server at all of its calls, some times over, and keeps the profile.
func (w *world) learn(t *testing.T, name, yaml, builtin string, calls []call, to string) {
	t.Helper()
	var lines strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&lines, `{"tool":%q,"arguments":%s}`+"\n", c.tool, c.args)
	}
	w.d.Write(name+"-calls.jsonl", lines.String())
	w.d.Write(name+".yaml", fmt.Sprintf("version: 1\nname: %s\nimage: %s\n%s", name, harness.Image(name), granting(builtin, yaml, calls)))
	w.d.Must("lock", name+".yaml")
	for range learnRuns {
		t.Log(w.d.Must("learn", name+".yaml", "--internet", "real", "--calls", name+"-calls.jsonl", "--out", name+"-learned.yaml"))
	}
	raw, err := os.ReadFile(filepath.Join(w.d.Dir, name+"-learned.yaml"))
	if err == nil {
		err = os.WriteFile(to, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
