package harness

import (
	"os"
	"testing"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
)

// Learned reads a profile that was learned, and fails the test if it allows more calls than
// most; what the built-in one allows is logged beside it.
func Learned(t *testing.T, file, builtin string, most int) (text string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := manifest.ParseProfile(file, raw)
	if err != nil {
		t.Fatal(err)
	}
	b, err := profiles.Load(builtin)
	if err != nil {
		t.Fatal(err)
	}
	n := len(p.Calls("amd64"))
	t.Logf("%s: %d calls, %s %d", file, n, builtin, len(b.Calls("amd64")))
	if n > most {
		t.Errorf("it allows %d calls, at most %d", n, most)
	}
	return string(raw)
}
