package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheFullClientIsBesideThisOneOrNowhere(t *testing.T) {
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, elsewhere := t.TempDir(), t.TempDir()
	self := filepath.Join(dir, "mcprun")
	write(self)
	write(filepath.Join(elsewhere, full))
	t.Setenv("PATH", elsewhere)
	t.Chdir(elsewhere)
	if got, err := beside(self); err == nil || err.Error() != "no such file or directory" {
		t.Errorf("with one in PATH and in the working directory: %q, %v", got, err)
	}
	if err := os.Symlink("mcprun", filepath.Join(dir, full)); err != nil {
		t.Fatal(err)
	}
	if got, err := beside(self); err == nil || err.Error() != "it is a link to mcprun" {
		t.Errorf("with a link to itself, which would start for ever: %q, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, full)); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, full))
	if got, err := beside(self); got != filepath.Join(dir, full) || err != nil {
		t.Errorf("with one beside it: %q, %v", got, err)
	}
}
