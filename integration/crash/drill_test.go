package crash

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wherever are steps at which a daemon dies in the middle of a drill, each the first of its
// kind after the drill has begun: with a folder and no more, with an image, with a switch
// that is half written, thrown, or taken back, and while it cleans up.
var wherever = []string{"drill.named", "runtime.image-unpacked", "limits.switch-written", "limits.switch-named", "limits.switch-removed", "drill.forgotten"}

// Whatever a drill has left when the daemon dies is gone after the next start: a switch of
// it that stayed thrown would be nobody's, and shown for ever.
func TestCrashesInADrill(t *testing.T) {
	t.Parallel()
	c := newCrasher(t)
	if !c.start(c.ordinary) {
		t.Fatal("the daemon ended at its start")
	}
	before := c.images()
	c.d.Shutdown()
	for _, step := range wherever {
		from := len(c.log())
		if !c.start(programs.crashing, "MCPRUN_CRASH_IN="+step) {
			t.Fatal("the daemon ended at its start")
		}
		if _, errs, code := c.d.Run("drill", "kill", "--rounds", "1"); code != 4 {
			t.Fatalf("with a crash at %s: exit code %d, %s", step, code, errs)
		}
		c.d.Wait()
		if m := crashLine.FindStringSubmatch(c.log()[from:]); m == nil || m[1] != step {
			t.Fatalf("there was no crash at %s: %q", step, m)
		}
		if !c.start(c.ordinary) {
			t.Fatal("the daemon does not start again")
		}
		if left, _ := filepath.Glob(c.d.Dirs.Switches() + "/*.json"); len(left) > 0 {
			t.Errorf("after a crash at %s there are switches: %q", step, left)
		}
		if _, err := os.Stat(c.d.Dirs.Drill()); err == nil {
			t.Errorf("after a crash at %s the decoy's folder is there", step)
		}
		if diff := cmp.Diff(before, c.images()); diff != "" {
			t.Errorf("after a crash at %s (images, -before +after):\n%s", step, diff)
		}
		c.d.NothingLeft(c.before)
		c.d.Must("start", "go.yaml")
		call(c.d)
		c.d.Must("audit", "verify")
		c.d.Shutdown()
	}
}

// images are the blobs that containerd keeps.
func (c *crasher) images() []string {
	found, err := filepath.Glob(filepath.Join(c.d.Dirs.ContainerdDB(), "io.containerd.content.v1.content", "blobs", "sha256", "*"))
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}
