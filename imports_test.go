package mcprun_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mcprun/mcprun"

// imports parses every Go file that goes into a program: folder → import paths.
// In-process, since a test that asks the go command can be served from its cache.
func imports(t *testing.T) (byFolder map[string][]string, docs map[string]int) {
	t.Helper()
	byFolder, docs = map[string][]string{}, map[string]int{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "node_modules" || d.Name() == "testdata" || path == "bin" || path == "integration/tools") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if f.Doc != nil {
			docs[dir]++
		}
		if _, ok := byFolder[dir]; !ok {
			byFolder[dir] = nil
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			byFolder[dir] = append(byFolder[dir], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return byFolder, docs
}

// dangerous imports live in exactly one package each.
var homes = map[string][]string{
	"github.com/containerd/containerd": {"runtime"},
	"github.com/seccomp/libseccomp":    {"profiles/bpf"},
	"github.com/vishvananda/netlink":   {"netpolicy/netns"},
	"github.com/google/nftables":       {"netpolicy/nft"},
	"github.com/mdlayher/netlink":      {"netpolicy/nft"},
}

func TestDangerousImportsHaveOneHome(t *testing.T) {
	byFolder, _ := imports(t)
	found := map[string]bool{}
	for dir, list := range byFolder {
		for _, p := range list {
			for prefix, allowed := range homes {
				if !strings.HasPrefix(p, prefix) {
					continue
				}
				found[prefix] = true
				if !slices.Contains(allowed, dir) && !isForTests(dir) { // tests attack with them
					t.Errorf("%s imports %s, which belongs into %v", dir, p, allowed)
				}
			}
		}
	}
	// The control: the table names imports that are there.
	if !found["github.com/containerd/containerd"] || !found["github.com/seccomp/libseccomp"] {
		t.Error("the walk does not see the imports it is to judge")
	}
}

// reached are the folders that a program is made of, and the imports of others.
func reached(t *testing.T, program string) (ours, others map[string]bool) {
	t.Helper()
	byFolder, _ := imports(t)
	ours, others = map[string]bool{}, map[string]bool{}
	var reach func(dir string)
	reach = func(dir string) {
		if ours[dir] {
			return
		}
		ours[dir] = true
		for _, p := range byFolder[dir] {
			if rest, ok := strings.CutPrefix(p, module+"/"); ok {
				reach(rest)
			} else {
				others[p] = true
			}
		}
	}
	reach(program)
	return ours, others
}

// The client must work, and be trusted, without what drives the kernel.
func TestClientReachesNoRuntime(t *testing.T) {
	for program, follows := range map[string]string{"cmd/mcprun": "internal/cli/quick", "cmd/mcprun-cli": "internal/cli"} {
		seen, _ := reached(t, program)
		for _, forbidden := range []string{"runtime", "profiles/bpf", "internal/daemon", "internal/front", "netpolicy/netns", "netpolicy/nft", "netpolicy/egress", "internal/web", "approval/passkey"} {
			if seen[forbidden] {
				t.Errorf("%s reaches %s", program, forbidden)
			}
		}
		if !seen[follows] {
			t.Errorf("the walk does not follow the imports of %s", program)
		}
	}
}

// What is loaded is paid for at each start, and a client starts one mcprun
// connect for each of its servers: schemas, CEL and the checks of arguments took
// eleven milliseconds each time.
func TestSmallClientStaysSmall(t *testing.T) {
	may := []string{"cmd/mcprun", "internal/cli/quick", "internal/control", "internal/accept", "internal/paths", "internal/strictjson", "internal/failpoint", "limits", "lock", "runtime/cgroup"}
	ours, others := reached(t, "cmd/mcprun")
	for dir := range ours {
		if !slices.Contains(may, dir) {
			t.Errorf("cmd/mcprun reaches %s: does it start as fast with it? Then it may", dir)
		}
	}
	for p := range others {
		if strings.Contains(strings.SplitN(p, "/", 2)[0], ".") && !slices.ContainsFunc(
			[]string{module, "github.com/go-json-experiment/json", "github.com/spf13/cobra", "golang.org/x/sys/unix", "golang.org/x/time/rate"}, func(ok string) bool { return strings.HasPrefix(p, ok) }) {
			t.Errorf("cmd/mcprun reaches %s: does it start as fast with it? Then it may", p)
		}
	}
}

// levels are the packages from the bottom up; none imports a higher one.
var levels = map[string]int{
	".": 0, "internal/strictjson": 0, "internal/paths": 0, "internal/failpoint": 0, "internal/accept": 0, "internal/tryout": 0, "internal/slips": 0, "internal/atomicfile": 0,
	"profiles": 1, "profiles/bpf": 1, "profiles/denials": 1, "profiles/learned": 1, "limits": 1, "limits/detect": 1, "audit": 1, "netpolicy": 1, "credentials": 1, "internal/redact": 1, "internal/outbox": 1, "runtime/cgroup": 1, "runtime/landlock": 1, "internal/killfolder": 1, "internal/preserve": 1,
	"lock": 1, "approval": 2, "approval/passkey": 2, "approval/factors": 2, "gate/argument": 1, "gate/argument/paths": 1, "gate/argument/urls": 1, "gate/argument/words": 1, "gate/argument/command": 1, "gate/argument/sql": 1, "gate/when": 1, "gate/risk": 1, "internal/known": 1, "gate/result": 2, "manifest": 2, "gate": 2, "gate/starter": 3,
	"netpolicy/netns": 3, "netpolicy/nft": 3, "netpolicy/dns": 3, "netpolicy/egress": 3,
	"internal/mcpwire": 3, "internal/upstream": 3, "runtime": 3, "internal/policyfile": 3, "internal/notify": 3,
	"internal/control": 4, "internal/front": 4, "internal/policytest": 4, "internal/web": 4, "internal/drill": 4, "internal/web/view": 3, "internal/decided": 3, "internal/tighten": 3,
	"internal/cli/quick": 5, "internal/daemon": 5, "internal/cli": 5,
	"cmd/mcprun": 6, "cmd/mcprun-cli": 6, "cmd/mcprund": 6, "cmd/mcprun-init": 6, "cmd/mcprun-runsc": 6, "cmd/mcprun-decoy": 6,
}

func TestLevels(t *testing.T) {
	byFolder, _ := imports(t)
	for dir, level := range levels {
		list, ok := byFolder[dir]
		if !ok {
			t.Errorf("%s is in the table and not in the tree", dir)
		}
		for _, p := range list {
			rest, ok := strings.CutPrefix(p, module)
			if !ok {
				continue
			}
			to := strings.TrimPrefix(rest, "/")
			if to == "" {
				to = "."
			}
			if l, known := levels[to]; !known || l > level {
				t.Errorf("%s (level %d) imports %s (level %d, known %v)", dir, level, to, l, known)
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	byFolder, docs := imports(t)
	for dir := range byFolder {
		if docs[dir] != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, docs[dir])
		}
	}
}
