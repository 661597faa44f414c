package main

import (
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
	"syscall"
	"time"
)

// format is part of every key. Raise it when a change here alters what the same
// recipe builds.
const format = "1"

// builder builds layers and images in one cache folder, one process at a time.
type builder struct {
	root     string // the checkout
	cache    string
	out      string
	progress io.Writer
	current  string // the image being built, for progress
	lock     *os.File
	layers   map[string]layer // of this run, by key
}

// newBuilder makes the folders and waits for another mkimage in the same cache.
func newBuilder(root, cache, out string, progress io.Writer) (*builder, error) {
	b := &builder{root: root, progress: progress, layers: map[string]layer{}}
	for _, p := range []struct{ to, from *string }{{&b.cache, &cache}, {&b.out, &out}} {
		abs, err := filepath.Abs(*p.from)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", *p.from, err)
		}
		if err := os.MkdirAll(abs, 0o755); err != nil {
			return nil, fmt.Errorf("making %s: %w", abs, err)
		}
		*p.to = abs
	}
	lock, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		b.say("waiting for another mkimage in %s", b.cache)
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), lock.Close())
		}
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), lock.Close())
	}
	b.lock = lock
	return b, nil
}

// close lets the next process in.
func (b *builder) close() error { return b.lock.Close() }

// say tells the one who waits what is being done.
func (b *builder) say(text string, args ...any) {
	if b.current != "" {
		text = b.current + ": " + text
	}
	fmt.Fprintf(b.progress, "mkimage: "+text+"\n", args...)
}

// layerKey is a digest over everything that decides what a layer holds, but for
// the versions of Debian packages (see the package comment).
func (b *builder) layerKey(spec layerSpec) (string, error) {
	var inputs []string
	var err error
	switch {
	case len(spec.Npm) > 0 || spec.NpmBin != "":
		inputs, err = b.npmInputs(spec)
	case spec.Go != "":
		inputs, err = b.goInputs(spec.Go)
	case len(spec.Debs) > 0:
		inputs, err = distribution()
	}
	if err != nil {
		return "", err
	}
	if spec.Static != "" {
		spec.Static = filepath.Base(spec.Static) // where it lies on this machine does not matter
	}
	return hashJSON(format, spec, inputs)
}

// distribution names the release whose packages apt offers.
func distribution() ([]string, error) {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return nil, fail("reading the distribution's name", err, "mkimage needs Debian or Ubuntu")
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "ID=") || strings.HasPrefix(line, "VERSION_ID=") || strings.HasPrefix(line, "VERSION_CODENAME=") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	return names, nil
}

func hashJSON(parts ...any) (string, error) {
	data, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("making a cache key: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// layer returns the layer of spec, from the cache or newly built.
func (b *builder) layer(ctx context.Context, spec layerSpec) (layer, error) {
	key, err := b.layerKey(spec)
	if err != nil {
		return layer{}, err
	}
	if l, ok := b.layers[key]; ok {
		return l, nil
	}
	name := filepath.Join(b.cache, "layers", key+".tar")
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if err := b.buildLayer(ctx, spec, name); err != nil {
			return layer{}, fmt.Errorf("building the %s layer of %s: %w", spec.Name, b.current, err)
		}
	} else if err != nil {
		return layer{}, fmt.Errorf("looking for the %s layer: %w", spec.Name, err)
	}
	l, err := openLayer(name)
	if err != nil {
		return layer{}, err
	}
	b.layers[key] = l
	return l, nil
}

// buildLayer gathers what spec asks for and writes it to name.
func (b *builder) buildLayer(ctx context.Context, spec layerSpec, name string) error {
	start := time.Now()
	t := tree{}
	if len(spec.Debs) > 0 {
		if err := b.addDebs(ctx, t, spec); err != nil {
			return err
		}
	}
	if len(spec.Npm) > 0 || spec.NpmBin != "" {
		if err := b.addNpm(ctx, t, spec); err != nil {
			return err
		}
	}
	if spec.Go != "" {
		if err := b.addGo(ctx, t, spec.Go); err != nil {
			return err
		}
	}
	if spec.Static != "" {
		if err := b.addStatic(t, spec); err != nil {
			return err
		}
	}
	if err := t.addFiles(spec.Files); err != nil {
		return err
	}
	if err := writeWhole(name, t.write); err != nil {
		return err
	}
	b.say("built the %s layer in %s", spec.Name, time.Since(start).Round(100*time.Millisecond))
	return nil
}

// writeWhole writes a file that is either there and complete or not there.
func writeWhole(name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if err := errors.Join(f.Chmod(0o644), write(f), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
