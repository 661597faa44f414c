package preserve

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// holes ends the name of a file that is kept without its holes; no other name ends so,
// as Plain writes a % of its own as %25.
const holes = "%holes"

// tarOverhead is what one file adds to a tar beside its bytes: headers and padding.
const tarOverhead = 2048

// Archive writes the regular files of a list that are not empty into a tar, the small ones first, so that
// a few big ones do not keep out the others, until room bytes are used. What becomes of
// each is noted in its entry. Only writing can fail.
func (l *List) Archive(ctx context.Context, w io.Writer, room int64) error {
	var files []*Entry
	for _, e := range l.Entries {
		if e.Type == "file" && e.Size > 0 { // of an empty one the list says all
			files = append(files, e)
		}
	}
	slices.SortStableFunc(files, func(a, b *Entry) int { return cmp.Compare(a.bytes(), b.bytes()) })
	out := tar.NewWriter(w)
	for _, e := range files {
		if err := over(ctx); err != nil {
			e.Left = err.Error()
			continue
		}
		n, err := e.archive(ctx, out, room)
		var failed *writing
		if errors.As(err, &failed) {
			e.Left = failed.Error()
			return failed
		}
		if err != nil {
			e.Left = err.Error()
		}
		room -= n
	}
	if err := out.Close(); err != nil {
		return &writing{err}
	}
	return nil
}

// bytes is how much of a file there is to keep: a hole is nothing.
func (e *Entry) bytes() int64 { return min(e.Size, e.OnDisk) }

// writing is an error of where the copy goes, as opposed to where it comes from.
type writing struct{ error }

// archive copies one file, and returns how much room it took.
func (e *Entry) archive(ctx context.Context, out *tar.Writer, room int64) (int64, error) {
	f, err := e.reopen()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pieces, cut, err := e.pieces(f)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, p := range pieces {
		total += p[1]
	}
	if total+tarOverhead > room {
		return 0, fmt.Errorf("its %d bytes are over the bound of what is kept of one server", total)
	}
	name := archiveName(e.Path)
	if len(pieces) != 1 || pieces[0] != [2]int64{0, e.Size} {
		name += holes
		e.Extents = pieces
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: total, ModTime: e.Modified, Format: tar.FormatPAX}
	if err := out.WriteHeader(h); err != nil {
		return 0, &writing{err}
	}
	sum := sha256.New()
	short, err := copyPieces(ctx, io.MultiWriter(out, sum), f, pieces)
	if err != nil {
		return total, &writing{err}
	}
	e.Kept, e.Digest = name, "sha256:"+hex.EncodeToString(sum.Sum(nil))
	switch {
	case short > 0:
		return total + tarOverhead, fmt.Errorf("its last %d bytes could not be read, and are zeros in the copy", short)
	case cut:
		return total + tarOverhead, fmt.Errorf("only its first %d pieces are kept", maxExtents)
	}
	return total + tarOverhead, nil
}

// reopen opens the file that was listed, if it is still there and still a file: not
// another one, no link, and nothing that does something when it is opened.
func (e *Entry) reopen() (*os.File, error) {
	held, err := e.tree.open(e.path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(held.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Ino != e.inode {
		return nil, errors.New("it was another one by the time it was read")
	}
	e.Size, e.OnDisk = st.Size, st.Blocks*512
	// Not blocking: a lease of a process that does not answer would hold it up.
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", held.Fd()), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", errors.Unwrap(err))
	}
	return f, nil
}

// pieces are the parts of a file that are no holes, as offset and length.
func (e *Entry) pieces(f *os.File) (out [][2]int64, cut bool, err error) {
	if e.OnDisk >= e.Size {
		return [][2]int64{{0, e.Size}}, false, nil
	}
	for at := int64(0); at < e.Size; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, false, fmt.Errorf("looking for its holes: %w", err)
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return nil, false, fmt.Errorf("looking for its holes: %w", err)
		}
		from, to = min(from, e.Size), min(to, e.Size)
		if to <= from {
			break
		}
		if len(out) == maxExtents {
			return out, true, nil
		}
		out = append(out, [2]int64{from, to - from})
		at = to
	}
	return out, false, nil
}

// copyPieces copies them, with zeros for what could not be read: the archive said
// already how long the file is.
func copyPieces(ctx context.Context, w io.Writer, f *os.File, pieces [][2]int64) (short int64, err error) {
	buf := make([]byte, chunk)
	for _, p := range pieces {
		for at, left := p[0], p[1]; left > 0; {
			part := buf[:min(left, chunk)]
			n := 0
			if short == 0 && over(ctx) == nil {
				n, _ = f.ReadAt(part, at)
			}
			clear(part[n:])
			short += int64(len(part) - n)
			if _, err := w.Write(part); err != nil {
				return short, err
			}
			at, left = at+int64(len(part)), left-int64(len(part))
		}
	}
	return short, nil
}

// maxElement is the longest name of a file that file systems take.
const maxElement = 255

// archiveName is the name of a file in the archive, which can be unpacked anywhere: names
// that Plain made too long for a file system are named by their digest.
func archiveName(p string) string {
	long := len(p)+len(holes) > unix.PathMax/2
	for _, part := range strings.Split(p, "/") {
		long = long || len(part)+len(holes) > maxElement
	}
	if !long {
		return p
	}
	sum := sha256.Sum256([]byte(p))
	tree, _, _ := strings.Cut(p, "/")
	return path.Join(tree, "%long", hex.EncodeToString(sum[:]))
}
