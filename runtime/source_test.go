package runtime

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "plain/sub"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "plain/file"), nil, 0o644))
	must(os.Symlink("plain", filepath.Join(dir, "link")))
	must(os.Symlink("/etc", filepath.Join(dir, "plain/inner-link"))) // harmless: it leads nowhere inside a container
	for _, sub := range []string{"withsocket", "withpipe"} {
		must(os.MkdirAll(filepath.Join(dir, sub, "deep"), 0o755))
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "withsocket/deep/s"))
	must(err)
	defer ln.Close()
	must(unix.Mkfifo(filepath.Join(dir, "withpipe/deep/p"), 0o600))
	for _, r := range []struct{ name, path, reason string }{
		{"a folder", "plain", ""},
		{"a file", "plain/file", ""},
		{"a link", "link", "symbolic link; write the real path"},
		{"a link on the way", "link/sub", "symbolic link"},
		{"missing", "missing", "no such file"},
		{"a socket", "withsocket/deep/s", "neither a folder nor a file"},
		{"a socket within", "withsocket", "holds a socket"},
		{"a pipe within", "withpipe", "holds a socket, device or pipe"},
		{"a device", "../../../../../../../../dev/null", "neither a folder nor a file"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, err := openSource(filepath.Join(dir, r.path))
			if s != nil {
				defer s.file.Close()
			}
			if r.reason == "" && err != nil || r.reason != "" && (err == nil || !strings.Contains(err.Error(), r.reason)) {
				t.Errorf("openSource = %v, want %q", err, r.reason)
			}
		})
	}
}

// A folder that was swapped between the check and the mount must be noticed. The
// test's own root stands for the container's.
func TestCheckMounted(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, d := range []string{a, b} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openSource(a)
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	s.to = a
	if err := checkMounted(os.Getpid(), []*heldSource{s}); err != nil {
		t.Errorf("control: %v", err)
	}
	s.to = b
	if err := checkMounted(os.Getpid(), []*heldSource{s}); err == nil || !strings.Contains(err.Error(), "swapped") {
		t.Errorf("checkMounted = %v, want a refusal", err)
	}
}
