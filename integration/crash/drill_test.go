package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	c := newCrasher(t)
	from := len(c.log())
	if !c.start(programs.crashing, "MCPRUN_CRASH_TRACE=1") {
		t.Fatal("the daemon ended at its start")
	}
	before := c.images()
	c.d.Run("drill", "kill", "--rounds", "1") // whether its aims are met does not matter here
	passed := c.log()[from:]
	c.d.Shutdown()
	for _, step := range wherever {
		n := firstAfter(passed, "drill.named", step)
		if n == "" {
			t.Fatalf("a drill passes no %s", step)
		}
		from := len(c.log())
		if !c.start(programs.crashing, "MCPRUN_CRASH_AT="+n) {
			t.Fatal("the daemon ended at its start")
		}
		if _, errs, code := c.d.Run("drill", "kill", "--rounds", "1"); code != 4 {
			t.Fatalf("with a crash at %s: exit code %d, %s", step, code, errs)
		}
		c.d.Wait()
		m := crashLine.FindStringSubmatch(c.log()[from:])
		if m == nil {
			t.Fatalf("there was no crash at %s (%s)", step, n)
		}
		t.Logf("%s: crash at %s", step, m[1])
		if !c.start(c.ordinary) {
			t.Fatal("the daemon does not start again")
		}
		if left, _ := filepath.Glob(c.d.Dirs.Switches() + "/*.json"); len(left) > 0 {
			t.Errorf("after a crash at %s there are switches: %q", m[1], left)
		}
		if _, err := os.Stat(c.d.Dirs.Drill()); err == nil {
			t.Errorf("after a crash at %s the decoy's folder is there", m[1])
		}
		if diff := cmp.Diff(before, c.images()); diff != "" {
			t.Errorf("after a crash at %s (images, -before +after):\n%s", m[1], diff)
		}
		nothingLeft(t, c.d, c.before)
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

// firstAfter is the number of the first fail point of that name from another one on.
func firstAfter(log, begin, name string) string {
	line := func(name string) *regexp.Regexp {
		return regexp.MustCompile(fmt.Sprintf(`(?m)^failpoint (\d+) %s$`, regexp.QuoteMeta(name)))
	}
	at := line(begin).FindStringIndex(log)
	if at == nil {
		return ""
	}
	if m := line(name).FindStringSubmatch(log[at[0]:]); m != nil {
		return m[1]
	}
	return ""
}
