package landlock

import (
	"encoding/hex"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNew(t *testing.T) {
	paths := []Path{{"/", ReadExecute}, {"/workspace", Write}, {"/dev", Devices}, {"/tmp", Own}}
	for _, tc := range []struct {
		abi                int
		tcp                bool
		files, net, scoped uint64
		text               string
	}{
		{abi: 0, text: "none"},
		{abi: 1, text: "none"}, // it refuses every move to another folder
		{abi: 2, files: 0x3fff, text: "/: execute read; /workspace: read write make remove; /dev: read write; /tmp: read write make remove sockets"},
		{abi: 3, files: 0x7fff, text: "/: execute read; /workspace: read write make remove; /dev: read write; /tmp: read write make remove sockets"},
		{abi: 4, files: 0x7fff, net: 2, text: "/: execute read; /workspace: read write make remove; /dev: read write; /tmp: read write make remove sockets; no TCP"},
		{abi: 5, files: 0xffff, net: 2, text: "/: execute read; /workspace: read write make remove; /dev: read write ioctl; /tmp: read write make remove sockets; no TCP"},
		{abi: 6, tcp: true, files: 0xffff, scoped: 3, text: "/: execute read; /workspace: read write make remove; /dev: read write ioctl; /tmp: read write make remove sockets"},
		{abi: 99, tcp: true, files: 0xffff, scoped: 3, text: "/: execute read; /workspace: read write make remove; /dev: read write ioctl; /tmp: read write make remove sockets"},
	} {
		r := New(tc.abi, paths, tc.tcp)
		if r.String() != tc.text {
			t.Errorf("version %d: %s, want %s", tc.abi, r, tc.text)
		}
		if r == nil {
			continue
		}
		if r.Files != tc.files || r.Net != tc.net || r.Scoped != tc.scoped {
			t.Errorf("version %d refuses %x, %x, %x", tc.abi, r.Files, r.Net, r.Scoped)
		}
		for _, p := range r.Paths {
			if p.Allow&^r.Files != 0 || p.Allow == 0 {
				t.Errorf("version %d: %s allows %x of %x, which the kernel does not take", tc.abi, p.Path, p.Allow, r.Files)
			}
			if p.Allow&(unix.LANDLOCK_ACCESS_FS_MAKE_CHAR|unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK) != 0 {
				t.Errorf("version %d: devices can be made in %s", tc.abi, p.Path)
			}
		}
	}
}

// The bytes that mcprun-init reads, whose own test holds the same form.
func TestAppend(t *testing.T) {
	r := &Rules{Files: 7, Net: 2, Scoped: 3, Paths: []Path{{"/", 4}, {"/w", 6}}}
	want := "ff" + "2d000000" + "0700000000000000" + "0200000000000000" + "0300000000000000" + "04000000000000002f00" + "06000000000000002f7700"
	if got := hex.EncodeToString(r.Append([]byte{0xff})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var none *Rules
	if got := hex.EncodeToString(none.Append(nil)); got != "00000000" {
		t.Errorf("no rules are %s", got)
	}
}
