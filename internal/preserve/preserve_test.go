package preserve

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) *Tree {
	t.Helper()
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Tree{Name: "tmp", Root: f}
}

// keep lists and archives a folder, and returns the entries and what is in the archive,
// by name.
func keep(t *testing.T, dir string, room int64) (l List, entries map[string]*Entry, kept map[string]string) {
	t.Helper()
	l.Look(t.Context(), open(t, dir))
	var raw bytes.Buffer
	if err := l.Archive(t.Context(), &raw, room); err != nil {
		t.Fatal(err)
	}
	entries, kept = map[string]*Entry{}, map[string]string{}
	for _, e := range l.Entries {
		entries[e.Path] = e
	}
	for r := tar.NewReader(&raw); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l, entries, kept
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o600 || h.Uid != 0 || h.Linkname != "" || strings.Contains(h.Name, "..") || strings.HasPrefix(h.Name, "/") {
			t.Errorf("in the archive: %+v", h)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		kept[h.Name] = string(text)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// What a hostile server leaves is listed as it is, and nothing of it leads out of its
// folder or does anything: a file next to it, the control, is kept as it was.
func TestHostileTree(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("of the host"), 0o600),
		os.WriteFile(at("good"), []byte("evidence"), 0o644), unix.Chmod(at("good"), 0o4755),
		os.Symlink(filepath.Join(outside, "secret"), at("link")), os.Symlink(outside, at("folder-link")), os.Symlink("/proc/self/root", at("magic")),
		unix.Mkfifo(at("fifo"), 0o666), os.Mkdir(at("empty"), 0o700),
		os.WriteFile(at("a\nb\x1b[31m%\xff\u202e"), []byte("odd"), 0o600),
		os.WriteFile(at(strings.Repeat("\x01", 255)), []byte("long"), 0o600))
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.Mknod(at("whiteout"), unix.S_IFCHR, 0))
	}
	ln, err := net.Listen("unix", at("sock"))
	must(t, err)
	defer ln.Close()

	_, entries, kept := keep(t, dir, MaxBytes)
	odd := "tmp/a%0Ab%1B[31m%25%FF%E2%80%AE"
	for name, want := range map[string]string{"tmp/good": "evidence", odd: "odd"} {
		if kept[name] != want {
			t.Errorf("%s is %q, want %q", name, kept[name], want)
		}
	}
	long := entries["tmp/"+strings.Repeat("%01", 255)]
	if long == nil || !strings.HasPrefix(long.Kept, "tmp/%long/") || kept[long.Kept] != "long" {
		t.Errorf("a name that becomes too long: %+v", long)
	}
	if len(kept) != 3 {
		t.Errorf("the archive has %d files: %v", len(kept), kept)
	}
	for name, want := range map[string][3]string{
		"tmp/link": {"link", filepath.Join(outside, "secret"), ""}, "tmp/folder-link": {"link", outside, ""}, "tmp/magic": {"link", "/proc/self/root", ""},
		"tmp/fifo": {"fifo", "", ""}, "tmp/sock": {"socket", "", ""}, "tmp/empty": {"folder", "", ""}, "tmp/null": {"device", "", "1:3"}, "tmp/whiteout": {"removed", "", "0:0"},
	} {
		if e := entries[name]; e == nil && os.Geteuid() == 0 || e != nil && [3]string{e.Type, e.Target, e.Device} != want {
			t.Errorf("%s: %+v, want %q", name, e, want)
		}
	}
	if e := entries["tmp/good"]; e.Mode != "4755" || e.Digest == "" || e.Left != "" {
		t.Errorf("the good file: %+v", e)
	}
}

// A tree without end is looked at up to the bounds, and what is beyond is said.
func TestBounds(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "mcprun-") // as many files take a second on a disk
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	deep := dir
	for range MaxDepth + 3 {
		deep = filepath.Join(deep, "d")
	}
	must(t, os.MkdirAll(deep, 0o700), os.WriteFile(filepath.Join(deep, "hidden"), nil, 0o600), os.Mkdir(filepath.Join(dir, "many"), 0o700))
	for i := range MaxEntries + 500 {
		must(t, unix.Mkfifo(filepath.Join(dir, "many", fmt.Sprint(i)), 0o600))
	}
	l, entries, _ := keep(t, dir, MaxBytes)
	if len(l.Entries) > MaxEntries+MaxDepth || l.Unseen["tmp"] < 500 {
		t.Errorf("%d entries, %v unseen", len(l.Entries), l.Unseen)
	}
	// Counted: what is in the one folder. The deep one is looked into first, as far as it is near.
	l, entries, _ = keep(t, filepath.Join(dir, "d"), MaxBytes)
	last := entries["tmp/"+strings.TrimSuffix(strings.Repeat("d/", MaxDepth), "/")]
	if last == nil || !strings.Contains(last.Left, "deeper than 64") || len(l.Missing()) != 1 || len(entries) != MaxDepth {
		t.Errorf("%d entries, %q, %+v", len(entries), l.Missing(), last)
	}
}

// Of a huge file with holes the data is kept; what does not fit is left out, the big ones
// first.
func TestHolesAndRoom(t *testing.T) {
	dir := t.TempDir()
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	defer sparse.Close()
	_, err = sparse.WriteAt([]byte("needle"), 1<<30)
	must(t, err, sparse.Truncate(1<<40), os.WriteFile(filepath.Join(dir, "big"), make([]byte, 3<<20), 0o600), os.WriteFile(filepath.Join(dir, "small"), []byte("small"), 0o600))
	l, entries, kept := keep(t, dir, 1<<20)
	text, ok := kept["tmp/sparse"+holes]
	if e := entries["tmp/sparse"]; !ok || strings.Trim(text, "\x00") != "needle" || len(text) > 1<<20 || len(e.Extents) != 1 || e.Extents[0][0] > 1<<30 || e.Left != "" {
		t.Errorf("the one with a hole: %d bytes, %+v", len(text), e)
	}
	if kept["tmp/small"] != "small" {
		t.Error("the small one is not kept")
	}
	if e := entries["tmp/big"]; e.Kept != "" || !strings.Contains(e.Left, "over the bound") {
		t.Errorf("the big one: %+v", e)
	}
	if m := l.Missing(); len(m) != 1 || !strings.Contains(m[0], "1 of 3 files are not kept whole, of 3145728 bytes") {
		t.Errorf("missing: %q", m)
	}
	var none List
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	none.Look(ctx, open(t, dir))
	if len(none.Entries) > 0 || !strings.Contains(strings.Join(none.Missing(), " "), "the time for it was over") {
		t.Errorf("without time: %d entries, %q", len(none.Entries), none.Missing())
	}
}

// A file that was swapped for a link, a pipe or another file between the two looks is not
// read.
func TestSwapped(t *testing.T) {
	outside, dir := filepath.Join(t.TempDir(), "secret"), t.TempDir()
	must(t, os.WriteFile(outside, []byte("of the host"), 0o600))
	for name, swap := range map[string]func(string) error{
		"link": func(p string) error { return os.Symlink(outside, p) },
		"fifo": func(p string) error { return unix.Mkfifo(p, 0o600) },
		"file": func(p string) error { return os.Rename(filepath.Join(dir, "other"), p) },
		"none": func(string) error { return nil },
	} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("mine"), 0o600), os.WriteFile(filepath.Join(dir, "other"), []byte("other"), 0o600))
		var l List
		l.Look(t.Context(), open(t, dir))
		must(t, os.Remove(path), swap(path))
		var raw bytes.Buffer
		must(t, l.Archive(t.Context(), &raw, MaxBytes))
		for _, e := range l.Entries {
			if e.path == name && (e.Kept != "" || e.Left == "") {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if strings.Contains(raw.String(), "of the host") {
			t.Errorf("%s: the host's file is in the archive", name)
		}
		os.Remove(path)
	}
}

// Two names stay two, and none has anything that a terminal or a path takes for more.
func FuzzPlain(f *testing.F) {
	f.Add("a%0A", "a\n")
	f.Add("\u202e", "%E2%80%AE")
	f.Add("ä", "a\u0308")
	f.Fuzz(func(t *testing.T, a, b string) {
		pa, pb := Plain(a), Plain(b)
		if (pa == pb) != (a == b) {
			t.Errorf("Plain(%q) = %q, Plain(%q) = %q", a, pa, b, pb)
		}
		if strings.ContainsAny(pa, "\x00\n\r\x1b\u202e") || strings.HasSuffix(pa, holes) || strings.Count(pa, "/") != strings.Count(a, "/") {
			t.Errorf("Plain(%q) = %q", a, pa)
		}
	})
}

func TestProcesses(t *testing.T) {
	mine, err := os.ReadFile("/proc/self/cgroup")
	must(t, err)
	group := strings.TrimSpace(string(mine[bytes.LastIndexByte(bytes.TrimSpace(mine), ':')+1:]))
	got, left := Processes(t.Context(), []int{os.Getpid(), 1 << 30}, group, uint32(os.Geteuid()))
	if len(got) != 1 || left != 0 || got[0].PID != os.Getpid() || got[0].Parent != os.Getppid() || got[0].UID != 0 || !strings.Contains(got[0].Command, "test") || got[0].Exe == "" || len(got[0].Open) == 0 {
		t.Errorf("%+v, %d left", got, left)
	}
	if got, _ := Processes(t.Context(), []int{os.Getpid()}, "/another-group", 0); len(got) != 0 {
		t.Errorf("a process of another cgroup: %+v", got)
	}
}
