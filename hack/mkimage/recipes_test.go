package main

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
)

func TestChooseRefuses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		args      []string
		class     mcprun.Class
		why, hint string
	}{
		{"nothing", nil, mcprun.Usage, "no image is named", "choose from busybox"},
		{"unknown", []string{"filesytem"}, mcprun.Usage, `there is no image "filesytem"`, "choose from busybox"},
		{"absent program", []string{"static:/nowhere/probe"}, mcprun.Failed, "no such file", "build the program first"},
		{"a script", []string{"static:" + script}, mcprun.Failed, "not a Linux program", "CGO_ENABLED=0"},
		{"dynamically linked", []string{"static:/bin/sh"}, mcprun.Failed, "dynamically linked", "CGO_ENABLED=0"},
		{"a name that no container may have", []string{"static:/x/Probe"}, mcprun.Usage, "use a-z", "rename the program"},
	} {
		_, err := choose(c.args)
		e, ok := errors.AsType[*mcprun.Error](err)
		if !ok {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if e.Class != c.class || !strings.Contains(e.Error(), c.why) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %s, %q, hint %q", c.name, e.Class, e.Error(), e.Hint)
		}
	}
}

// Each recipe is resolvable with the committed lock file, which pins what
// package.json names and nothing looser.
func TestRecipesAgreeWithLockFile(t *testing.T) {
	b := &builder{root: "../.."}
	l, _, err := b.readLock()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range allRecipes() {
		if r.Name != name || len(r.Layers) == 0 || len(r.Command) == 0 {
			t.Errorf("%s: incomplete: %+v", name, r)
		}
		for _, spec := range r.Layers {
			folders, err := l.closure(spec.Npm)
			if err != nil || len(folders) < len(spec.Npm) {
				t.Errorf("%s: %v, %v", name, folders, err)
			}
		}
		key, err := b.imageKey(r)
		if again, errAgain := b.imageKey(allRecipes()[name]); err != nil || errAgain != nil || key != again {
			t.Errorf("%s: keys %s and %s: %v, %v", name, key, again, err, errAgain)
		}
	}
}

// The key of a program of this module covers the files in its folder and the
// versions in go.mod; a package of ours that it imported would not be in it.
func TestProgramsOfThisModuleImportNoneOfIt(t *testing.T) {
	found := 0
	for name, r := range allRecipes() {
		for _, spec := range r.Layers {
			if goModule(spec.Go) != "." {
				continue
			}
			sources, err := goSources("../..", spec.Go)
			if err != nil || len(sources) == 0 {
				t.Fatalf("%s: the sources of %s: %v, %v", name, spec.Go, sources, err)
			}
			for _, source := range sources {
				found++
				f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", source), nil, parser.ImportsOnly)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range f.Imports {
					if strings.Contains(i.Path.Value, "mcprun/mcprun") {
						t.Errorf("%s imports %s", source, i.Path.Value)
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no program of this module is in any image")
	}
}
