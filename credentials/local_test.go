package credentials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/testenv"
)

func TestEnv(t *testing.T) {
	env := map[string]string{"TOKEN": canary, "EMPTY": "", "LINES": canary + "\n"}
	for _, r := range []struct{ name, value, want string }{
		{"TOKEN", canary, ""},
		{"ABSENT", "", "fetching the secret from env ABSENT: it is not set in the daemon's environment"},
		{"EMPTY", "", "fetching the secret from env EMPTY: the value is empty"},
		{"LINES", "", "control character"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, err := fetch(t, Source{Env: r.name}, env)
			checkFetch(t, s, err, r.value, r.want)
		})
	}
}

// The process's own environment is not the one that is looked at.
func TestNoEnvironmentHoldsNothing(t *testing.T) {
	t.Setenv("MCPRUN_TEST_TOKEN", canary)
	for _, r := range []struct {
		env         func(string) (string, bool)
		value, want string
	}{{os.LookupEnv, canary, ""}, {nil, "", "not set"}} {
		f, err := Source{Env: "MCPRUN_TEST_TOKEN"}.Fetcher(r.env)
		if err != nil {
			t.Fatal(err)
		}
		s, err := f.Fetch(t.Context())
		checkFetch(t, s, err, r.value, r.want)
	}
}

// put writes a file with this mode, whatever the umask.
func put(t testing.TB, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileText(t *testing.T) {
	for _, r := range []struct{ name, text, value, want string }{
		{"plain", canary, canary, ""},
		{"one line break", canary + "\n", canary, ""},
		{"one of DOS", canary + "\r\n", canary, ""},
		{"two", canary + "\n\n", "", "control character"},
		{"empty", "", "", "the value is empty"},
		{"only a line break", "\n", "", "the value is empty"},
		{"too long for a secret", strings.Repeat(canary, 2000), "", "at most 16384"},
		{"too long for a file", strings.Repeat("a", MaxOutput+1), "", "has more than 65536 bytes"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, err := fetch(t, Source{File: put(t, "token", r.text, 0o600)}, nil)
			checkFetch(t, s, err, r.value, r.want)
		})
	}
}

func TestFileModes(t *testing.T) {
	testenv.Need(t, "root") // to give a file to another group
	const stranger = 12345  // a group that is neither root's nor ours
	for _, r := range []struct {
		mode os.FileMode
		gid  int
		ok   bool
	}{
		{0o600, 0, true}, {0o400, 0, true}, {0o700, 0, true}, {0o600, stranger, true},
		{0o640, 0, true}, {0o440, 0, true},
		{0o640, stranger, false},
		{0o644, 0, false}, {0o604, 0, false}, {0o602, 0, false}, {0o601, 0, false},
		{0o620, 0, false}, {0o660, 0, false}, {0o666, 0, false}, {0o777, 0, false},
	} {
		t.Run(fmt.Sprintf("%o of group %d", r.mode, r.gid), func(t *testing.T) {
			path := put(t, "token", canary, r.mode)
			if err := os.Chown(path, -1, r.gid); err != nil {
				t.Fatal(err)
			}
			s, err := fetch(t, Source{File: path}, nil)
			if r.ok {
				checkFetch(t, s, err, canary, "")
				return
			}
			checkFetch(t, s, err, "", "others can read or write it")
			checkHint(t, err, "chmod 600 "+shellQuote(path))
			// The hint mends it.
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = fetch(t, Source{File: path}, nil)
			checkFetch(t, s, err, canary, "")
		})
	}
}

func checkHint(t *testing.T, err error, want string) {
	t.Helper()
	var e *mcprun.Error
	if !errors.As(err, &e) || e.Hint != want {
		t.Errorf("the hint of %v is not %q", err, want)
	}
}

// Links are how systemd and Kubernetes put secrets in place; what counts is the
// mode of what they lead to.
func TestFileBehindALink(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o600: "", 0o644: "others can read or write it"} {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(put(t, "token", canary, mode), link); err != nil {
			t.Fatal(err)
		}
		s, err := fetch(t, Source{File: link}, nil)
		if checkError(t, err, want); want == "" && s.Reveal() != canary {
			t.Errorf("%v: %q", mode, s.Reveal())
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for path, want := range map[string]string{
		fifo:               "is not a regular file", // and does not wait for a writer
		t.TempDir():        "is not a regular file",
		"/dev/zero":        "is not a regular file",
		fifo + ".absent":   "no such file",
		fifo + "/deeper/x": "not a directory",
	} {
		s, err := fetch(t, Source{File: path}, nil)
		checkFetch(t, s, err, "", want)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"/etc/a-b_c.d": "/etc/a-b_c.d", "/a b": "'/a b'", "/a'$(b)": `'/a'\''$(b)'`} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
