package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// certificates is the bundle of authorities, where most TLS libraries look.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

const (
	keyAnnotation  = "mcprun.mkimage.key"                // finds a built image again
	nameAnnotation = "io.containerd.image.name"          // the name containerd gives an imported image
	tagAnnotation  = "org.opencontainers.image.ref.name" // the same for other tools
	tag            = "test"
)

// layer is an uncompressed layer in the cache. It is its own "compressed" form,
// so both of its digests are equal.
type layer struct {
	name   string
	digest v1.Hash
	size   int64
}

func openLayer(name string) (layer, error) {
	f, err := os.Open(name)
	if err != nil {
		return layer{}, fmt.Errorf("reading a layer: %w", err)
	}
	defer f.Close()
	digest, size, err := v1.SHA256(f)
	if err != nil {
		return layer{}, fmt.Errorf("reading a layer: %w", err)
	}
	return layer{name, digest, size}, nil
}

func (l layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.name) }
func (l layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.name) }
func (l layer) Size() (int64, error)                 { return l.size, nil }
func (l layer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }

func (b *builder) archive(name string) string { return filepath.Join(b.out, name+".oci.tar") }

func (b *builder) layoutFolder(name string) string { return filepath.Join(b.out, name) }

// image builds r unless it is there already, and returns the digest of its
// manifest.
func (b *builder) image(ctx context.Context, r recipe, withLayout bool) (string, error) {
	start := time.Now()
	b.current = r.Name
	key, err := b.imageKey(r)
	if err != nil {
		return "", err
	}
	if digest, ok := b.built(r.Name, key, withLayout); ok {
		b.say("already built")
		return digest, nil
	}
	img, err := b.assemble(ctx, r)
	if err != nil {
		return "", err
	}
	if err := b.write(img, r.Name, key, withLayout); err != nil {
		return "", fmt.Errorf("writing the image %s: %w", r.Name, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("hashing the image %s: %w", r.Name, err)
	}
	b.say("done in %s", time.Since(start).Round(100*time.Millisecond))
	return digest.String(), nil
}

func (b *builder) imageKey(r recipe) (string, error) {
	parts := []any{format, r.Name, r.Command, r.Args, r.Env}
	for _, spec := range r.Layers {
		key, err := b.layerKey(spec)
		if err != nil {
			return "", err
		}
		parts = append(parts, key)
	}
	return hashJSON(parts...)
}

// built looks for a finished image with the same key.
func (b *builder) built(name, key string, withLayout bool) (string, bool) {
	f, err := os.Open(b.archive(name))
	if err != nil {
		return "", false
	}
	defer f.Close()
	digest, ok := archiveDigest(f, key)
	if !ok || !withLayout {
		return digest, ok
	}
	data, err := os.ReadFile(filepath.Join(b.layoutFolder(name), "index.json"))
	if err != nil {
		return "", false
	}
	return indexDigest(data, key)
}

// archiveDigest returns the digest of the image in an archive that was built
// with this key. The index is among the first entries, so little is read.
func archiveDigest(r io.Reader, key string) (string, bool) {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err != nil {
			return "", false
		}
		if h.Name == "index.json" && h.Size <= maxIndex {
			data, err := io.ReadAll(tr)
			if err != nil {
				return "", false
			}
			return indexDigest(data, key)
		}
	}
}

// maxIndex bounds an index that is read into memory; ours have one entry, under
// 1 KiB.
const maxIndex = 1 << 16

func indexDigest(data []byte, key string) (string, bool) {
	var index v1.IndexManifest
	if json.Unmarshal(data, &index) != nil || len(index.Manifests) != 1 || index.Manifests[0].Annotations[keyAnnotation] != key {
		return "", false
	}
	return index.Manifests[0].Digest.String(), true
}

// assemble builds the layers of r and puts the image's settings above them.
func (b *builder) assemble(ctx context.Context, r recipe) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, spec := range r.Layers {
		l, err := b.layer(ctx, spec)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: fixedTime()}, CreatedBy: "mkimage: " + spec.Name}})
		if err != nil {
			return nil, fmt.Errorf("adding the %s layer to %s: %w", spec.Name, r.Name, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the settings of %s: %w", r.Name, err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Created = "amd64", "linux", v1.Time{Time: fixedTime()}
	config.Config = v1.Config{
		Entrypoint: r.Command,
		Cmd:        r.Args,
		Env: slices.Concat([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/user", "SSL_CERT_FILE=" + certificates},
			r.Env),
		User:       fmt.Sprintf("%d:%d", user, user),
		WorkingDir: "/workspace",
	}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("setting the command of %s: %w", r.Name, err)
	}
	return img, nil
}

// write writes the image as a layout folder, that folder as an archive, and
// keeps the folder if asked.
func (b *builder) write(img v1.Image, name, key string, keep bool) error {
	folder, err := os.MkdirTemp(b.out, ".part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) // moved away when it is kept
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	l, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	annotations := map[string]string{keyAnnotation: key, nameAnnotation: "mcprun/" + name + ":" + tag, tagAnnotation: tag}
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	if err := l.AppendImage(img, layout.WithAnnotations(annotations), layout.WithPlatform(platform)); err != nil {
		return err
	}
	if err := writeWhole(b.archive(name), func(w io.Writer) error { return archiveFolder(w, folder) }); err != nil {
		return err
	}
	if !keep {
		return nil
	}
	return errors.Join(os.RemoveAll(b.layoutFolder(name)), os.Rename(folder, b.layoutFolder(name)))
}

// archiveFolder writes a layout folder as a tar, the index first.
func archiveFolder(w io.Writer, folder string) error {
	tw := tar.NewWriter(w)
	add := func(name string) error {
		return entry{kind: tar.TypeReg, mode: 0o644, from: filepath.Join(folder, name)}.write(tw, name)
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		if err := add(name); err != nil {
			return err
		}
	}
	err := fs.WalkDir(os.DirFS(folder), "blobs", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return add(name)
	})
	if err != nil {
		return err
	}
	return tw.Close()
}
