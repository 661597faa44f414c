package policyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/manifest"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// Each way in which somebody else could lift the ceilings is refused with why, and the
// same file without it is taken.
func TestWhoCanWrite(t *testing.T) {
	testenv.Need(t, "root")
	const text = "version: 1\ngrants: {sampling: false}\n"
	for _, row := range []struct {
		name  string
		spoil func(dir, file string) error
		says  string
	}{
		{"as it should be", func(dir, file string) error { return nil }, ""},
		{"readable by all", func(dir, file string) error { return os.Chmod(file, 0o444) }, ""},
		{"by way of a link", func(dir, file string) error {
			if err := os.Rename(file, file+".1"); err != nil {
				return err
			}
			return os.Symlink(file+".1", file)
		}, ""},
		{"writable by the group", func(dir, file string) error { return os.Chmod(file, 0o664) }, "others can write it (its mode is 0664)"},
		{"writable by all", func(dir, file string) error { return os.Chmod(file, 0o646) }, "others can write it"},
		{"owned by another", func(dir, file string) error { return os.Chown(file, 12345, 0) }, "it belongs to uid 12345"},
		{"in a folder that others can write", func(dir, file string) error { return os.Chmod(dir, 0o777) }, "others can write its folder"},
		{"in a folder as /tmp is", func(dir, file string) error { return os.Chmod(dir, os.ModeSticky|0o777) }, ""},
		{"in a folder of another", func(dir, file string) error { return os.Chown(dir, 12345, 0) }, "its folder belongs to uid 12345"},
		{"a folder", func(dir, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) }, "it is not a file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etc")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "policy.yaml")
			write(t, file, text, 0o644)
			if err := row.spoil(dir, file); err != nil {
				t.Fatal(err)
			}
			c, _, err := Read(file)
			switch {
			case row.says == "" && (err != nil || c.Grants.Sampling):
				t.Errorf("%+v, %v", c, err)
			case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	write(t, bad, "version: 1\nimage: x\nlimits: {cpu: 1000}\n", 0o644)
	_, _, err := Read(bad)
	var e *mcprun.Error
	if !errors.As(err, &e) || e.Class != mcprun.Usage || !strings.Contains(err.Error(), "bad.yaml:2:1: image") || !strings.Contains(err.Error(), "bad.yaml:3:15: limits.cpu") {
		t.Errorf("broken: %v", err)
	}
	long := filepath.Join(dir, "long.yaml")
	write(t, long, "version: 1\n"+strings.Repeat("# x\n", manifest.MaxSize/4), 0o644)
	if _, _, err := Read(long); err == nil || !strings.Contains(err.Error(), "bytes; at most") {
		t.Errorf("too long: %v", err)
	}
}

// What is written down and not done is refused: who relies on being told that a call
// waits must not find out later that nobody was.
func TestNoWebhookYet(t *testing.T) {
	if _, err := Parse("policy.yaml", []byte("version: 1\napproval: {webhook: {url: \"https://chat.example.com/x\"}}\n")); err != nil {
		t.Errorf("a webhook: %v", err)
	}
	if _, err := Parse("policy.yaml", []byte("version: 1\napproval: {four-eyes: true}\n")); err != nil {
		t.Errorf("the control: %v", err)
	}
}
