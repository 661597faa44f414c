package paths

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/gate/argument"
)

var (
	workspace = Spec{Under: []string{"/workspace", "/data/in"}}
	relative  = Spec{Under: []string{"/workspace", "/data/in"}, Relative: "/workspace/app"}
	globs     = Spec{Under: []string{"/workspace"}, Relative: "/workspace", Globs: true}
	shm       = Spec{Under: []string{"/dev/shm/app", "/workspace"}}
	held      = Spec{Under: []string{"/workspace"}, Sensitive: argument.Hold}
	open      = Spec{Under: []string{"/workspace", "/home/u/.ssh/keys"}, Sensitive: argument.Pass}
)

// row is a value with the verdict; rule "" is a pass.
type row struct {
	spec  Spec
	value string
	rule  string
}

var rows = []row{
	// Plain.
	{workspace, "/workspace", ""},
	{workspace, "/workspace/", ""},
	{workspace, "/workspace/a.txt", ""},
	{workspace, "/workspace/..hidden/file..txt", ""},
	{workspace, "/workspace/...a/b", ""},
	{workspace, "/workspace/.hidden", ""},
	{workspace, "/workspace/.gitignore", ""},
	{workspace, "/workspace/.github/workflows/ci.yml", ""},
	{workspace, "/workspace/.env.example", ""},
	{workspace, "/workspace/env/.environment", ""},
	{workspace, "/workspace//a///b.txt", ""},
	{workspace, "/workspace/./a/./b", ""},
	{workspace, "/workspace/a/../b", ""},
	{workspace, "/workspace/a/b/../../c", ""},
	{workspace, "/data/in/x.csv", ""},
	{workspace, "/workspace/with space/b c.txt", ""},
	{workspace, "/workspace/-rf", ""},
	{workspace, "/workspace/~/x", ""},
	{workspace, "/workspace/a~", ""},
	{workspace, "/workspace/12:30.log", ""},
	{workspace, "/workspace/100% done.txt", ""},
	{workspace, "/workspace/100%25.txt", ""},
	{workspace, "/workspace/a%20b.txt", ""},
	{workspace, "/workspace/price $5 & more.txt", ""},
	{workspace, "/workspace/app/[id]/page.tsx", ""},
	{workspace, "/workspace/app/(group)/page.tsx", ""},
	{workspace, "/workspace/@types/node/index.d.ts", ""},
	{workspace, "/workspace/c++/a+b=c,d & f!.txt", ""},
	{workspace, "/workspace/it's \"quoted\".md", ""},
	{workspace, "/workspace/München/straße.txt", ""},
	{workspace, "/workspace/日本語/ファイル.txt", ""},
	{workspace, "/workspace/отчёт.docx", ""},
	{workspace, "/workspace/ملف.txt", ""},
	{workspace, "/workspace/🎉.md", ""},
	{workspace, "/workspace/title：subtitle.mp4", ""},
	{workspace, "/workspace/proc/self/x", ""},
	{workspace, "/workspace/" + strings.Repeat("n", 255), ""},
	{relative, ".", ""},
	{relative, "./", ""},
	{relative, "src/main.go", ""},
	{relative, "./-rf", ""},
	{relative, "src/../go.mod", ""},
	{relative, "@types/node", ""},
	{relative, "_a/b", ""},
	{relative, "./12:30.log", ""},
	{globs, "**/*.go", ""},
	{globs, "/workspace/*.{c,h}", ""},
	{globs, "{src,test}/**", ""},
	{globs, "a?.txt", ""},
	{globs, "src/{x,y{c,d}}/x", ""},
	{shm, "/dev/shm/app/x", ""},
	{open, "/workspace/.env", ""},
	{open, "/home/u/.ssh/keys/a", ""},
	{Spec{Under: []string{"/home/u/.ssh"}}, "/home/u/.ssh/config.d/x", ""},

	// Outside.
	{workspace, "/", "path.outside"},
	{workspace, "/etc/passwd", "path.outside"},
	{workspace, "/root/.ssh/authorized_keys", "path.outside"},
	{workspace, "/workspace-evil/secret", "path.outside"},
	{workspace, "/workspaceevil", "path.outside"},
	{workspace, "/workspac", "path.outside"},
	{workspace, "/WORKSPACE/a", "path.outside"},
	{workspace, "/data", "path.outside"},
	{workspace, "/data/input/x", "path.outside"},
	{workspace, "/etc/./passwd", "path.outside"},
	{workspace, "/run/docker.sock", "path.outside"},
	{Spec{}, "/workspace/a", "path.outside"},
	{Spec{Under: []string{""}}, "/etc/passwd", "path.outside"},
	{Spec{Under: []string{"/"}}, "/etc/passwd", "path.outside"},
	{Spec{Under: []string{"/workspace/"}}, "/workspace/a", "path.outside"},
	{Spec{Under: []string{"workspace"}}, "/workspace/a", "path.outside"},
	{Spec{Under: []string{"/a/../etc"}}, "/etc/passwd", "path.outside"},

	// Traversal.
	{workspace, "/workspace/../etc/shadow", "path.traversal"},
	{workspace, "/workspace/..", "path.traversal"},
	{workspace, "/workspace/./.././root/.ssh/id_rsa", "path.traversal"},
	{workspace, "/workspace/a/../../etc", "path.traversal"},
	{workspace, "/workspace/../workspace/a", "path.traversal"},
	{workspace, "/etc/../workspace/a", "path.traversal"},
	{workspace, "/../../workspace/a", "path.traversal"},
	{workspace, "/workspace/../data/in/x", "path.traversal"},
	{workspace, "/workspace//..//etc", "path.traversal"},
	{relative, "..", "path.traversal"},
	{relative, "../x", "path.traversal"},
	{relative, "../app2/x", "path.traversal"},
	{relative, "src/../../../etc/passwd", "path.traversal"},
	{relative, "../../../../etc/passwd", "path.traversal"},
	{relative, "./../x", "path.traversal"},
	{relative, "....//....//etc/passwd", "path.space"},
	{relative, ".../x", "path.space"},
	{workspace, "/workspace/.. /.. /etc/passwd", "path.space"},

	// Relative.
	{workspace, ".", "path.relative"},
	{workspace, "..", "path.relative"},
	{workspace, "a.txt", "path.relative"},
	{workspace, "etc/passwd", "path.relative"},
	{workspace, "./workspace/a", "path.relative"},
	{Spec{Relative: "/"}, "etc/passwd", "path.relative"},
	{Spec{Relative: "/workspace"}, "a", "path.outside"},

	// Kernel trees.
	{workspace, "/proc/self/root/etc/shadow", "path.kernel"},
	{workspace, "/proc/1/environ", "path.kernel"},
	{workspace, "/dev/stdin", "path.kernel"},
	{workspace, "/dev", "path.kernel"},
	{workspace, "/sys/kernel/uevent_helper", "path.kernel"},
	{workspace, "//proc/self/environ", "path.scheme"},
	{workspace, "/./proc/self/environ", "path.kernel"},
	{shm, "/dev/shm/other", "path.kernel"},
	{shm, "/dev/shm/app/../../mem", "path.traversal"},
	{Spec{Under: []string{"/"}}, "/proc/self/mem", "path.kernel"},

	// Characters.
	{workspace, "", "path.empty"},
	{workspace, "/workspace\\..\\..\\etc\\passwd", "path.backslash"},
	{workspace, "/workspace/..\\..\\etc", "path.backslash"},
	{workspace, `/workspace/a\ b`, "path.backslash"},
	{relative, `\\host\share`, "path.backslash"},
	{workspace, "/workspace/a.txt\x00/../../etc/passwd", "path.control"},
	{workspace, "/workspace/a.txt\x00.png", "path.control"},
	{workspace, "/workspace/a\nb", "path.control"},
	{workspace, "/workspace/a\tb", "path.control"},
	{workspace, "/workspace/a\x7f", "path.control"},
	{workspace, "/workspace/a\x1b[2J", "path.control"},
	{workspace, "/workspace/a\u0085b", "path.invisible"},
	{workspace, "/workspace/.\u200b./etc", "path.invisible"},
	{workspace, "/workspace/\u202egpj.exe", "path.invisible"},
	{workspace, "/workspace/a\u00adb", "path.invisible"},
	{workspace, "/workspace/\ufeffa", "path.invisible"},
	{workspace, "/workspace/.gi\u200ct/config", "path.invisible"},
	{workspace, "/workspace/\U000E0041", "path.invisible"},
	{workspace, "/workspace/\xc0\xae\xc0\xae/etc", "path.utf8"},
	{workspace, "/workspace/\xff", "path.utf8"},
	{workspace, "/workspace/．．/．．/etc/passwd", "path.lookalike"},
	{workspace, "/workspace/..／..／etc", "path.lookalike"},
	{workspace, "/workspace/..∕..∕etc", "path.lookalike"},
	{workspace, "/workspace/..⁄..⁄etc", "path.lookalike"},
	{workspace, "/workspace/..＼..＼etc", "path.lookalike"},
	{workspace, "/workspace/..∖etc", "path.lookalike"},
	{workspace, "/workspace/‥/etc", "path.lookalike"},
	{workspace, "/workspace/․․/etc", "path.lookalike"},
	{workspace, "/workspace/…/etc", "path.lookalike"},
	{workspace, "/workspace/＄HOME", "path.lookalike"},
	{workspace, "/workspace/％2e", "path.lookalike"},
	{workspace, "/workspace/℀", "path.lookalike"},
	{relative, "～/.ssh/id_rsa", "path.lookalike"},
	{workspace, "/workspace/u\u0308ber", "path.normal"},
	{workspace, "/workspace/\u212Aelvin", "path.normal"},
	{workspace, "/etc/passwd ", "path.space"},
	{workspace, " /workspace/a", "path.space"},
	{workspace, "/workspace/a\u00a0", "path.space"},
	{workspace, "/workspace/a.", "path.space"},
	{workspace, "/workspace/a /b", "path.space"},
	{workspace, "/workspace/.git./config", "path.space"},

	// Encodings.
	{workspace, "/workspace/..%2f..%2fetc%2fpasswd", "path.encoded"},
	{workspace, "/workspace/%2e%2e/etc", "path.encoded"},
	{workspace, "/workspace/%2E%2E/etc", "path.encoded"},
	{workspace, "/workspace/%252e%252e%252fetc", "path.encoded"},
	{workspace, "/workspace/%25252e%25252e", "path.encoded"},
	{workspace, "/workspace/..%5c..%5cetc", "path.encoded"},
	{workspace, "/workspace/a%00.png", "path.encoded"},
	{workspace, "/workspace/a%0d%0ab", "path.encoded"},
	{workspace, "/workspace/%c0%ae%c0%ae", "path.encoded"},
	{workspace, "/workspace/%ef%bc%8e%ef%bc%8e", "path.encoded"},
	{workspace, "/workspace/%u002e%u002e/etc", "path.encoded"},
	{workspace, "/workspace/..%u2215etc", "path.encoded"},
	{workspace, "/workspace/%7eroot", "path.encoded"},
	{workspace, "/workspace/%24HOME", "path.encoded"},
	{workspace, "/workspace/%2525252541", "path.encoded"},
	{relative, "%2e%2e/%2e%2e/etc/passwd", "path.encoded"},
	{relative, "%2fetc%2fpasswd", "path.encoded"},

	// Meanings.
	{workspace, "~/.ssh/id_rsa", "path.home"},
	{relative, "~root/.bashrc", "path.home"},
	{relative, "~", "path.home"},
	{workspace, "$HOME/.ssh/id_rsa", "path.expansion"},
	{workspace, "/workspace/$HOME", "path.expansion"},
	{workspace, "/workspace/${IFS}x", "path.expansion"},
	{workspace, "/workspace/$(id)", "path.expansion"},
	{workspace, "/workspace/`id`", "path.expansion"},
	{relative, "%USERPROFILE%/x", "path.expansion"},
	{relative, "|id", "path.shell"},
	{relative, "id|", "path.shell"},
	{relative, "id|/", "path.shell"},
	{workspace, "/workspace/..;/etc/passwd", "path.shell"},
	{workspace, "/workspace/a; id", "path.shell"},
	{workspace, "/workspace/a&&id", "path.shell"},
	{workspace, "/workspace/a>b", "path.shell"},
	{workspace, "/workspace/&#46;&#46;/etc", "path.encoded"},
	{workspace, "/workspace/%%32%65%%32%65/etc", "path.encoded"},
	// Lists of published traversals have escapes inside escapes, and slashes that lost
	// their percent sign to a filter; both passed as names below the root.
	{workspace, "/workspace/%%32%%65%%32%%65/boot.ini", "path.encoded"},
	{workspace, "/workspace/..2f..2fetc2fpasswd", "path.encoded"},
	{workspace, "/workspace/..5C..5Cboot.ini", "path.encoded"},
	{workspace, "/workspace/..c0af..c0afetc", "path.encoded"},
	{workspace, "/workspace/..2023/report.txt", ""},
	// Braces without a choice are how templates name folders, and no pattern.
	{workspace, "/workspace/{{cookiecutter.name}}/setup.py", ""},
	{workspace, "/workspace/{a,b}.txt", "path.glob"},
	{workspace, "/workspace/{.}{.}/etc", "path.glob"},
	{workspace, "/workspace/{..}/etc", "path.glob"},
	{workspace, "/workspace/a}b{", "path.glob"},
	{workspace, "/workspace/.{ssh}/id", "path.sensitive"},
	{workspace, "/workspace/..%25%35%63etc", "path.encoded"},
	{workspace, "file:///etc/passwd", "path.scheme"},
	{relative, "file:///workspace/a", "path.scheme"},
	{relative, "file:/etc/passwd", "path.scheme"},
	{relative, "FILE:///etc/passwd", "path.scheme"},
	{relative, "php://filter/resource=a", "path.scheme"},
	{relative, "http://127.0.0.1/", "path.scheme"},
	{relative, "C:/Windows", "path.scheme"},
	{relative, "host:etc/passwd", "path.scheme"},
	{relative, ":(top)x", "path.scheme"},
	{relative, "file：///etc/passwd", "path.scheme"},
	{relative, "//host/share", "path.scheme"},
	{relative, "--help", "path.option"},
	{relative, "-rf", "path.option"},
	{relative, "-", "path.option"},
	{workspace, "--git-dir=/etc", "path.option"},
	{workspace, "/workspace/*", "path.glob"},
	{workspace, "/workspace/a?.txt", "path.glob"},
	{workspace, "/workspace/{a,../../etc/passwd}", "path.glob"},
	{globs, "/workspace/{a,../../etc/passwd}", "path.glob"},
	{globs, "{.,x}{.,y}/etc", "path.glob"},
	{globs, ".{.,x}/etc", "path.glob"},
	{globs, "@(..)/etc", "path.glob"},
	{workspace, "/workspace/+(..)/etc", "path.glob"},
	{globs, "a}b{", "path.glob"},
	{globs, "../*", "path.traversal"},
	{globs, "/etc/*", "path.outside"},

	// Bounds.
	{workspace, "/workspace/" + strings.Repeat("n", 256), "path.long"},
	{workspace, "/workspace" + strings.Repeat("/a", 600), "path.long"},

	// Sensitive names.
	{workspace, "/workspace/.git/hooks/pre-commit", "path.sensitive"},
	{workspace, "/workspace/.git/config", "path.sensitive"},
	{workspace, "/workspace/.git", "path.sensitive"},
	{workspace, "/workspace/.GIT/config", "path.sensitive"},
	{workspace, "/workspace/GIT~1/config", "path.sensitive"},
	{workspace, "/workspace/sub/.ssh/config", "path.sensitive"},
	{workspace, "/workspace/.env", "path.sensitive"},
	{workspace, "/workspace/.env.production", "path.sensitive"},
	{workspace, "/workspace/authorized_keys", "path.sensitive"},
	{workspace, "/workspace/x/../.bashrc", "path.sensitive"},
	{workspace, "/workspace/.vscode/tasks.json", "path.sensitive"},
	{workspace, "/workspace/.ss[h]/id", "path.sensitive"},
	{relative, ".git/hooks/post-checkout", "path.sensitive"},
	{globs, ".ss?/id", "path.sensitive"},
	{globs, ".e*", "path.sensitive"},
	{globs, ".s{sh,x}/*", "path.sensitive"},
	{held, "/workspace/.git/hooks/pre-commit", "path.sensitive"},
}

// ordinary are paths below /workspace as projects and people have them.
var ordinary = []string{
	"README.md", "go.mod", "package-lock.json", "Makefile", ".editorconfig", ".gitignore", ".gitattributes", ".dockerignore", ".eslintrc.cjs", ".prettierrc",
	".github/CODEOWNERS", ".github/workflows/release.yml", ".gitlab-ci.yml", ".circleci/config.yml", ".devcontainer/devcontainer.json", ".vscode/extensions.json",
	".env.sample", ".well-known/security.txt", ".nvmrc", ".python-version", ".tool-versions", "cmd/mcprun/main.go", "internal/x_test.go", "src/index.d.ts",
	"src/components/Button/Button.stories.tsx", "app/[...slug]/page.tsx", "app/[[...all]]/page.tsx", "app/@modal/(.)photo/page.tsx", "pages/_app.js", "__init__.py",
	"node_modules/@babel/core/lib/index.js", "node_modules/.bin/tsc", "vendor/github.com/a/b@v1.2.3/c.go", "target/debug/deps/lib-1a2b3c.rlib", "a/b/c/d/e/f/g/h/i/j",
	"data/2026-11-26T01:10:00Z.json", "data/part-00000-of-00010.parquet", "data/year=2026/month=11/x.csv", "img/photo@2x.png", "img/IMG_0001 (1).JPG", "doc/Tom & Jerry.txt",
	"doc/it's here.md", "doc/50% off!.txt", "doc/C#.md", "doc/notes, draft 2.txt", "doc/Ångström.pdf", "doc/résumé final.docx", "doc/简历.pdf", "doc/이력서.pdf", "doc/नमस्ते.txt",
	"doc/«цитата» – тест.txt", "doc/“quoted” name.txt", "doc/a—b.txt", "tmp/file.tar.gz", "tmp/core.1234", "tmp/.#lock", "tmp/#auto#", "tmp/x~", "etc/passwd", "home/.config/app/x.toml",
}

func TestOrdinary(t *testing.T) {
	s := Spec{Under: []string{"/workspace"}, Relative: "/workspace"}
	for _, value := range ordinary {
		for _, v := range []string{value, "./" + value, "/workspace/" + value} {
			if c, f := s.Canonical(v); f.Verdict != argument.Pass || c != "/workspace/"+value {
				t.Errorf("%+q: %s %s %s", v, f.Verdict, f.Rule, f.Reason)
			}
		}
	}
	benign, refused := len(ordinary), 0
	for _, r := range rows {
		if r.rule == "" {
			benign++
		} else {
			refused++
		}
	}
	if benign*2 < refused {
		t.Errorf("%d benign rows beside %d", benign, refused)
	}
}

var _ argument.Check = Spec{}

func TestJudge(t *testing.T) {
	for _, r := range rows {
		got := r.spec.Judge(r.value)
		want := argument.Refuse
		switch {
		case r.rule == "":
			want = argument.Pass
		case r.rule == "path.sensitive":
			want = r.spec.Sensitive
		}
		if got.Verdict != want || got.Rule != r.rule {
			t.Errorf("%+q: %s %q (%s), want %s %q", r.value, got.Verdict, got.Rule, got.Reason, want, r.rule)
		}
		if got.Verdict != argument.Pass && got.Reason == "" {
			t.Errorf("%+q: no reason", r.value)
		}
	}
	if len(rows) < 100 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		spec        Spec
		value, want string
	}{
		{workspace, "/workspace//a/./b/../c/", "/workspace/a/c"},
		{relative, ".", "/workspace/app"},
		{relative, "x/./y", "/workspace/app/x/y"},
		{held, "/workspace/.env", "/workspace/.env"},
		{workspace, "/workspace/.env", ""},
		{workspace, "/etc", ""},
	} {
		if got, f := c.spec.Canonical(c.value); got != c.want {
			t.Errorf("%s: %q, want %q (%s)", c.value, got, c.want, f.Reason)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, s := range []Spec{workspace, relative, globs, shm, held, open} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "no root"},
		{Spec{Under: []string{"/"}}, "every path"},
		{Spec{Under: []string{""}}, "not absolute"},
		{Spec{Under: []string{"workspace"}}, "not absolute"},
		{Spec{Under: []string{"/workspace/"}}, "not clean"},
		{Spec{Under: []string{"/a/../b"}}, "not clean"},
		{Spec{Under: []string{"/a*"}}, "pattern"},
		{Spec{Under: []string{"/$HOME"}}, "variable"},
		{Spec{Under: make([]string, 65)}, "at most"},
		{Spec{Under: []string{"/a"}, Relative: "/b"}, "below none"},
		{Spec{Under: []string{"/a"}, Relative: "b"}, "not absolute"},
		{Spec{Under: []string{"/a"}, Sensitive: 9}, "unknown verdict"},
	} {
		if err := c.spec.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.spec, err, c.want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, r := range rows {
		f.Add(r.value)
	}
	wide := Spec{Under: []string{"/workspace", "/data/in"}, Relative: "/workspace/app", Globs: true, Sensitive: argument.Pass}
	narrow := []Spec{
		{}, {Under: wide.Under}, {Under: wide.Under, Relative: wide.Relative}, {Under: wide.Under[:1], Relative: wide.Relative, Globs: true},
		{Under: wide.Under, Relative: wide.Relative, Globs: true, Sensitive: argument.Hold},
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, finding := wide.Canonical(value)
		for _, n := range narrow {
			if n.Judge(value).Verdict > finding.Verdict {
				t.Errorf("%+q: %+v passes more than %+v", value, n, wide)
			}
		}
		if finding.Verdict != argument.Pass {
			return
		}
		again, f2 := wide.Canonical(got)
		if again != got || f2.Verdict != argument.Pass {
			t.Errorf("%+q becomes %+q and then %+q (%s)", value, got, again, f2.Reason)
		}
		full := value
		if value[0] != '/' {
			full = path.Join(wide.Relative, value)
		}
		if path.Clean(full) != got || !belowAny(got, wide.Under) {
			t.Errorf("%+q is judged as %+q, others read %+q", value, got, path.Clean(full))
		}
		if value[0] != '/' && !below(path.Join("/workspace/app", value), "/workspace/app") {
			t.Errorf("%+q leaves its folder", value)
		}
	})
}

// Nothing that a caller sends takes long, whatever the spec.
func TestBounded(t *testing.T) {
	for _, unit := range []string{"/..", "/a", "%25", "{a,", "[", "é", "．", "$a", "/.env[", "*?", " "} {
		start := time.Now()
		for _, s := range []Spec{workspace, relative, globs} {
			s.Judge("/workspace/" + strings.Repeat(unit, 1000/len(unit)))
			s.Judge("/workspace/" + strings.Repeat(unit, 1<<20/len(unit)))
		}
		if took := time.Since(start); took > 250*time.Millisecond {
			t.Errorf("%q: %v", unit, took)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name  string
		spec  Spec
		value string
	}{
		{"plain", workspace, "/workspace/src/internal/server/handler.go"},
		{"dots", workspace, "/workspace/src/../src/./internal/server/handler.go"},
		{"relative", relative, "src/internal/server/handler.go"},
		{"wide", workspace, "/workspace/Ünïcode/straße/日本語.txt"},
		{"glob", globs, "src/**/*.{ts,tsx}"},
		{"refused", workspace, "/workspace/../etc/passwd"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.spec.Judge(c.value)
			}
		})
	}
}
