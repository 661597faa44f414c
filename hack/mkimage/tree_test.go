package main

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCleanPath(t *testing.T) {
	for _, c := range []struct{ in, want, why string }{
		{"./usr/bin/git", "usr/bin/git", ""},
		{"/usr//bin/", "usr/bin", ""},
		{".", "", ""},
		{"a..b/c", "a..b/c", ""},
		{"../etc/passwd", "", `path "../etc/passwd" leaves the image`},
		{"usr/../../etc", "", `path "usr/../../etc" leaves the image`},
		{"usr/../bin", "", `path "usr/../bin" leaves the image`},
		{"a\x00b", "", `path "a\x00b" holds a zero byte`},
	} {
		got, err := cleanPath(c.in)
		if got != c.want || text(err) != c.why {
			t.Errorf("cleanPath(%q) = %q, %q; want %q, %q", c.in, got, text(err), c.want, c.why)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTreeRefusesClashes(t *testing.T) {
	folder := entry{kind: tar.TypeDir, mode: 0o755}
	regular := entry{kind: tar.TypeReg, mode: 0o644}
	link := entry{kind: tar.TypeSymlink, link: "/etc"}
	for _, c := range []struct {
		name          string
		first, second string
		a, b          entry
		why           string
	}{
		{"a folder twice", "usr", "usr", folder, folder, ""},
		{"a file in a folder", "usr", "usr/x", folder, regular, ""},
		{"a file twice", "usr/x", "usr/x", regular, regular, "usr/x is in the layer already"},
		{"a folder over a file", "usr/x", "usr/x", regular, folder, "usr/x is in the layer already"},
		{"below a file", "usr/x", "usr/x/y", regular, regular, "usr/x/y lies below usr/x, which is no folder"},
		{"through a link", "out", "out/passwd", link, regular, "out/passwd lies below out, which is no folder"},
	} {
		tr := tree{}
		if err := tr.add(c.first, c.a); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := text(tr.add(c.second, c.b)); got != c.why {
			t.Errorf("%s: %q, want %q", c.name, got, c.why)
		}
	}
}

func TestTreeTarIsSortedAndPlain(t *testing.T) {
	one := []file{{Path: "b/x", Mode: 0o4755, Text: "run"}, {Path: "a", Link: "b"}, {Path: "tmp", Mode: 0o1777, Owner: user, Dir: true}}
	other := []file{one[2], one[0], one[1]}
	first, second := tarOf(t, one), tarOf(t, other)
	if !bytes.Equal(first, second) {
		t.Error("the order of adding shows in the tar")
	}
	type header struct {
		Name, Link string
		Mode       int64
		Owner      int
		Year       int
	}
	var got []header
	for tr := tar.NewReader(bytes.NewReader(first)); ; {
		h, err := tr.Next()
		if err != nil {
			break
		}
		got = append(got, header{h.Name, h.Linkname, h.Mode, h.Uid, h.ModTime.UTC().Year()})
	}
	want := []header{{"a", "b", 0o777, 0, 1980}, {"b/", "", 0o755, 0, 1980}, {"b/x", "", 0o755, 0, 1980}, {"tmp/", "", 0o1777, user, 1980}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func tarOf(t *testing.T, files []file) []byte {
	t.Helper()
	tr := tree{}
	if err := tr.addFiles(files); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tr.write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"./usr/bin", "../x", "/", "a/./b//c/", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := cleanPath(s)
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(got, "/") {
			if part == ".." || part == "." || (part == "" && got != "") {
				t.Errorf("cleanPath(%q) = %q", s, got)
			}
		}
		if again, err := cleanPath(got); err != nil || again != got {
			t.Errorf("cleanPath(%q) = %q, then %q, %v", s, got, again, err)
		}
	})
}
