package mcprun_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// belongsToTests are the folders of the tests and of the build. They may import
// anything; no program of ours may import them.
var belongsToTests = []string{"integration", "hack", "internal/testenv", "manifest/manifesttest", "approval/passkey/passkeytest"}

func isForTests(dir string) bool {
	return slices.ContainsFunc(belongsToTests, func(o string) bool { return dir == o || strings.HasPrefix(dir, o+"/") })
}

// A package in no level could import anything: where it stands must be decided.
func TestEveryPackageStandsInALevel(t *testing.T) {
	byFolder, _ := imports(t)
	for dir := range byFolder {
		if _, known := levels[dir]; !known && !isForTests(dir) {
			t.Errorf("%s is in no level of the table", dir)
		}
	}
}

func TestProgramsImportNothingOfTheTests(t *testing.T) {
	byFolder, _ := imports(t)
	seen := 0
	for dir, list := range byFolder {
		for _, p := range list {
			to, ours := strings.CutPrefix(p, module+"/")
			if !ours || !isForTests(to) {
				continue
			}
			if seen++; !isForTests(dir) {
				t.Errorf("%s imports %s, which belongs to the tests", dir, to)
			}
		}
	}
	if seen == 0 {
		t.Error("the walk does not see the imports it is to judge")
	}
}

// mcprun-init stands in every container, in the server's reach: it brings
// nothing of ours along.
func TestInitImportsNothingOfOurs(t *testing.T) {
	byFolder, _ := imports(t)
	for _, p := range byFolder["cmd/mcprun-init"] {
		if strings.HasPrefix(p, module) {
			t.Errorf("cmd/mcprun-init imports %s", p)
		}
	}
}

// runc is started as a program; its library would bring its set-up of
// containers into the daemon's own process.
func TestRuncIsNoLibrary(t *testing.T) {
	byFolder, _ := imports(t)
	for dir, list := range byFolder {
		for _, p := range list {
			if strings.HasPrefix(p, "github.com/opencontainers/runc/") {
				t.Errorf("%s imports %s", dir, p)
			}
		}
	}
}

func TestEveryDirectDependencyIsExplained(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc := readDoc(t, "docs/dependencies.md")
	direct := directRequirements(string(mod))
	if len(direct) < 10 {
		t.Fatalf("only %v found in go.mod: the test sees too little", direct)
	}
	for _, m := range direct {
		if !strings.Contains(doc, "| `"+m+"` |") {
			t.Errorf("docs/dependencies.md does not say why %s is needed", m)
		}
	}
}

// directRequirements reads the lines "path version" without "// indirect".
func directRequirements(mod string) []string {
	var out []string
	for line := range strings.Lines(mod) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.Contains(f[0], ".") && strings.HasPrefix(f[1], "v") {
			out = append(out, f[0])
		}
	}
	return out
}

// Plan.Enclose can leave Landlock out: only tests may set it.
func TestNoProgramAltersTheEnclosure(t *testing.T) {
	byFolder, _ := imports(t)
	seen := 0
	for dir := range byFolder {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			switch sets := strings.Contains(string(raw), ".Enclose = ") || strings.Contains(string(raw), "Enclose: "); {
			case sets && (isForTests(dir) || strings.HasSuffix(file, "_test.go")):
				seen++
			case sets:
				t.Errorf("%s sets Enclose", file)
			}
		}
	}
	if seen == 0 {
		t.Error("the walk does not see who sets it")
	}
}
