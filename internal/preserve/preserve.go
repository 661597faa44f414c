// Package preserve keeps what a container holds, for a look after its end: its processes,
// and copies of the files that it could write.
//
// Whoever is in the container chooses names, sizes, links, kinds and depth of those
// files. So nothing is opened by more than one step from a folder that is held, no link
// is followed, no mount is crossed, nothing but regular files is read, and what is copied
// is plain files in a tar, without owner, mode or links. What they were is in a list
// beside it. All of it is bounded, and what is left out is counted.
//
// What it does NOT do: it copies no memory of processes and no environment, and takes
// nothing out of what it copies. It does not stop the processes: where they run on, files
// change under it, and the copy is of no single moment.
package preserve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	// MaxBytes bounds the copies of one container: four times the /tmp that a server has
	// if its file says nothing, and a second or two of a slow disk.
	MaxBytes = 256 << 20
	// maxShare is the part of the free space that is taken at most: what is kept of a
	// server that filled its folders must not fill the disk that the record needs.
	maxShare = 4
	// MaxEntries bounds the files and folders of one tree that are listed: more than a
	// tool needs, and some MiB of list.
	MaxEntries = 20_000
	// MaxDepth bounds how deep folders are looked into; people do not make deeper ones.
	MaxDepth = 64
	// maxExtents bounds the pieces of one file with holes.
	maxExtents = 1024
	// chunk is what is copied between two looks at the time.
	chunk = 1 << 20
)

// File is one file of a Folder.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// Folder is where the copies of one container are. Only root can enter it.
type Folder struct {
	Path  string
	Files []File
}

// Make makes a folder of that name below base, and base if it is not there.
func Make(base, name string) (*Folder, error) {
	err := os.MkdirAll(base, 0o700)
	f := &Folder{Path: filepath.Join(base, name)}
	if err == nil {
		err = os.Mkdir(f.Path, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("making a folder for what is kept: %w", err)
	}
	return f, nil
}

// Write makes one file of what fill writes, and notes its digest. On an error the file has
// what was written until then, and counts.
func (f *Folder) Write(name string, fill func(io.Writer) error) error {
	out, err := os.OpenFile(filepath.Join(f.Path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	sum := sha256.New()
	n := &counter{w: io.MultiWriter(out, sum)}
	err = errors.Join(fill(n), out.Sync(), out.Close())
	f.Files = append(f.Files, File{Name: name, Size: n.n, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Room is how many bytes may be kept of one of n containers below a folder.
func Room(dir string, n int) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the space in %s: %w", dir, err)
	}
	return min(MaxBytes, int64(st.Bavail)*st.Bsize/maxShare/int64(max(1, n))), nil
}

// Plain is text of a container as one can print it: what is not printable, and %, is
// written as %XX for each byte, so that no two names become the same.
func Plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '%' || r == utf8.RuneError || !unicode.IsPrint(r) {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// over is why ctx ended, for those who read what is missing.
func over(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("the time for it was over")
	}
	return nil
}
