package lab

import (
	"crypto/subtle"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GitOptions say what a git host asks for.
type GitOptions struct {
	Name           string // of the repository, as in "acme/app.git"
	User, Password string // without them everybody may read and write
}

// Git is one repository behind a web server.
type Git struct {
	Path string // of its address, such as /git/acme/app.git
	Head string // its first commit, on the branch main, with the file README

	lab *Lab
	dir string
}

// Git makes a repository and serves it below /git/ of a web server with git's
// own program for that. It may be pushed to, up to the size that git sends in
// one piece (1 MiB).
func (l *Lab) Git(w *Web, o GitOptions) *Git {
	l.t.Helper()
	root := filepath.Join(l.Dir, "git")
	g := &Git{lab: l, dir: filepath.Join(root, filepath.FromSlash(o.Name)), Path: "/git/" + o.Name}
	l.must(os.MkdirAll(g.dir, 0o755), "making a repository")
	g.Git("init", "--bare", "--initial-branch=main")
	g.Git("config", "http.receivepack", "true")
	g.commit()
	programs := strings.TrimSpace(l.output(exec.Command("git", "--exec-path")))
	backend := &cgi.Handler{
		Path: filepath.Join(programs, "git-http-backend"), Root: "/git", Dir: l.Dir,
		Env: append(gitSettings(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1", "PATH="+os.Getenv("PATH")),
	}
	w.Handle(g.Path+"/", o.guard(backend))
	return g
}

// guard asks for the password.
func (o GitOptions) guard(page http.Handler) http.Handler {
	if o.User == "" {
		return page
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(o.User+"\x00"+o.Password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// gitSettings keep the machine's and the user's own settings out.
func gitSettings() []string {
	return []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=lab", "GIT_AUTHOR_EMAIL=lab@lab.invalid", "GIT_COMMITTER_NAME=lab", "GIT_COMMITTER_EMAIL=lab@lab.invalid"}
}

// Git runs git in the repository itself, on the server's side, and returns what
// it prints.
func (g *Git) Git(args ...string) string {
	g.lab.t.Helper()
	return g.run(args, "")
}

func (g *Git) run(args []string, stdin string) string {
	g.lab.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = g.dir, append(os.Environ(), gitSettings()...), strings.NewReader(stdin)
	return strings.TrimSpace(g.lab.output(cmd))
}

// commit makes the first commit without a work tree.
func (g *Git) commit() {
	g.lab.t.Helper()
	blob := g.run([]string{"hash-object", "-w", "--stdin"}, "hello from the lab\n")
	tree := g.run([]string{"mktree"}, "100644 blob "+blob+"\tREADME\n")
	g.Head = g.Git("commit-tree", "-m", "first", tree)
	g.Git("update-ref", "refs/heads/main", g.Head)
}

// output runs a program of this machine that the lab needs.
func (l *Lab) output(cmd *exec.Cmd) string {
	l.t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	return string(out)
}
