// Package registry tests the three ways an image comes in: an OCI archive, an
// OCI layout folder, and a pull by digest from a real registry on loopback.
package registry

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/mcprun/mcprun/integration/harness"
)

const rest = "profile: go\ntools:\n  test_simple_text: {risk: low}\n"

// unpack turns an archive into a layout folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, r)
		if err = errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// serve starts the registry and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '%s'}\n", t.TempDir(), address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(os.Getenv("MCPRUN_BIN"), "test", "registry"), "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
	}
	t.Fatal("the registry does not answer")
	return ""
}

// push stores the image of a layout and returns its reference by digest.
func push(t *testing.T, address, dir string) string {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(address + "/acme/server:latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s/acme/server@%s", address, m.Manifests[0].Digest)
}

func TestWaysIn(t *testing.T) {
	d := harness.New(t)
	dir := filepath.Join(d.Dir, "layout")
	unpack(t, harness.Image("gosdk"), dir)
	ref := push(t, serve(t), dir)
	for way, image := range map[string]string{"archive": harness.Image("gosdk"), "layout": "./layout", "registry": ref} {
		t.Run(way, func(t *testing.T) {
			file := way + ".yaml"
			d.Write(file, fmt.Sprintf("version: 1\nname: %s\nimage: %s\n%s", way, image, rest))
			d.Must("lock", file)
			d.Must("start", file)
			if out := d.Must("call", way, "test_simple_text"); !strings.Contains(out, "simple text") {
				t.Error(out)
			}
			d.Must("stop", way)
		})
	}
	// The digest is what counts: one that the registry does not have is refused.
	t.Run("another digest", func(t *testing.T) {
		i := strings.Index(ref, "sha256:")
		d.Write("wrong.yaml", "version: 1\nname: wrong\nimage: "+ref[:i]+"sha256:"+strings.Repeat("0", 64)+"\n"+rest)
		_, errs, code := d.Run("lock", "wrong.yaml")
		if code != 1 || !strings.Contains(errs, "not found") {
			t.Errorf("code %d: %s", code, errs)
		}
	})
}
