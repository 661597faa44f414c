package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// goModule is the folder of the module that builds a Go program: this one where
// the program is named by its folder, else the tools'.
func goModule(pkg string) string {
	if strings.HasPrefix(pkg, "./") {
		return "."
	}
	return toolsFolder
}

// goInputs names what decides the bytes of a Go program: versions, and of a
// program of this module its sources (it imports no other package of it).
func (b *builder) goInputs(pkg string) ([]string, error) {
	inputs := []string{runtime.Version()}
	folder := filepath.Join(b.root, goModule(pkg))
	names := []string{"go.mod", "go.sum"}
	if goModule(pkg) == "." {
		sources, err := goSources(folder, pkg)
		if err != nil {
			return nil, err
		}
		names = append(names, sources...)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("reading what decides the Go programs: %w", err)
		}
		sum := sha256.Sum256(data)
		inputs = append(inputs, name+" "+hex.EncodeToString(sum[:]))
	}
	return inputs, nil
}

// goSources lists the Go files of a folder of this module, without its tests.
func goSources(root, pkg string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, pkg))
	if err != nil {
		return nil, fmt.Errorf("reading the sources of %s: %w", pkg, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			names = append(names, filepath.Join(pkg, e.Name()))
		}
	}
	return names, nil
}

// addGo builds a Go program and puts it into t.
func (b *builder) addGo(ctx context.Context, t tree, pkg string) error {
	b.say("building %s", path.Base(pkg))
	folder := filepath.Join(b.cache, "go")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the cache folder: %w", err)
	}
	out := filepath.Join(folder, path.Base(pkg))
	_, err := command{
		step: "building " + pkg, program: "go", dir: filepath.Join(b.root, goModule(pkg)),
		args: []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, pkg},
		// The caller's settings must not change the result.
		env:     []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT="},
		install: "install Go", hint: "go mod verify in " + goModule(pkg),
	}.run(ctx)
	if err != nil {
		return err
	}
	return t.add("app/"+path.Base(pkg), entry{kind: tar.TypeReg, mode: 0o755, from: out})
}

// addStatic puts a program of this machine into t.
func (b *builder) addStatic(t tree, spec layerSpec) error {
	// The program may have been rebuilt since its key was made.
	if err := checkSum(spec.Static, spec.Sum); err != nil {
		return fmt.Errorf("reading %s again: %w", spec.Static, err)
	}
	return t.add("app/"+filepath.Base(spec.Static), entry{kind: tar.TypeReg, mode: 0o755, from: spec.Static})
}
