package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/internal/tighten"
)

// What a server gets from its profile is proposed to go from there: its lines do not
// stand in server.yaml.
func TestServerFileWithItsProfile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const profile = "version: 1\nname: tight\nextends: node\negress:\n  - {host: api.example.com, inspect: true, methods: [GET], paths: [/]}\n"
	const bare = "version: 1\nname: x\nimage: ./a.tar\nprofile: ./tight.yaml\n"
	const bound = "credentials:\n  key: {source: \"env:KEY\", host: api.example.com, place: {query: key}, expose: {env: KEY}}\n"
	write("tight.yaml", profile)
	file := write("server.yaml", bare)
	f, err := readServer(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.taken, []string{"egress"}) || len(f.Egress) != 1 {
		t.Errorf("taken %v, %+v", f.taken, f.Egress)
	}
	own, from := linesOf(file, f.raw), linesOf(f.Profile, f.profile)
	if p := from.about(tighten.Item{Key: "egress[0]"}); p.In != "./tight.yaml" || p.First != 5 || len(p.Text) != 1 || !strings.Contains(p.Text[0], "api.example.com") {
		t.Errorf("a rule of the profile: %+v", p)
	}
	if p := own.about(tighten.Item{Key: "egress[0]"}); p.First != 0 || p.Text != nil {
		t.Errorf("the control: server.yaml has no such line: %+v", p)
	}
	for key, want := range map[string]string{"egress[1].host": "egress", "resources.memory": "resources", "egress": "egress"} {
		if got := topOf(key); got != want {
			t.Errorf("%s is below %s", key, got)
		}
	}
	if _, err := readServer(write("bound.yaml", bare+bound)); err != nil {
		t.Errorf("the control: credentials for a host of the profile: %v", err)
	}
	// A profile with errors is in the way only of who needs it: of one that names a server,
	// it is not; of one whose credentials are for a host that stands there, it is.
	write("tight.yaml", profile+"resources: {memory: lots}\n")
	if f, err := readServer(file); err != nil || len(f.taken) > 0 {
		t.Errorf("beside a broken profile: %v, %v", f, err)
	}
	if _, err := readServer(write("bound.yaml", bare+bound)); err == nil || !strings.Contains(err.Error(), "the profile has errors") {
		t.Errorf("what is missing may stand in the profile: %v", err)
	}
}
