package runtime

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/manifest"
)

// maxIndex bounds index.json of an archive or layout: a few hundred bytes an image.
const maxIndex = 1 << 20

// Image is an unpacked image. Its user, environment, volumes, ports and labels
// are not taken over: an image says what to run, never with which rights.
type Image struct {
	Digest  mcprun.Digest // of the manifest for this machine's architecture
	Command []string
	WorkDir string
	image   client.Image
}

// Image brings the image that server.yaml names into containerd, unpacked, and
// returns at once when it is there. progress may be nil.
func (r *Runtime) Image(ctx context.Context, m manifest.Image, base string, progress func(string)) (Image, error) {
	if progress == nil {
		progress = func(string) {}
	}
	ctx = r.ctrd.ctx(ctx)
	var img client.Image
	var err error
	if m.Path != "" {
		path := m.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		img, err = r.importImage(ctx, path, progress)
	} else {
		img, err = r.pullImage(ctx, m.Ref, progress)
	}
	if err != nil {
		return Image{}, err
	}
	failpoint.Hit("runtime.image-stored")
	unpacked, err := img.IsUnpacked(ctx, snapshotter)
	if err != nil {
		return Image{}, fmt.Errorf("looking at the image: %w", err)
	}
	if !unpacked {
		progress("unpacking the image")
		if err := img.Unpack(ctx, snapshotter); err != nil {
			return Image{}, fmt.Errorf("unpacking the image: %w", err)
		}
	}
	failpoint.Hit("runtime.image-unpacked")
	return describeImage(ctx, img)
}

func describeImage(ctx context.Context, img client.Image) (Image, error) {
	spec, err := img.Spec(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("reading the image's configuration: %w", err)
	}
	digest, err := manifestDigest(ctx, img)
	if err != nil {
		return Image{}, err
	}
	return Image{Digest: digest, Command: append(append([]string(nil), spec.Config.Entrypoint...), spec.Config.Cmd...), WorkDir: spec.Config.WorkingDir, image: img}, nil
}

// manifestDigest walks from the target, an index or a manifest, to the manifest
// for this machine.
func manifestDigest(ctx context.Context, img client.Image) (mcprun.Digest, error) {
	target := img.Target()
	for range 4 { // an index of indexes of …: no image nests deeper
		if images.IsManifestType(target.MediaType) {
			return mcprun.ParseDigest(target.Digest.String())
		}
		children, err := images.Children(ctx, img.ContentStore(), target)
		if err != nil {
			return "", fmt.Errorf("reading the image's index: %w", err)
		}
		match := platforms.DefaultStrict()
		found := false
		for _, c := range children {
			if c.Platform == nil || match.Match(*c.Platform) {
				target, found = c, true
				break
			}
		}
		if !found {
			return "", errors.New("the image has no manifest for this machine's architecture")
		}
	}
	return "", errors.New("the image's index nests too deep")
}

func (r *Runtime) pullImage(ctx context.Context, ref string, progress func(string)) (client.Image, error) {
	if img, err := r.ctrd.client.GetImage(ctx, ref); err == nil {
		return img, nil
	}
	progress("pulling " + ref)
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost)),
	})
	img, err := r.ctrd.client.Pull(ctx, ref, client.WithResolver(resolver), client.WithPullSnapshotter(snapshotter))
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", ref, err)
	}
	return img, nil
}

// importImage stores an OCI archive or layout. Its name in containerd is the
// digest of its index, so the same content is stored once, and a changed file is another image.
func (r *Runtime) importImage(ctx context.Context, path string, progress func(string)) (client.Image, error) {
	index, err := readIndex(path)
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", path, err)
	}
	name := imageName(index)
	if img, err := r.ctrd.client.GetImage(ctx, name); err == nil {
		return img, nil
	}
	progress("importing " + path)
	stream, err := openArchive(path)
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", path, err)
	}
	defer stream.Close()
	_, err = r.ctrd.client.Import(ctx, stream, client.WithIndexName(name),
		client.WithImageRefTranslator(func(string) string { return "" }), client.WithImportPlatform(platforms.DefaultStrict()))
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", path, err)
	}
	return r.ctrd.client.GetImage(ctx, name)
}

// DropImage takes the image of an OCI archive or layout away again, and what only it used.
// That containerd does not have it is fine.
func (r *Runtime) DropImage(ctx context.Context, path string) error {
	ctx = r.ctrd.ctx(ctx)
	index, err := rawIndex(path)
	if err != nil {
		return fmt.Errorf("reading image %s: %w", path, err)
	}
	if err := r.ctrd.client.ImageService().Delete(ctx, imageName(index), images.SynchronousDelete()); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing the image of %s: %w", path, err)
	}
	return nil
}

// imageName is what an archive's or layout's image is called in containerd.
func imageName(index []byte) string {
	sum := sha256.Sum256(index)
	return "mcprun.local/image:" + hex.EncodeToString(sum[:])
}

// readIndex returns index.json, after checking that it names one image.
func readIndex(path string) ([]byte, error) {
	raw, err := rawIndex(path)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("it holds %d images; keep one in each archive", len(index.Manifests))
	}
	return raw, nil
}

func rawIndex(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		f, err := os.Open(filepath.Join(path, "index.json"))
		if err != nil {
			return nil, errors.New("it is a folder without index.json, so not an OCI layout")
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxIndex))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it has no index.json, so it is not an OCI archive; docker save archives: convert with skopeo copy docker-archive:A oci-archive:B")
		}
		if err != nil {
			return nil, fmt.Errorf("it is not a tar archive: %w", err)
		}
		if strings.TrimPrefix(h.Name, "./") == "index.json" {
			return io.ReadAll(io.LimitReader(tr, maxIndex))
		}
	}
}

// openArchive gives the bytes of an OCI archive; a layout folder is packed on the way.
func openArchive(path string) (io.ReadCloser, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return os.Open(path)
	}
	root, err := os.OpenRoot(path) // a link in the layout must not reach out of it
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		defer root.Close()
		tw := tar.NewWriter(w)
		err := packLayout(tw, root)
		if err == nil {
			err = tw.Close()
		}
		w.CloseWithError(err)
	}()
	return r, nil
}

func packLayout(tw *tar.Writer, root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o444, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyN(tw, f, info.Size())
		return err
	})
}
