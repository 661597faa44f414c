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
)

// goInputs names what decides the bytes of a Go program.
func (b *builder) goInputs() ([]string, error) {
	inputs := []string{runtime.Version()}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(b.root, toolsFolder, name))
		if err != nil {
			return nil, fmt.Errorf("reading the versions of the Go programs: %w", err)
		}
		sum := sha256.Sum256(data)
		inputs = append(inputs, name+" "+hex.EncodeToString(sum[:]))
	}
	return inputs, nil
}

// addGo builds a Go program of the tools module and puts it into t.
func (b *builder) addGo(ctx context.Context, t tree, pkg string) error {
	b.say("building %s", path.Base(pkg))
	folder := filepath.Join(b.cache, "go")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the cache folder: %w", err)
	}
	out := filepath.Join(folder, path.Base(pkg))
	_, err := command{
		step: "building " + pkg, program: "go", dir: filepath.Join(b.root, toolsFolder),
		args: []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, pkg},
		// The caller's settings must not change the result.
		env:     []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT="},
		install: "install Go", hint: "go mod verify in " + toolsFolder,
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
