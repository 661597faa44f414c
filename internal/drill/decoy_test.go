package drill

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

func someDecoy(t *testing.T) Decoy {
	t.Helper()
	d, err := NewDecoy(func(Decoy) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The names of a decoy can be typed, are new each time, and are nobody's.
func TestNewDecoy(t *testing.T) {
	seen := map[mcprun.ServerName]bool{}
	for range 100 {
		d := someDecoy(t)
		_, err1 := mcprun.ParseServerName(string(d.Name))
		_, err2 := mcprun.ParseLabel(string(d.Label))
		_, err3 := mcprun.ParsePrincipal(string(d.Client))
		if err1 != nil || err2 != nil || err3 != nil || d.Valid() != nil || d.Client == d.Other || seen[d.Name] {
			t.Fatalf("%+v: %v, %v, %v, %v", d, err1, err2, err3, d.Valid())
		}
		seen[d.Name] = true
		for _, target := range d.Targets() {
			if target.Valid() != nil || target == d.Targets()[0] && target.Server == "" {
				t.Errorf("%+v is a target that is not the decoy's", target)
			}
		}
	}
	d := someDecoy(t)
	d.More = MaxServers - 1
	if all := d.Names(); d.Valid() != nil || len(all) != MaxServers || all[0] != d.Name || all[49] != d.Name+"-50" {
		t.Errorf("%d names, %v", len(all), all)
	}
	tries := 0
	if d, err := NewDecoy(func(Decoy) bool { tries++; return tries < 3 }); err != nil || tries != 3 || d.Valid() != nil {
		t.Errorf("with two names taken: %+v, %v after %d tries", d, err, tries)
	}
	if _, err := NewDecoy(func(Decoy) bool { return true }); err == nil {
		t.Error("with every name taken there is one")
	}
}

// A file that was tampered with, or is another's, must not have a daemon take back a
// switch that somebody threw in earnest.
func TestDecoyOfAFileIsADecoy(t *testing.T) {
	good := Decoy{Name: "drill-0011aabb", Label: "mcprun-drill=0011aabb", Client: "uid:2147483650", Other: "uid:2147483651"}
	if err := good.Valid(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Decoy){
		"another server":          func(d *Decoy) { d.Name = "files" },
		"one with such a name":    func(d *Decoy) { d.Name = "drill-press" },
		"everything":              func(d *Decoy) { d.Name = "" },
		"another label":           func(d *Decoy) { d.Label = "team=payments" },
		"the label of another":    func(d *Decoy) { d.Label = "mcprun-drill=0011aabc" },
		"a user of the host":      func(d *Decoy) { d.Client = "uid:1000" },
		"root":                    func(d *Decoy) { d.Other = "uid:0" },
		"no user":                 func(d *Decoy) { d.Client = "" },
		"too many":                func(d *Decoy) { d.More = MaxServers },
		"fewer than none":         func(d *Decoy) { d.More = -1 },
		"a number that is no uid": func(d *Decoy) { d.Client = "uid:99999999999" },
	} {
		d := good
		if change(&d); d.Valid() == nil {
			t.Errorf("%s: %+v is taken", name, d)
		}
	}
}

func FuzzDecoy(f *testing.F) {
	f.Add([]byte(`{"Name":"drill-0011aabb","Label":"mcprun-drill=0011aabb","Client":"uid:2147483650","Other":"uid:2147483651"}`))
	f.Add([]byte(`{"Name":"files"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d Decoy
		if json.Unmarshal(raw, &d) != nil || d.Valid() != nil {
			return
		}
		for _, target := range d.Targets() {
			if !strings.Contains(target.Name(), "drill") && !strings.HasPrefix(target.Name(), "principal@uid:") || target.Valid() != nil {
				t.Errorf("a file names %q", target.Name())
			}
		}
	})
}

// The decoy's server.yaml is one, and opens the ear and nothing else.
func TestManifest(t *testing.T) {
	d := someDecoy(t)
	for _, ear := range []string{"", "192.0.2.2:4000", "10.1.2.3:4000", "8.8.8.8:4000", "[fd00::2]:4000"} {
		var at netip.AddrPort
		rules, token := 0, "-" // as where there is none
		if ear != "" {
			at, rules, token = netip.MustParseAddrPort(ear), 1, "TOKEN"
		}
		text := manifestOf(d, d.Name, "/var/lib/mcprun/drill", at, token)
		m, err := manifest.Parse("server.yaml", text)
		if err != nil {
			t.Errorf("%q: %v\n%s", ear, err, text)
			continue
		}
		if m.Name != d.Name || len(m.Labels) != 1 || m.Labels[0] != d.Label || len(m.Egress) != rules || len(m.Tools) != 4 || len(m.Files) != 0 || len(m.Credentials) != 0 {
			t.Errorf("%q: %+v", ear, m)
		}
		if rules == 1 && (m.Egress[0].Grant.Private || len(m.Egress[0].Grant.Networks) != 1 || !m.Egress[0].Grant.Networks[0].IsSingleIP()) {
			t.Errorf("%q opens more than the ear: %s", ear, m.Egress[0])
		}
	}
}

// The same program makes the same image; what is in it is the program.
func TestPack(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	index := func() string {
		dir := filepath.Join(t.TempDir(), "image")
		if err := Pack(program, dir); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	a, b := index(), index()
	if a != b || !strings.Contains(a, "sha256:") {
		t.Errorf("two images of one program: %s and %s", a, b)
	}
	if err := Pack(program+"-absent", t.TempDir()); err == nil {
		t.Error("without a program there is an image")
	}
}
