package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// lockFile is the part of a package-lock.json (version 3) that says what is
// installed where: packages by folder, "" being the project.
type lockFile struct {
	Version  int                   `json:"lockfileVersion"`
	Packages map[string]npmPackage `json:"packages"`
}

type npmPackage struct {
	Version      string            `json:"version"`
	Integrity    string            `json:"integrity"`
	Dependencies map[string]string `json:"dependencies"`
	Optional     map[string]string `json:"optionalDependencies"`
	Peer         map[string]string `json:"peerDependencies"`
	Bundled      bool              `json:"inBundle"` // it came inside the package that holds its folder
}

func parseLock(data []byte) (lockFile, error) {
	var l lockFile
	if err := json.Unmarshal(data, &l); err != nil {
		return lockFile{}, err
	}
	if l.Version != 3 {
		return lockFile{}, fmt.Errorf("lock file version %d; only 3 is known", l.Version)
	}
	for folder := range l.Packages {
		if folder == "" {
			continue
		}
		if clean, err := cleanPath(folder); err != nil || clean != folder || !strings.HasPrefix(folder, "node_modules/") {
			return lockFile{}, fmt.Errorf("package folder %q is not below node_modules", folder)
		}
		if !l.sealed(folder) {
			return lockFile{}, fmt.Errorf("%s has no integrity", folder)
		}
	}
	return l, nil
}

// sealed says that the lock file fixes the bytes of a package: by an integrity of
// its own, or, where it came inside another package, by that one's.
func (l lockFile) sealed(folder string) bool {
	p := l.Packages[folder]
	above := strings.LastIndex(folder, "/node_modules/")
	return p.Integrity != "" || p.Bundled && above > 0 && l.sealed(folder[:above])
}

// closure lists the folders of the packages named and of all they depend on,
// sorted: what npm installed for them, and nothing for the others.
func (l lockFile) closure(names []string) ([]string, error) {
	seen := map[string]bool{}
	var visit func(folder string) error
	visit = func(folder string) error {
		if seen[folder] {
			return nil
		}
		seen[folder] = true
		p := l.Packages[folder]
		for name := range p.Dependencies {
			next, ok := l.resolve(folder, name)
			if _, optional := p.Optional[name]; !ok && !optional {
				return fmt.Errorf("%s needs %s, which the lock file does not have", folder, name)
			}
			if ok {
				if err := visit(next); err != nil {
					return err
				}
			}
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(p.Optional)), slices.Collect(maps.Keys(p.Peer))) {
			if next, ok := l.resolve(folder, name); ok {
				if err := visit(next); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, name := range names {
		folder := "node_modules/" + name
		if _, ok := l.Packages[folder]; !ok {
			return nil, fmt.Errorf("%s is not in the lock file", name)
		}
		if err := visit(folder); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// resolve finds name as Node does: in the node_modules of the folder itself,
// then of each folder above.
func (l lockFile) resolve(folder, name string) (string, bool) {
	for dir := folder; ; dir = path.Dir(dir) {
		if dir == "." {
			dir = ""
		}
		next := path.Join(dir, "node_modules", name)
		if _, ok := l.Packages[next]; ok && path.Base(dir) != "node_modules" {
			return next, true
		}
		if dir == "" {
			return "", false
		}
	}
}

// readLock reads the lock file of the test servers.
func (b *builder) readLock() (lockFile, []byte, error) {
	name := filepath.Join(npmFolder, "package-lock.json")
	data, err := os.ReadFile(filepath.Join(b.root, name))
	if err != nil {
		return lockFile{}, nil, fmt.Errorf("reading the npm lock file: %w", err)
	}
	l, err := parseLock(data)
	if err != nil {
		return lockFile{}, nil, fail("reading "+name, err, "npm install --package-lock-only --omit-lockfile-registry-resolved --prefix "+npmFolder)
	}
	return l, data, nil
}

// npmInputs names everything of the lock file that the layer depends on.
func (b *builder) npmInputs(spec layerSpec) ([]string, error) {
	l, _, err := b.readLock()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(spec.Npm)
	if spec.NpmBin != "" {
		names = append(names, binPackage(spec.NpmBin))
	}
	folders, err := l.closure(names)
	if err != nil {
		return nil, fmt.Errorf("reading the npm lock file: %w", err)
	}
	for i, folder := range folders {
		folders[i] = folder + " " + l.Packages[folder].Integrity
	}
	return folders, nil
}

// binPackage is the package of a layer's NpmBin.
func binPackage(bin string) string {
	name, _, _ := strings.Cut(bin, "/")
	return name
}

// addNpm puts the npm packages of spec into t.
func (b *builder) addNpm(ctx context.Context, t tree, spec layerSpec) error {
	l, _, err := b.readLock()
	if err != nil {
		return err
	}
	installed, err := b.npmInstall(ctx)
	if err != nil {
		return err
	}
	if spec.NpmBin != "" {
		e := entry{kind: tar.TypeReg, mode: 0o755, from: filepath.Join(installed, "node_modules", spec.NpmBin)}
		if err := t.add("usr/local/bin/"+path.Base(spec.NpmBin), e); err != nil {
			return err
		}
	}
	folders, err := l.closure(spec.Npm)
	if err != nil {
		return fmt.Errorf("reading the npm lock file: %w", err)
	}
	for _, folder := range folders {
		if err := t.addNpmFolder(installed, folder); err != nil {
			return fmt.Errorf("copying %s: %w", folder, err)
		}
	}
	return nil
}

// npmInstall installs everything in the lock file once and returns the folder.
func (b *builder) npmInstall(ctx context.Context) (string, error) {
	_, lock, err := b.readLock()
	if err != nil {
		return "", err
	}
	manifest, err := os.ReadFile(filepath.Join(b.root, npmFolder, "package.json"))
	if err != nil {
		return "", fmt.Errorf("reading the npm packages: %w", err)
	}
	sum := sha256.Sum256(slices.Concat(manifest, lock))
	final := filepath.Join(b.cache, "npm", hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(final); err == nil {
		return final, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("looking for the npm packages: %w", err)
	}
	b.say("installing npm packages")
	partial := final + ".part"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("clearing an unfinished install: %w", err)
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(partial, name), data, 0o644); err != nil {
			return "", fmt.Errorf("preparing the npm install: %w", err)
		}
	}
	_, err = command{
		step: "installing npm packages", program: "npm", dir: partial,
		args:    strings.Fields("ci --ignore-scripts --no-audit --no-fund --no-update-notifier"),
		install: "apt-get install -y npm", hint: "check that npm reaches its registry: npm ping",
	}.run(ctx)
	if err != nil {
		return "", err
	}
	if err := os.Rename(partial, final); err != nil {
		return "", fmt.Errorf("keeping the npm packages: %w", err)
	}
	return final, nil
}

// addNpmFolder copies one package, without the packages nested in it, which the
// lock file lists by themselves.
func (t tree) addNpmFolder(installed, folder string) error {
	top := filepath.Join(installed, folder)
	return filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(installed, name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == "node_modules":
			return fs.SkipDir
		case d.IsDir() || forDevelopers(name):
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", rel)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := int64(0o644) // not the umask's
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return t.add("app/"+filepath.ToSlash(rel), entry{kind: tar.TypeReg, mode: mode, from: name})
	})
}

// forDevelopers says of a file that Node never loads it.
func forDevelopers(name string) bool {
	for _, suffix := range []string{".map", ".d.ts", ".d.mts", ".d.cts"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
