package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is the content of one layer by path, without a leading slash.
type tree map[string]entry

// entry is one file, folder or symbolic link.
type entry struct {
	kind  byte // of archive/tar
	mode  int64
	owner int // user and group
	link  string
	data  []byte
	from  string // a file of this machine in place of data, for big ones
}

// fixedTime is the time of every file: one that zip tools can hold too, as 1970
// is before the first time they know.
func fixedTime() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// modeBits are kept of what a package asks for. Set-user-id and set-group-id are
// not: nothing in a test image needs them.
const modeBits = 0o1777

// cleanPath makes p relative to the root of the layer and refuses one that
// leaves it: paths come out of packages.
func cleanPath(p string) (string, error) {
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("path %q holds a zero byte", p)
	}
	if slices.Contains(strings.Split(p, "/"), "..") {
		return "", fmt.Errorf("path %q leaves the image", p)
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/"), nil
}

// add puts e at p and makes the folders above it. A folder may be added twice;
// anything else twice is a clash of two packages.
func (t tree) add(p string, e entry) error {
	p, err := cleanPath(p)
	if err != nil || p == "" {
		return err
	}
	e.mode &= modeBits
	if old, ok := t[p]; ok && !(old.kind == tar.TypeDir && e.kind == tar.TypeDir) {
		return fmt.Errorf("%s is in the layer already", p)
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if above, ok := t[dir]; !ok {
			t[dir] = entry{kind: tar.TypeDir, mode: 0o755}
		} else if above.kind != tar.TypeDir {
			return fmt.Errorf("%s lies below %s, which is no folder", p, dir)
		}
	}
	t[p] = e
	return nil
}

func (t tree) addText(p string, mode int64, text []byte) error {
	return t.add(p, entry{kind: tar.TypeReg, mode: mode, data: text})
}

func (t tree) addFiles(files []file) error {
	for _, f := range files {
		e := entry{kind: tar.TypeReg, mode: f.Mode, owner: f.Owner, data: []byte(f.Text)}
		switch {
		case f.Dir:
			e.kind = tar.TypeDir
		case f.Link != "":
			e = entry{kind: tar.TypeSymlink, mode: 0o777, link: f.Link}
		}
		if err := t.add(f.Path, e); err != nil {
			return err
		}
	}
	return nil
}

// write writes t as a tar: sorted, so a folder comes before what it holds, and
// with nothing of this machine in it.
func (t tree) write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, p := range slices.Sorted(maps.Keys(t)) {
		if err := t[p].write(tw, p); err != nil {
			return fmt.Errorf("writing %s: %w", p, err)
		}
	}
	return tw.Close()
}

func (e entry) write(tw *tar.Writer, p string) error {
	h := &tar.Header{Typeflag: e.kind, Name: p, Linkname: e.link, Mode: e.mode, Uid: e.owner, Gid: e.owner, ModTime: fixedTime()}
	var body io.Reader = bytes.NewReader(e.data)
	switch {
	case e.kind == tar.TypeDir:
		h.Name += "/"
	case e.from != "":
		f, err := os.Open(e.from)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Size, body = info.Size(), f
	default:
		h.Size = int64(len(e.data))
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(tw, body)
	return err
}
