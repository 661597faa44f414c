package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sampleLock = `{"lockfileVersion": 3, "packages": {
	"": {"dependencies": {"a": "1"}},
	"node_modules/a": {"integrity": "sha512-a", "dependencies": {"b": "1", "@s/c": "1"}},
	"node_modules/a/node_modules/b": {"integrity": "sha512-b1", "dependencies": {"d": "1"}},
	"node_modules/b": {"integrity": "sha512-b2"},
	"node_modules/@s/c": {"integrity": "sha512-c", "dependencies": {"b": "2", "d": "1"}, "optionalDependencies": {"d": "1", "gone": "1"}, "peerDependencies": {"p": "1"}},
	"node_modules/d": {"integrity": "sha512-d", "dependencies": {"a": "1"}},
	"node_modules/p": {"integrity": "sha512-p"},
	"node_modules/lost": {"integrity": "sha512-l", "dependencies": {"gone": "1"}}
}}`

func TestClosureOfNpm(t *testing.T) {
	l, err := parseLock([]byte(sampleLock))
	if err != nil {
		t.Fatal(err)
	}
	everything := []string{"node_modules/@s/c", "node_modules/a", "node_modules/a/node_modules/b", "node_modules/b", "node_modules/d", "node_modules/p"}
	for _, c := range []struct {
		name string
		want []string
		why  string
	}{
		{"a", everything, ""},
		{"@s/c", everything, ""}, // c needs d, d needs a
		{"b", []string{"node_modules/b"}, ""},
		{"lost", nil, "node_modules/lost needs gone, which the lock file does not have"},
		{"absent", nil, "absent is not in the lock file"},
	} {
		got, err := l.closure([]string{c.name})
		if diff := cmp.Diff(c.want, got); diff != "" || text(err) != c.why {
			t.Errorf("closure(%s): %q, want %q (-want +got):\n%s", c.name, text(err), c.why, diff)
		}
	}
}

func TestParseLockRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, why string }{
		{"an older version", `{"lockfileVersion": 2}`, "lock file version 2; only 3 is known"},
		{"a folder outside", `{"lockfileVersion": 3, "packages": {"node_modules/../../etc": {"integrity": "x"}}}`, `package folder "node_modules/../../etc" is not below node_modules`},
		{"a folder beside", `{"lockfileVersion": 3, "packages": {"local": {"integrity": "x"}}}`, `package folder "local" is not below node_modules`},
		{"no integrity", `{"lockfileVersion": 3, "packages": {"node_modules/a": {}}}`, "node_modules/a has no integrity"},
		{"bundled in nothing", `{"lockfileVersion": 3, "packages": {"node_modules/a": {"inBundle": true}}}`, "node_modules/a has no integrity"},
		{"bundled in what has no integrity", `{"lockfileVersion": 3, "packages": {"node_modules/a/node_modules/b": {"inBundle": true}}}`, "node_modules/a/node_modules/b has no integrity"},
		{"beside what is bundled", `{"lockfileVersion": 3, "packages": {"node_modules/a": {"integrity": "x"}, "node_modules/a/node_modules/b": {}}}`, "node_modules/a/node_modules/b has no integrity"},
	} {
		if _, err := parseLock([]byte(c.in)); text(err) != c.why {
			t.Errorf("%s: %q, want %q", c.name, text(err), c.why)
		}
	}
}

// npm's own package brings what it depends on, and the lock file lists it without
// an integrity of its own.
func TestParseLockTakesBundled(t *testing.T) {
	l, err := parseLock([]byte(`{"lockfileVersion": 3, "packages": {
		"node_modules/a": {"integrity": "x", "dependencies": {"b": "1"}},
		"node_modules/a/node_modules/b": {"inBundle": true, "dependencies": {"c": "1"}},
		"node_modules/a/node_modules/b/node_modules/c": {"inBundle": true}
	}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.closure([]string{"a"})
	want := []string{"node_modules/a", "node_modules/a/node_modules/b", "node_modules/a/node_modules/b/node_modules/c"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// The lock files must serve wherever npm gets its packages from.
func TestLockFilesNameNoRegistry(t *testing.T) {
	for _, folder := range []string{npmFolder, "integration/inspector"} {
		data, err := os.ReadFile(filepath.Join("../..", folder, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), `"resolved"`) {
			t.Errorf("%s: write it again with npm install --package-lock-only --omit-lockfile-registry-resolved", folder)
		}
		if _, err := parseLock(data); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

func TestAddNpmFolder(t *testing.T) {
	installed := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"node_modules/a/index.js": 0o600, "node_modules/a/cli.js": 0o700, "node_modules/a/index.d.ts": 0o644,
		"node_modules/a/index.js.map": 0o644, "node_modules/a/docs/x.md": 0o644, "node_modules/a/node_modules/b/index.js": 0o644,
	} {
		full := filepath.Join(installed, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	tr := tree{}
	if err := tr.addNpmFolder(installed, "node_modules/a"); err != nil {
		t.Fatal(err)
	}
	want := []string{"app 5 755", "app/node_modules 5 755", "app/node_modules/a 5 755", "app/node_modules/a/cli.js 0 755",
		"app/node_modules/a/docs 5 755", "app/node_modules/a/docs/x.md 0 644", "app/node_modules/a/index.js 0 644"}
	if diff := cmp.Diff(want, describe(tr)); diff != "" {
		t.Errorf("copied (-want +got):\n%s", diff)
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(sampleLock), "a")
	f.Add([]byte(`{"lockfileVersion": 3, "packages": {"node_modules/..": {"integrity": "x"}}}`), "..")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		l, err := parseLock(data)
		if err != nil {
			return
		}
		folders, err := l.closure([]string{name})
		if err != nil {
			return
		}
		for _, folder := range folders {
			if clean, err := cleanPath(folder); err != nil || clean != folder || !strings.HasPrefix(folder, "node_modules/") {
				t.Errorf("closure(%q) has %q", name, folder)
			}
		}
	})
}
