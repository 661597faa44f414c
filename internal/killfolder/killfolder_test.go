package killfolder

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/limits"
)

func names(orders []Order) []string {
	var out []string
	for _, o := range orders {
		out = append(out, o.Target.Name())
	}
	slices.Sort(out)
	return out
}

// Whatever stands under the name of a target is an order; nothing that hangs or leads
// elsewhere is read, and no other name means anything.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("all", "")
	write("server@files", " it leaks \n")
	write("tool@files@read.json", strings.Repeat("x", 5000))
	write("label@team=x", "\xff")
	write(".server@hidden", "")
	write("everything", "")
	write("server@..", "")
	write("server@files~", "")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "server@link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "server@pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "principal@uid:1000"), 0o700); err != nil {
		t.Fatal(err)
	}
	orders, strange, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"all", "label@team=x", "principal@uid:1000", "server@files", "server@link", "server@pipe", "tool@files@read"}
	if got := names(orders); !slices.Equal(got, want) {
		t.Errorf("orders %q, want %q", got, want)
	}
	slices.Sort(strange)
	if want := []string{"everything", "server@..", "server@files~"}; !slices.Equal(strange, want) {
		t.Errorf("strange %q, want %q", strange, want)
	}
	whys := map[string]string{"server@files": "it leaks", "tool@files@read": strings.Repeat("x", maxWhy), "label@team=x": "\uFFFD"}
	for _, o := range orders {
		if o.Why != whys[o.Target.Name()] || !strings.HasPrefix(o.Who, "uid:") {
			t.Errorf("%s: by %q: %.50q", o.Target.Name(), o.Who, o.Why)
		}
	}
	if _, _, err := Read(filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder that is not there is read")
	}
}

func TestMake(t *testing.T) {
	testenv.Need(t, "root")
	dir := filepath.Join(t.TempDir(), "kill")
	for group, want := range map[uint32]os.FileMode{0: 0o700, 61000: 0o730 | os.ModeSticky} {
		os.MkdirAll(dir, 0o777)
		os.Chmod(dir, 0o777) // as somebody left it
		if err := Make(dir, group); err != nil {
			t.Fatal(err)
		}
		st, err := os.Lstat(dir)
		if err != nil || st.Mode()&^os.ModeDir != want {
			t.Errorf("group %d: %v, %v; want %v", group, st.Mode(), err, want)
		}
	}
	link := filepath.Join(t.TempDir(), "kill")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Make(link, 0); err == nil {
		t.Error("a link is taken for the folder")
	}
}

// A file is seen in far less than the second of the fence, and one in a folder that was
// made anew too.
func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kill")
	os.Mkdir(dir, 0o700)
	ctx, stop := context.WithCancel(t.Context())
	found := make(chan time.Time, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, dir, func() {
			orders, _, _ := Read(dir)
			for _, o := range orders {
				if o.Target == (limits.Target{}) {
					os.Remove(o.Path)
					found <- time.Now()
				}
			}
		})
	}()
	see := func(what string) {
		t.Helper()
		begun := time.Now()
		if err := os.WriteFile(filepath.Join(dir, "all"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case at := <-found:
			t.Logf("%s: seen after %v", what, at.Sub(begun))
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: not seen", what)
		}
	}
	see("a file")
	os.Rename(dir, dir+"-old")
	os.Mkdir(dir, 0o700)
	see("in another folder of the name")
	see("once more")
	stop()
	<-ended
}
