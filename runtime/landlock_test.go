package runtime

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// What may be written is what the mounts say, and nothing that is mounted for reading.
func TestLandlockOfSpec(t *testing.T) {
	m := manifest.Default()
	m.Name, m.Command = "s", []string{"/bin/server"}
	m.Files = []manifest.File{
		{From: "/a", To: "/workspace", Access: manifest.Write}, {From: "/b", To: "/reference", Access: manifest.Read}, {Tmpfs: true, To: "/cache", Size: 1 << 20},
	}
	s, err := Spec(m, program(Plan{Server: m}), placement(t, m))
	if err != nil {
		t.Fatal(err)
	}
	want := []landlock.Path{
		{Path: "/", Allow: landlock.ReadExecute}, {Path: "/dev", Allow: landlock.Devices}, {Path: "/dev/shm", Allow: landlock.Own}, {Path: "/tmp", Allow: landlock.Own},
		{Path: "/workspace", Allow: landlock.Write}, {Path: "/cache", Allow: landlock.Own},
	}
	if diff := cmp.Diff(want, landlockPaths(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := &Runtime{landlock: 7}
	for name, tc := range map[string]struct {
		plan Plan
		want string
	}{
		"a way out":  {Plan{Server: m, Network: Network{Namespace: "/proc/1/fd/3"}}, ""},
		"no way out": {Plan{Server: m}, "; no TCP"},
	} {
		if got := r.landlockOf(tc.plan, s).String(); got != "/: execute read; /dev: read write ioctl; /dev/shm: read write make remove sockets; /tmp: read write make remove sockets; /workspace: read write make remove; /cache: read write make remove sockets"+tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	m.Isolation = manifest.GVisor
	if got := r.landlockOf(Plan{Server: m}, s); got != nil {
		t.Errorf("behind gVisor: %s", got)
	}
}
