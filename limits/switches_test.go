package limits

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/testenv"
)

func open(t *testing.T, dir string) *Switches {
	t.Helper()
	s, err := OpenSwitches(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSwitchesStopWhatTheyName(t *testing.T) {
	read := Subject{Server: "files", Labels: []mcprun.Label{"team=x", "tier=1"}, Tool: "read", Principal: "uid:1000"}
	server := read
	server.Tool, server.Principal = "", ""
	for _, r := range []struct {
		name string
		kill Kill
		of   Subject
		want bool
	}{
		{"none", Kill{Target: Target{Server: "other"}}, read, false},
		{"tool", Kill{Target: Target{Server: "files", Tool: "read"}}, read, true},
		{"another tool of it", Kill{Target: Target{Server: "files", Tool: "write"}}, read, false},
		{"the server of a killed tool", Kill{Target: Target{Server: "files", Tool: "read"}}, server, false},
		{"that tool of another server", Kill{Target: Target{Server: "mail", Tool: "read"}}, read, false},
		{"server", Kill{Target: Target{Server: "files"}}, read, true},
		{"server itself", Kill{Target: Target{Server: "files"}}, server, true},
		{"label", Kill{Target: Target{Label: "team=x"}}, read, true},
		{"another label of it", Kill{Target: Target{Label: "tier=1"}}, server, true},
		{"a label that it has not", Kill{Target: Target{Label: "team=y"}}, read, false},
		{"client", Kill{Target: Target{Principal: "uid:1000"}}, read, true},
		{"another client", Kill{Target: Target{Principal: "uid:100"}}, read, false},
		{"the server of a killed client", Kill{Target: Target{Principal: "uid:1000"}}, server, false},
		{"everything", Kill{}, read, true},
		{"everything, and so a client without a server", Kill{}, Subject{Principal: "uid:1000"}, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			r.kill.Who, r.kill.Why, r.kill.When = "me", "test", time.Unix(1, 0)
			s.Deny(r.kill)
			if _, got := s.Check(r.of); got != r.want {
				t.Errorf("Check = %v, want %v", got, r.want)
			}
			// What is not persisted is gone with the process, what is stays.
			if _, got := open(t, dir).Check(r.of); got {
				t.Error("the switch is on disk before Persist")
			}
			if err := s.Persist(r.kill); err != nil {
				t.Fatal(err)
			}
			if _, got := open(t, dir).Check(r.of); got != r.want {
				t.Errorf("after a restart: Check = %v, want %v", got, r.want)
			}
			if err := s.Revive(r.kill); err != nil {
				t.Fatal(err)
			}
			if _, got := open(t, dir).Check(r.of); got {
				t.Error("revived, and thrown again after a restart")
			}
		})
	}
}

// A switch file that cannot be read may be a switch: the daemon must not start
// as if it were none.
func TestDamagedSwitchFailsClosed(t *testing.T) {
	for name, text := range map[string]string{"server@files.json": "{", "all.json": `{"server":"files"}`, "tool@a@b.json": "", "label@team=x.json": `{"label":"team=y"}`, "principal@uid:1.json": `{"principal":"uid:1","server":"files"}`, "server@..json": `{"server":"."}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSwitches(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: OpenSwitches = %v, want a refusal", name, err)
		}
	}
}

func TestReviveNeedsTheExactSwitch(t *testing.T) {
	s := open(t, t.TempDir())
	old := Kill{Target: Target{Server: "files"}, When: time.Unix(1, 0)}
	s.Deny(Kill{Target: old.Target, When: time.Unix(2, 0)})
	if err := s.Revive(Kill{Target: Target{Server: "files", Tool: "read"}}); err == nil {
		t.Error("a tool of a killed server was revived")
	}
	if err := s.Revive(old); err == nil {
		t.Error("a revive of an earlier kill took back a later one")
	}
	if _, killed := s.Check(Subject{Server: "files", Tool: "read"}); !killed {
		t.Error("the switch is gone")
	}
}

// A switch that a command put on disk while the daemon did not answer holds
// after Reread, and a switch in memory is not lost by it.
func TestRereadAddsAndNeverTakesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.Deny(Kill{Target: Target{Server: "mail"}})
	if err := Write(dir, Kill{Target: Target{Server: "files"}}); err != nil {
		t.Fatal(err)
	}
	if _, killed := s.Check(Subject{Server: "files"}); killed {
		t.Fatal("the switch holds before it was read")
	}
	if err := s.Reread(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []mcprun.ServerName{"files", "mail"} {
		if _, killed := s.Check(Subject{Server: name}); !killed {
			t.Errorf("the switch of %s does not hold", name)
		}
	}
}

// A switch that was thrown again while no daemon answered is the newer one after Reread;
// one that is in memory and not written yet is not replaced by what is on disk.
func TestRereadTakesTheNewer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	target := Target{Server: "files"}
	at := func(n int64) Kill { return Kill{Target: target, When: time.Unix(n, 0)} }
	s.Deny(at(2))
	for _, r := range []struct{ disk, want int64 }{{1, 2}, {3, 3}} {
		if err := Write(dir, at(r.disk)); err != nil {
			t.Fatal(err)
		}
		if err := s.Reread(); err != nil {
			t.Fatal(err)
		}
		if k, _ := s.Thrown(target); k.When.Unix() != r.want {
			t.Errorf("with one of %d on disk: %d, want %d", r.disk, k.When.Unix(), r.want)
		}
	}
}

// A switch that could not be written is written when it can be, unless it is over by then;
// one on a full disk is written into the reserve, which without it does not fit.
func TestSwitchesThatDoNotFit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "switches")
	s := open(t, dir)
	kept, over := Kill{Target: Target{Server: "kept"}, When: time.Unix(1, 0)}, Kill{Target: Target{Server: "over"}, When: time.Unix(1, 0)}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range []Kill{kept, over} {
		s.Deny(k)
		if s.Persist(k) == nil {
			t.Fatal("it was written without a folder")
		}
	}
	if n, err := s.Retry(); n != 0 || err == nil {
		t.Errorf("Retry = %d, %v while nothing can be written", n, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Revive(over); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Retry(); n != 1 || err != nil {
		t.Errorf("Retry = %d, %v, want 1", n, err)
	}
	if n, _ := s.Retry(); n != 0 {
		t.Errorf("Retry wrote %d again", n)
	}
	again := open(t, dir)
	if _, killed := again.Check(Subject{Server: "kept"}); !killed {
		t.Error("what was written late is not there")
	}
	if _, killed := again.Check(Subject{Server: "over"}); killed {
		t.Error("what was revived is written")
	}
}

func TestReserveOfSwitches(t *testing.T) {
	testenv.Need(t, "root")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	s := open(t, dir)
	f, err := os.Create(filepath.Join(dir, "full"))
	for buf := make([]byte, 4096); err == nil; {
		_, err = f.Write(buf)
	}
	f.Close()
	k := Kill{Target: Target{Server: "files"}}
	if err := write(dir, k); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the control: without the reserve it is %v", err)
	}
	if err := s.Persist(k); err != nil {
		t.Error(err)
	}
	if _, killed := open(t, dir).Check(Subject{Server: "files"}); !killed {
		t.Error("it is not on the disk")
	}
}
