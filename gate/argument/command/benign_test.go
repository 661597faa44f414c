package command

import (
	"testing"

	"github.com/mcprun/mcprun/gate/argument"
)

// developer is a spec as somebody would write it for a tool that works in a
// checkout.
var developer = Spec{
	Programs: []Program{
		{Name: "ls"}, {Name: "cat"}, {Name: "head"}, {Name: "tail"}, {Name: "wc"}, {Name: "grep"}, {Name: "echo"}, {Name: "printf"}, {Name: "pwd"}, {Name: "cd"},
		{Name: "sort"}, {Name: "uniq"}, {Name: "cut"}, {Name: "tr"}, {Name: "diff"}, {Name: "date"}, {Name: "test"}, {Name: "["}, {Name: "true"}, {Name: "mkdir"}, {Name: "touch"},
		{Name: "cp"}, {Name: "mv"}, {Name: "rm"}, {Name: "du"}, {Name: "df"}, {Name: "stat"}, {Name: "file"}, {Name: "which"}, {Name: "command"}, {Name: "jq"}, {Name: "rg"}, {Name: "sed"}, {Name: "awk"},
		{Name: "find"}, {Name: "tar"}, {Name: "gzip"}, {Name: "tee"}, {Name: "chmod"}, {Name: "sleep"}, {Name: "timeout"}, {Name: "env"}, {Name: "time"}, {Name: "export"},
		{Name: "ps"}, {Name: "uname"}, {Name: "whoami"}, {Name: "id"}, {Name: "hostname"}, {Name: "basename"}, {Name: "dirname"}, {Name: "xargs", Subcommands: []string{"grep", "wc"}},
		{Name: "git", Subcommands: []string{"status", "log", "diff", "show", "branch", "add", "commit", "fetch", "pull", "push", "stash", "rev-parse", "ls-files", "blame", "switch", "checkout"}},
		{Name: "go", Subcommands: []string{"build", "test", "vet", "list", "env", "version", "mod tidy"}},
		{Name: "npm", Subcommands: []string{"test", "run build", "run lint", "ls", "ci"}},
		{Name: "make", Subcommands: []string{"test", "build", "lint"}},
		{Name: "python3", Opens: []string{"-m"}},
		{Name: "docker", Subcommands: []string{"ps", "images", "logs"}},
		{Name: "kubectl", Subcommands: []string{"get", "describe", "logs"}},
		{Name: "curl", Forbidden: []string{"-o", "-O", "--output"}},
		{Name: "cargo", Subcommands: []string{"build", "test", "check"}},
	},
	Pipes: true, Redirections: true, Sequences: true, Variables: true, Globs: true, Substitution: true,
}

var everyday = []string{
	"ls", "ls -la", "ls -la src/ tests/", "ls -d */", "ls --color=never 2>/dev/null", "cat README.md", "cat src/*.go", "head -n 20 main.go", "tail -f log/app.log", "wc -l *.md",
	`grep -rn "TODO" .`, `grep -E '^(func|type) ' main.go`, `grep -v '^#' config.ini | sort | uniq -c | sort -rn | head`, `echo "hello, world"`, `echo 'it costs $5'`, "pwd", "cd src && ls",
	"cd /srv/app; ls -l", "mkdir -p build/out", "touch notes.txt", "cp a.txt b.txt", "mv old.go new.go", "rm build/out.bin", "rm -rf build", "rm -rf ./node_modules dist", "rm -rf /tmp/work/cache",
	"git status", "git log --oneline -5", "git diff HEAD~1 -- main.go", "git -C sub status", "git --no-pager log -p", `git commit -m "gate: refuse what does not parse (#12)"`, "git show HEAD:main.go", "git add -A && git commit -m 'wip'",
	"git stash list", "git branch -a | grep feature", "git push origin main", "git checkout -b topic", "git log --author=me --since='2 weeks ago'", "git rev-parse --show-toplevel",
	"go test ./...", "go test -run TestX -count=1 ./gate/...", "go build -o bin/x ./cmd/x", "go vet ./... 2>&1 | tail -20", "go env GOPATH", "go mod tidy",
	"npm test", "npm run build", "npm run lint -- --fix", "npm ls --depth=0", "npm ci", "make test", "make -k lint build", "cargo build --release", "cargo test",
	"python3 script.py --verbose", "python3 -m pytest -q tests", "python3 --version", "find . -name '*.go' -type f", "find src -newer main.go -print", `find . -name "*.md" | xargs grep -l TODO`, "find . -type f | wc -l",
	"sed -n '10,20p' main.go", "sed 's/foo/bar/g' a.txt", "sed -i 's|http:|https:|' docs/index.md", "sed '/^$/d' a.txt", `awk '{print $1}' data.txt`, `awk -F: '{ s += $2 } END { print s }' data.txt`, `awk '$3 > 5 {print $1, $2}' data.txt`,
	"tar -czf out.tgz src", "tar xzf in.tgz -C build", "tar -tvf in.tar", "du -sh .", "df -h", "df -h /dev/sda1", "date +%Y-%m-%d", "uname -a", "whoami", "ps aux | grep node", "docker ps -a", "docker logs --tail 50 web",
	"kubectl get pods -n prod", "kubectl -n prod logs deploy/web", "curl -s https://api.example.com/v1/items | jq '.[0].name'", "curl -XPOST -H 'Content-Type: application/json' -d '{\"a\":1}' https://api.example.com/v1",
	"jq -r '.items[] | select(.a > 1) | .b' data.json", "test -f go.mod && echo yes", "[ -d src ] || mkdir src", "if [ -f a ]; then cat a; else echo none; fi", "for f in a b c; do wc -l $f; done", "for f in *.go; do wc -l \"$f\"; done",
	"name=world; echo \"hello $name\"", "export DEBUG=1; go test ./...", "DEBUG=1 go test ./...", "echo $(date)", `echo "built at $(date +%s)" > build/stamp`, "echo done >> log.txt", "cat < in.txt | sort > out.txt",
	"cat <<'EOF' > a.txt\nhello $x `y`\nEOF", "timeout 60 go test ./...", "env CGO_ENABLED=0 go build ./...", "time go build ./...", "command -v jq", "chmod +x hack/run.sh", "chmod 0755 hack/run.sh", "chmod -R u+rwX build",
	"(cd sub && ls)", "stat -c %s a", "diff -u a b || true", "rg -n 'fn main' --type rust", "echo größer > a.txt", "cat 日本語.txt", "ls ~/projects", "ls $HOME/projects", "grep -c . a.txt", "sort -t, -k2 data.csv", "tr a-z A-Z < a.txt", "cat .env.example", "cat .gitignore",
	"git diff HEAD@{1}", "git stash show stash@{0}", "echo a{b", "echo 5 \\* 3", "sleep 1", "ls\n", "\n ls \n",
}

func TestEverydayCommandsPass(t *testing.T) {
	for _, text := range everyday {
		if f := developer.Judge(text); f.Verdict != argument.Pass {
			t.Errorf("%q: %s %s (%s)", text, f.Verdict, f.Rule, f.Reason)
		}
	}
}
