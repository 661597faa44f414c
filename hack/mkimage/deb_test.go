package main

import (
	"archive/tar"
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const depends = `git
  Depends: libc6
  PreDepends: zlib1g
 |Depends: perl
  Depends: liberror-perl
  Depends: git-man
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: libc6
zlib1g
  Depends: libc6
perl
either
 |Depends: <virtual>
    provider
  Depends: zlib1g
script
  Depends: <python3:any>
    python3
python3
  Depends: libc6
stuck
  Depends: <virtual>
    provider
broken
  Depends: nowhere
<virtual>
`

func TestClosureOfDebs(t *testing.T) {
	graph, err := parseDepends([]byte(depends))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		root string
		want []string
		why  string
	}{
		{"git", []string{"git", "libc6", "libgcc-s1", "zlib1g"}, ""},
		{"libc6", []string{"libc6", "libgcc-s1"}, ""},
		{"either", []string{"either", "libc6", "libgcc-s1", "zlib1g"}, ""},
		{"script", []string{"libc6", "libgcc-s1", "python3", "script"}, ""},
		{"stuck", nil, "stuck: needs one of <virtual>, all virtual: name a provider in the recipe"},
		{"broken", nil, "apt knows no package nowhere"},
		{"absent", nil, "apt knows no package absent"},
	} {
		all, err := graph.closure([]string{c.root})
		if diff := cmp.Diff(c.want, slices.Sorted(maps.Keys(all))); diff != "" || text(err) != c.why {
			t.Errorf("closure(%s): %q, want %q (-want +got):\n%s", c.root, text(err), c.why, diff)
		}
	}
	if _, err := parseDepends([]byte("  Depends: x\n")); text(err) != `"  Depends: x" comes before a package` {
		t.Errorf("a need before any package: %v", err)
	}
}

func TestParseURIs(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct{ name, in, why string }{
		{"good", "'http://mirror.invalid/x_1_amd64.deb' x_1%3a2_amd64.deb 12 SHA256:" + sum + "\n", ""},
		{"three fields", "'http://mirror.invalid/x.deb' x.deb 12\n", "has not four fields"},
		{"a weaker sum", "'u' x.deb 12 MD5Sum:" + sum + "\n", "has no SHA-256"},
		{"a short sum", "'u' x.deb 12 SHA256:abcd\n", "has no SHA-256"},
		{"no hex", "'u' x.deb 12 SHA256:" + strings.Repeat("zz", 32) + "\n", "has no SHA-256"},
		{"a folder", "'u' ../x.deb 12 SHA256:" + sum + "\n", "names no .deb file"},
		{"another file", "'u' x.tar 12 SHA256:" + sum + "\n", "names no .deb file"},
	} {
		got, err := parseURIs([]byte(c.in))
		if c.why == "" {
			if diff := cmp.Diff([]deb{{"x_1%3a2_amd64.deb", sum}}, got, cmp.AllowUnexported(deb{})); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", c.name, err, diff)
			}
		} else if !strings.HasSuffix(text(err), c.why) {
			t.Errorf("%s: %q, want %q", c.name, text(err), c.why)
		}
	}
}

func TestAddPackage(t *testing.T) {
	type header = tar.Header
	for _, c := range []struct {
		name    string
		entries []header
		want    []string // paths with kind and mode
		why     string
	}{
		{"merged into /usr", []header{{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "./bin/sh", Typeflag: tar.TypeReg, Mode: 0o755}},
			[]string{"usr 5 755", "usr/bin 5 755", "usr/bin/sh 0 755"}, ""},
		{"documents dropped, licences kept", []header{{Name: "usr/share/man/x", Typeflag: tar.TypeReg}, {Name: "usr/share/doc/x/NEWS", Typeflag: tar.TypeReg},
			{Name: "usr/share/doc/x/copyright", Typeflag: tar.TypeReg, Mode: 0o644}},
			[]string{"usr 5 755", "usr/share 5 755", "usr/share/doc 5 755", "usr/share/doc/x 5 755", "usr/share/doc/x/copyright 0 644"}, ""},
		{"no set-user-id", []header{{Name: "su", Typeflag: tar.TypeReg, Mode: 0o6755}}, []string{"su 0 755"}, ""},
		{"hard link as a copy", []header{{Name: "bin/a", Typeflag: tar.TypeReg, Mode: 0o755}, {Name: "b", Typeflag: tar.TypeLink, Linkname: "./bin/a"}},
			[]string{"b 0 755", "usr 5 755", "usr/bin 5 755", "usr/bin/a 0 755"}, ""},
		{"hard link to nothing", []header{{Name: "b", Typeflag: tar.TypeLink, Linkname: "etc/shadow"}}, nil, "b: link to etc/shadow, which is no file before it"},
		{"out of the image", []header{{Name: "../etc/x", Typeflag: tar.TypeReg}}, nil, `path "../etc/x" leaves the image`},
		{"a device", []header{{Name: "dev/sda", Typeflag: tar.TypeBlock}}, nil, "dev/sda: an entry of type '4'"},
		{"through a link", []header{{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "out/x", Typeflag: tar.TypeReg}}, nil, "out/x lies below out, which is no folder"},
	} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, h := range c.entries {
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		tr := tree{}
		err := tr.addPackage(&b)
		if text(err) != c.why {
			t.Errorf("%s: %q, want %q", c.name, text(err), c.why)
		}
		if c.why == "" {
			if diff := cmp.Diff(c.want, describe(tr)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

func TestBundleCertificates(t *testing.T) {
	tr := tree{}
	for _, name := range []string{"b", "a"} {
		if err := tr.addText("usr/share/ca-certificates/mozilla/"+name+".crt", 0o644, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.bundleCertificates(); err != nil {
		t.Fatal(err)
	}
	if got := string(tr["etc/ssl/certs/ca-certificates.crt"].data); got != "a\nb\n" {
		t.Errorf("bundle %q", got)
	}
	if _, ok := tr["usr/share/ca-certificates/mozilla/a.crt"]; ok {
		t.Error("the single file is still there")
	}
}

func describe(t tree) []string {
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(t)) {
		lines = append(lines, p+" "+string(t[p].kind)+" "+strconv.FormatInt(t[p].mode, 8))
	}
	return lines
}

func FuzzParseURIs(f *testing.F) {
	f.Add([]byte("'http://mirror.invalid/x.deb' x.deb 12 SHA256:" + strings.Repeat("ab", 32) + "\n"))
	f.Add([]byte("'u' ../x.deb 12 SHA256:00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parseURIs(data)
		if err != nil {
			return
		}
		for _, d := range found {
			if filepath.Base(d.file) != d.file || !strings.HasSuffix(d.file, ".deb") || len(d.sum) != 64 {
				t.Errorf("%+v", d)
			}
		}
	})
}

func FuzzDepends(f *testing.F) {
	f.Add([]byte(depends), "git")
	f.Add([]byte("a\n  Depends: a\n"), "a")
	f.Fuzz(func(t *testing.T, data []byte, root string) {
		graph, err := parseDepends(data)
		if err != nil {
			return
		}
		all, err := graph.closure([]string{root})
		if err != nil {
			return
		}
		for name := range all {
			if _, known := graph[name]; !known {
				t.Errorf("%q is in the closure and not in the graph", name)
			}
		}
	})
}

func FuzzAddPackage(f *testing.F) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755}); err != nil {
		f.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		tr := tree{}
		if tr.addPackage(bytes.NewReader(data)) != nil {
			return
		}
		for p, e := range tr {
			if clean, err := cleanPath(p); err != nil || clean != p {
				t.Errorf("path %q", p)
			}
			if e.mode&^modeBits != 0 || !strings.ContainsRune(string([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink}), rune(e.kind)) {
				t.Errorf("%q has kind %q and mode %o", p, e.kind, e.mode)
			}
		}
	})
}
