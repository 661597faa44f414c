package kill

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// put makes a file in the kill folder as a whole, as one who gives a reason does.
func put(t *testing.T, d *harness.Daemon, name, why string) {
	t.Helper()
	part := filepath.Join(d.Dirs.Kill(), "."+name)
	if err := os.WriteFile(part, []byte(why), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(d.Dirs.Kill(), name)); err != nil {
		t.Fatal(err)
	}
}

func emptied(t *testing.T, d *harness.Daemon) {
	t.Helper()
	eventually(t, "the order is carried out", func() bool {
		left, err := os.ReadDir(d.Dirs.Kill())
		return err == nil && len(left) == 0
	})
}

// A file kills what its name says: with the daemon up, with every connection to it taken,
// and at its next start.
func TestKillFolder(t *testing.T) {
	d := harness.New(t)
	d.Up("one", "everything", tools)
	d.Up("two", "everything", "labels: {team: x}\n"+tools)
	if st, err := os.Stat(d.Dirs.Kill()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", st.Mode(), err)
	}
	one, two := long(t, d, "one", 0), long(t, d, "two", 0)
	put(t, d, "everybody", "") // means nothing
	put(t, d, "tool@one@trigger-long-running-operation", "by a file")
	one.killed(t, "by a file")
	two.goesOn(t)
	answers(t, echo(d, "one"))
	release := wedge(t, d)
	begun := time.Now()
	put(t, d, "label@team=x", "")
	two.killed(t, "a file appeared in the kill folder")
	t.Logf("with no connection left, dead %v after the file appeared", time.Since(begun))
	release()
	refused(t, d.Command("start", "two.yaml"), "label team=x", "uid:0")
	answers(t, echo(d, "one"))
	os.Remove(filepath.Join(d.Dirs.Kill(), "everybody"))
	emptied(t, d)
	d.Crash()
	put(t, d, "server@one", "nobody was there")
	d.Start()
	d.Ready()
	refused(t, d.Command("start", "one.yaml"), "nobody was there")
	emptied(t, d)
	d.Must("revive", "one", "--why", "test")
	d.Must("start", "one.yaml")
	answers(t, echo(d, "one"))
	put(t, d, "all", "")
	emptied(t, d)
	if len(d.Pids()) != 0 {
		t.Error("processes are left")
	}
	refused(t, d.Command("start", "one.yaml"), "everything was killed")
	text := d.Must("audit", "tail", "-n", "10000", "--json")
	for _, want := range []string{`"way":"file"`, `"ms-kill"`, `everybody`} {
		if !strings.Contains(text, want) {
			t.Errorf("the record does not have %s", want)
		}
	}
}

// wedge takes every connection that the daemon has for requests.
func wedge(t *testing.T, d *harness.Daemon) (release func()) {
	t.Helper()
	var taken []net.Conn
	release = func() {
		for _, c := range taken {
			c.Close()
		}
	}
	t.Cleanup(release)
	for range 1100 {
		c, err := net.Dial("unix", d.Dirs.Socket())
		if err != nil {
			break
		}
		taken = append(taken, c)
	}
	if _, errs, code := d.Run("ps"); code == 0 {
		t.Errorf("the daemon still answers: %s", errs)
	}
	return release
}

// Only operators can put a file there: root, and the one group of theirs.
func TestWhoMayUseTheFolder(t *testing.T) {
	d := harness.New(t, "-operators", fmt.Sprintf("@%d", someone), "-clients", "61003")
	d.Up("one", "everything", tools)
	touch := func(uid uint32, name string) error {
		cmd := asUser(d.Command(), uid)
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", ": > " + filepath.Join(d.Dirs.Kill(), name)}
		return cmd.Run()
	}
	if touch(61003, "server@one") == nil {
		t.Error("a client can write the folder")
	}
	answers(t, echo(d, "one"))
	if err := touch(someone, "server@one"); err != nil {
		t.Errorf("an operator cannot: %v", err)
	}
	eventually(t, "the kill", func() bool { return ps(t, d, "one").State == "killed" })
	if why := ps(t, d, "one").Why; !strings.Contains(why, fmt.Sprintf("uid:%d", someone)) {
		t.Errorf("it was %q", why)
	}
}

// A signal kills everything, one that comes while the daemon starts too.
func TestSignalAtTheStart(t *testing.T) {
	d := harness.New(t)
	d.Up("one", "everything", tools)
	d.Shutdown()
	d.Start()
	eventually(t, "the daemon has its lock", func() bool {
		raw, _ := os.ReadFile(d.Dirs.PidFile())
		return strings.TrimSpace(string(raw)) == fmt.Sprint(d.Pid())
	})
	syscall.Kill(d.Pid(), syscall.SIGUSR1)
	if !d.Ready() {
		t.Fatal("the signal ended the daemon")
	}
	eventually(t, "the switch", func() bool { _, errs, _ := d.Run("ps"); return strings.Contains(errs, "everything by SIGUSR1") })
	refused(t, d.Command("start", "one.yaml"), "SIGUSR1")
}
