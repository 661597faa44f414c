package manifest

import (
	"strings"
	"testing"
)

func TestExplainPath(t *testing.T) {
	m := &Server{Files: []File{
		{From: "./data", To: "/work", Access: Read},
		{From: "/srv/out", To: "/work/out", Access: Write},
		{To: "/cache", Tmpfs: true},
	}}
	for _, row := range []struct{ path, says, hint string }{
		{"/work/a.txt", "it is /home/op/data/a.txt of this machine, which the server may read", "from: ./data, to: /work, access: write"},
		{"/work/../work/out/b", "it is /srv/out/b of this machine, which the server may read and change", ""},
		{"/cache/x", "in memory", ""},
		{"/home/op/data/a.txt", "this machine's /home/op/data/a.txt is /work/a.txt for the server", ""},
		{"/home/op/projects/database", "this machine's is not in the container", "from: /home/op/projects, to: /home/op/projects"},
		{"/workshop", "not in the container", "folder of its own"},
		{"/etc/shadow", "is the image's", "folder of its own"},
		{"/tmp/x", "the server's own", ""},
		{"/proc/1/environ", "the container's own", ""},
	} {
		says, hint := m.ExplainPath("/home/op", row.path)
		if !strings.Contains(says, row.says) || !strings.Contains(hint, row.hint) || row.hint == "" && hint != "" {
			t.Errorf("%s: %q, %q", row.path, says, hint)
		}
	}
}
