package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// plain is a recipe that needs no package and no network.
func plain(text string) recipe {
	return recipe{Name: "plain", Command: []string{"/app/x"}, Layers: []layerSpec{
		{Name: "one", Files: []file{{Path: "etc/passwd", Mode: 0o644, Text: "root:x:0:0::/:\n"}}},
		{Name: "two", Files: []file{{Path: "app/x", Mode: 0o755, Text: text}}},
	}}
}

func build(t *testing.T, cache, out string, r recipe, keep bool) (digest, progress string) {
	t.Helper()
	var said bytes.Buffer
	b, err := newBuilder("../..", cache, out, &said)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	digest, err = b.image(t.Context(), r, keep)
	if err != nil {
		t.Fatal(err)
	}
	return digest, said.String()
}

func TestSameInputsSameDigest(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	first, _ := build(t, t.TempDir(), one, plain("x"), false)
	second, _ := build(t, t.TempDir(), two, plain("x"), false)
	other, _ := build(t, t.TempDir(), t.TempDir(), plain("y"), false)
	if first != second || first == other {
		t.Errorf("digests %s and %s of equal recipes, %s of another", first, second, other)
	}
	a, errA := os.ReadFile(filepath.Join(one, "plain.oci.tar"))
	b, errB := os.ReadFile(filepath.Join(two, "plain.oci.tar"))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("archives of %d and %d bytes differ (%v, %v)", len(a), len(b), errA, errB)
	}
}

func TestCache(t *testing.T) {
	cache, out := t.TempDir(), t.TempDir()
	archive := filepath.Join(out, "plain.oci.tar")
	digest, said := build(t, cache, out, plain("x"), false)
	if !strings.Contains(said, "built the two layer") {
		t.Fatalf("the first run said %q", said)
	}
	for _, c := range []struct {
		name    string
		prepare func() error
		recipe  recipe
		keep    bool
		same    bool // the digest is the first one's
		said    []string
		unsaid  string
	}{
		{"again", nil, plain("x"), false, true, []string{"already built"}, "layer"},
		{"now as a folder too", nil, plain("x"), true, true, []string{"done in"}, "layer"},
		{"both again", nil, plain("x"), true, true, []string{"already built"}, "layer"},
		{"cut archive", func() error { return os.Truncate(archive, 100) }, plain("x"), false, true, []string{"done in"}, "layer"},
		{"no archive", func() error { return os.Remove(archive) }, plain("x"), false, true, []string{"done in"}, "layer"},
		{"one layer changed", nil, plain("y"), false, false, []string{"built the two layer", "done in"}, "one layer"},
		{"back again, layers kept", nil, plain("x"), false, true, []string{"done in"}, "layer"},
	} {
		if c.prepare != nil {
			if err := c.prepare(); err != nil {
				t.Fatal(err)
			}
		}
		got, said := build(t, cache, out, c.recipe, c.keep)
		if (got == digest) != c.same {
			t.Errorf("%s: digest %s, the first was %s", c.name, got, digest)
		}
		for _, s := range c.said {
			if !strings.Contains(said, s) {
				t.Errorf("%s: said %q, want %q", c.name, said, s)
			}
		}
		if strings.Contains(said, c.unsaid) {
			t.Errorf("%s: said %q, must not say %q", c.name, said, c.unsaid)
		}
	}
}

func TestLayoutFolderIsValid(t *testing.T) {
	out := t.TempDir()
	digest, _ := build(t, t.TempDir(), out, plain("x"), true)
	index, err := layout.ImageIndexFromPath(filepath.Join(out, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	// Fast, because the library takes every layer for a compressed one.
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Error(err)
	}
	blobs, err := os.ReadDir(filepath.Join(out, "plain", "blobs", "sha256"))
	if err != nil || len(blobs) != 4 {
		t.Errorf("blobs %v, %v; want two layers, a config and a manifest", blobs, err)
	}
	for _, blob := range blobs {
		if err := checkSum(filepath.Join(out, "plain", "blobs", "sha256", blob.Name()), blob.Name()); err != nil {
			t.Error(err)
		}
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest.Manifests[0]; got.Digest.String() != digest || got.Annotations[nameAnnotation] != "mcprun/plain:test" {
		t.Errorf("the index has %+v, want digest %s", got, digest)
	}
	left, err := filepath.Glob(filepath.Join(out, ".part-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestKeyOfStaticProgramIsItsContent(t *testing.T) {
	b := &builder{root: "../..", progress: io.Discard}
	key := func(path, sum string) string {
		k, err := b.layerKey(layerSpec{Name: "app", Static: path, Sum: sum})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if key("/one/probe", "a") != key("/two/probe", "a") {
		t.Error("the folder of the program shows in the key")
	}
	if key("/one/probe", "a") == key("/one/probe", "b") {
		t.Error("the content of the program does not show in the key")
	}
}

// waiting tells when the builder says that it waits.
type waiting chan struct{}

func (w waiting) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "waiting for another mkimage") {
		close(w)
	}
	return len(p), nil
}

func TestSecondBuilderWaits(t *testing.T) {
	cache := t.TempDir()
	first, err := newBuilder("../..", cache, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	waits, done := make(waiting), make(chan error, 1)
	out := t.TempDir()
	go func() {
		second, err := newBuilder("../..", cache, out, waits)
		if err == nil {
			err = second.close()
		}
		done <- err
	}()
	<-waits
	select {
	case err := <-done:
		t.Fatalf("the second did not wait: %v", err)
	default:
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
