package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxPackageFile bounds one file out of a Debian package, which is held in
// memory: the largest in use, by far, is Chromium's program with some 280 MiB.
const maxPackageFile = 512 << 20

// mergedFolders are the links into /usr that Debian's merged layout has in the
// root; packages still name files below them.
var mergedFolders = [...]string{"bin", "lib", "lib64", "sbin"}

// dropped says of a path of a Debian package that no program needs it.
func dropped(p string) bool {
	if strings.HasPrefix(p, "usr/share/doc/") {
		return !strings.HasSuffix(p, "/copyright") // the licence stays with what it covers
	}
	for _, dir := range []string{"usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug",
		"usr/share/bash-completion", "usr/lib/x86_64-linux-gnu/gconv", "etc/init.d", "usr/lib/systemd"} {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// addDebs puts the packages of spec, and all they depend on that no lower layer
// has, into t.
func (b *builder) addDebs(ctx context.Context, t tree, spec layerSpec) error {
	names, err := b.resolveDebs(ctx, spec)
	if err != nil {
		return err
	}
	found, err := b.downloadDebs(ctx, names)
	if err != nil {
		return err
	}
	b.say("unpacking %d Debian packages", len(found))
	var list strings.Builder
	for _, d := range found {
		fmt.Fprintln(&list, d.sum, d.file)
		tarball, err := command{
			step: "unpacking " + d.file, program: "dpkg-deb", args: []string{"--fsys-tarfile", filepath.Join(b.debFolder(), d.file)},
			install: "mkimage needs Debian or Ubuntu", hint: "remove the file and try again",
		}.run(ctx)
		if err != nil {
			return err
		}
		if err := t.addPackage(bytes.NewReader(tarball)); err != nil {
			return fmt.Errorf("unpacking %s: %w", d.file, err)
		}
	}
	if err := t.bundleCertificates(); err != nil {
		return err
	}
	return t.addText("usr/share/mkimage/"+spec.Name+".sha256", 0o644, []byte(list.String()))
}

func checkSum(name, want string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has SHA-256 %s, not %s", filepath.Base(name), got, want)
	}
	return nil
}

// addPackage reads the tar of one Debian package into t.
func (t tree) addPackage(r io.Reader) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := cleanPath(h.Name)
		if err != nil {
			return err
		}
		p = merge(p)
		if p == "" || dropped(p) {
			continue
		}
		e, err := t.packageEntry(tr, h)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := t.add(p, e); err != nil {
			return err
		}
	}
}

// packageEntry is one entry of a Debian package. A hard link becomes a copy:
// sorting the layer could put it before its target.
func (t tree) packageEntry(tr *tar.Reader, h *tar.Header) (entry, error) {
	switch h.Typeflag {
	case tar.TypeDir:
		return entry{kind: tar.TypeDir, mode: h.Mode}, nil
	case tar.TypeSymlink:
		return entry{kind: tar.TypeSymlink, mode: 0o777, link: h.Linkname}, nil
	case tar.TypeLink:
		target, err := cleanPath(h.Linkname)
		if err != nil {
			return entry{}, err
		}
		e, ok := t[merge(target)]
		if !ok || e.kind != tar.TypeReg {
			return entry{}, fmt.Errorf("link to %s, which is no file before it", h.Linkname)
		}
		return e, nil
	case tar.TypeReg:
		if h.Size > maxPackageFile {
			return entry{}, fmt.Errorf("%d bytes; at most %d", h.Size, maxPackageFile)
		}
		data, err := io.ReadAll(tr)
		return entry{kind: tar.TypeReg, mode: h.Mode, data: data}, err
	}
	return entry{}, fmt.Errorf("an entry of type %q", h.Typeflag)
}

// merge moves a path into /usr as Debian's merged layout does.
func merge(p string) string {
	first, _, _ := strings.Cut(p, "/")
	if slices.Contains(mergedFolders[:], first) {
		return "usr/" + p
	}
	return p
}

// bundleCertificates replaces the authorities' single files by the one bundle
// that TLS libraries read; Debian makes it in the package's script.
func (t tree) bundleCertificates() error {
	const folder = "usr/share/ca-certificates"
	var bundle bytes.Buffer
	for _, p := range slices.Sorted(maps.Keys(t)) {
		if p != folder && !strings.HasPrefix(p, folder+"/") {
			continue
		}
		if strings.HasSuffix(p, ".crt") {
			bundle.Write(t[p].data)
			bundle.WriteByte('\n')
		}
		delete(t, p)
	}
	if bundle.Len() == 0 {
		return nil
	}
	return t.addText(strings.TrimPrefix(certificates, "/"), 0o644, bundle.Bytes())
}
