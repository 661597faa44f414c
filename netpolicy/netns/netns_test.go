package netns

import (
	"os"
	goruntime "runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
)

// A thread that entered a namespace ends there. The process's first thread cannot
// end: once it was taken, it stayed in a container's network, and everything that
// looks at /proc/PID/ns/net saw that one.
func TestTheFirstThreadStays(t *testing.T) {
	testenv.Need(t, "root")
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		ns, err := New()
		if err != nil {
			t.Fatal(err)
		}
		if err := ns.Do(func() error {
			if unix.Gettid() == os.Getpid() {
				t.Error("the first thread has entered a namespace")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		ns.Close()
		goruntime.Gosched()
	}
	if after, _ := os.Readlink("/proc/self/ns/net"); after != before {
		t.Errorf("the process is in %s, before in %s", after, before)
	}
}
