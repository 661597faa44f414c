package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// message is what runtime/landlock makes, whose own test holds the same bytes.
func message(files, net, scoped uint64, paths ...pathRule) []byte {
	var raw []byte
	for _, n := range []uint64{files, net, scoped} {
		raw = binary.LittleEndian.AppendUint64(raw, n)
	}
	for _, p := range paths {
		raw = append(append(binary.LittleEndian.AppendUint64(raw, p.allow), p.path...), 0)
	}
	return raw
}

func TestParseRules(t *testing.T) {
	want := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: 7, Handled_access_net: 2, Scoped: 3}, paths: []pathRule{{4, "/"}, {6, "/work space"}}}
	whole := message(7, 2, 3, want.paths...)
	got, err := parseRules(whole)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	// Cut anywhere but between two paths it is no rules: less than was judged is not applied.
	between := map[int]bool{24: true, 34: true}
	for n := range whole {
		if _, err := parseRules(whole[:n]); (err == nil) != between[n] {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := parseRules(message(1, 0, 0, pathRule{1, "relative"})); err == nil {
		t.Error("a relative path is taken")
	}
}

func TestEncloseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ raw, reason string }{
		"nothing":   {"", "EOF"},
		"too long":  {"\xff\xff\xff\xff", "bytes"},
		"cut off":   {"\x40\x00\x00\x00short", "unexpected EOF"},
		"too short": {"\x01\x00\x00\x00x", "cut off"},
	} {
		if err := enclose(strings.NewReader(tc.raw)); err == nil || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%s: %v, want %q", name, err, tc.reason)
		}
	}
	// The control: where the kernel has no Landlock there are no rules, and the server starts.
	if err := enclose(strings.NewReader("\x00\x00\x00\x00")); err != nil {
		t.Error(err)
	}
}

// inThread runs something in a thread that ends with it, as its restrictions do.
func inThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back
		done <- do()
	}()
	return <-done
}

const (
	readAll  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeAll = readAll | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG
)

// A folder and a file are allowed, the folder beside them is not; the threads that were not
// restricted go on as before.
func TestRestrict(t *testing.T) {
	testenv.Need(t, "landlock")
	mine, others := t.TempDir(), t.TempDir()
	single := filepath.Join(others, "single")
	if err := os.WriteFile(single, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	r := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: writeAll}, paths: []pathRule{{readAll, "/"}, {writeAll, mine}, {writeAll, single}}}
	err := inThread(func() error {
		if err := r.restrict(); err != nil {
			return err
		}
		return errors.Join(
			is(nil, write(filepath.Join(mine, "new"))), is(nil, write(single)),
			is(unix.EACCES, write(filepath.Join(others, "new"))))
	})
	if err != nil {
		t.Error(err)
	}
	if err := write(filepath.Join(others, "new")); err != nil {
		t.Error("control: another thread:", err)
	}
}

// What stands outside gets no signal and no connection to an abstract socket, which no mount
// hides. In a container a server finds neither: this holds the fence alone.
func TestScopes(t *testing.T) {
	testenv.Need(t, "landlock")
	v, err := landlock.ABI()
	if err != nil {
		t.Fatal(err)
	}
	if v < landlock.ABIScopes { // then no container is told that it has any
		if r := landlock.New(v, nil, true); r.Scoped != 0 {
			t.Errorf("version %d is asked for scopes %x, which it does not have", v, r.Scoped)
		}
		return
	}
	outside := exec.Command("sleep", "60")
	if err := outside.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { outside.Process.Kill(); outside.Wait() })
	name := fmt.Sprintf("@mcprun-scopes-%d", os.Getpid())
	ear, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	reach := func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrUnix{Name: name})
	}
	signal := func() error { return unix.Kill(outside.Process.Pid, 0) }
	r := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: writeAll, Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL}, paths: []pathRule{{writeAll, "/"}}}
	err = inThread(func() error {
		before := errors.Join(is(nil, signal()), is(nil, reach()))
		if err := r.restrict(); err != nil {
			return err
		}
		return errors.Join(before, is(unix.EPERM, signal()), is(unix.EPERM, reach()))
	})
	if err != nil {
		t.Error(err)
	}
}

func is(want, got error) error {
	if !errors.Is(got, want) {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

// What a start takes longer.
func BenchmarkRestrict(b *testing.B) {
	testenv.Need(b, "landlock")
	r := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: writeAll, Handled_access_net: unix.LANDLOCK_ACCESS_NET_CONNECT_TCP}}
	for _, path := range []string{"/", "/dev", "/dev/shm", "/tmp", "/usr", "/var"} {
		r.paths = append(r.paths, pathRule{readAll, path})
	}
	var spent time.Duration
	for b.Loop() {
		if err := inThread(func() error {
			begun := time.Now()
			err := r.restrict()
			spent += time.Since(begun)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/enclosure")
}

// What each opening takes longer: the kernel walks from the file up to a rule.
func BenchmarkOpen(b *testing.B) {
	testenv.Need(b, "landlock")
	file := filepath.Join(b.TempDir(), "a/b/c/d/e/f/g/h/file")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		b.Fatal(err)
	}
	r := &rules{set: unix.LandlockRulesetAttr{Handled_access_fs: writeAll}, paths: []pathRule{{readAll, "/"}}}
	for name, before := range map[string]func() error{"without": func() error { return nil }, "with": r.restrict} {
		b.Run(name, func(b *testing.B) {
			err := inThread(func() error {
				if err := before(); err != nil {
					return err
				}
				for b.Loop() {
					fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
					if err != nil {
						return err
					}
					unix.Close(fd)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Whatever comes, rules that are taken are those that were sent.
func FuzzParseRules(f *testing.F) {
	f.Add(message(7, 2, 3, pathRule{4, "/"}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRules(raw)
		if err != nil {
			return
		}
		if again := message(r.set.Handled_access_fs, r.set.Handled_access_net, r.set.Scoped, r.paths...); string(again) != string(raw) {
			t.Fatalf("%x became %x", raw, again)
		}
	})
}
