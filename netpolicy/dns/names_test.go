package dns

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/netpolicy"
)

// open reads a table that holds text; without any the file is not there yet.
func open(t testing.TB, text string) (*Names, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "names")
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := OpenNames(path)
	if err == nil {
		t.Cleanup(func() { n.Close() })
	}
	return n, path, err
}

func host(t testing.TB, s string) netpolicy.Host {
	t.Helper()
	h, err := netpolicy.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// address is the address of a name that must get one.
func address(t testing.TB, n *Names, name string) string {
	t.Helper()
	a, err := n.Address(host(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func content(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// An address is given once, and is in the file before anybody has it.
func TestAnAddressIsGivenOnce(t *testing.T) {
	n, path, err := open(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, want string }{
		{"a.example.com", "198.18.0.16"},
		{"b.example.com", "198.18.0.17"},
		{"a.example.com", "198.18.0.16"},
		{"A.Example.COM.", "198.18.0.16"}, // another spelling is the same name
		{"c.example.com", "198.18.0.18"},
	} {
		if got := address(t, n, row.name); got != row.want {
			t.Errorf("%s has %s, want %s", row.name, got, row.want)
		}
	}
	if got, want := content(t, path), "198.18.0.16 a.example.com\n198.18.0.17 b.example.com\n198.18.0.18 c.example.com\n"; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	for addr, want := range map[string]string{"198.18.0.17": "b.example.com", "198.18.0.19": "", "198.18.0.1": "", "10.0.0.1": "", "::ffff:198.18.0.17": ""} {
		if h, ok := n.Host(netip.MustParseAddr(addr)); ok != (want != "") || h.String() != want {
			t.Errorf("%s stands for %q, want %q", addr, h, want)
		}
	}
}

// A name keeps its address over all lives, and no other name ever gets it.
func TestAnAddressIsKeptAndNeverReused(t *testing.T) {
	n, path, err := open(t, "")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{}
	for life := range 4 {
		fresh := "n" + string(rune('a'+life)) + ".example.com"
		a := address(t, n, fresh)
		for other, has := range given {
			if has == a {
				t.Errorf("%s has the address of %s", fresh, other)
			}
		}
		given[fresh] = a
		n.Close()
		if n, err = OpenNames(path); err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		for name, want := range given {
			if got := address(t, n, name); got != want {
				t.Errorf("life %d: %s has %s, before %s", life, name, got, want)
			}
		}
	}
}

// A last line that a crash cut off was never handed out: it is removed, and its
// address goes to the next name.
func TestATornLastLineIsCut(t *testing.T) {
	const whole = "198.18.0.16 a.example.com\n"
	for _, torn := range []string{"1", "198.18.0.17", "198.18.0.17 ", "198.18.0.17 b.example.com", "\x00\x00\x00"} {
		n, path, err := open(t, whole+torn)
		if err != nil {
			t.Errorf("torn %q: %v", torn, err)
			continue
		}
		if got := content(t, path); got != whole {
			t.Errorf("torn %q: the file holds %q", torn, got)
		}
		if got := address(t, n, "c.example.com"); got != "198.18.0.17" {
			t.Errorf("torn %q: the next name has %s", torn, got)
		}
		if got := content(t, path); got != whole+"198.18.0.17 c.example.com\n" {
			t.Errorf("torn %q: the file holds %q after the next name", torn, got)
		}
	}
}

// A damaged line is refused by its number: skipping it would give its address away
// again.
func TestADamagedTableIsRefused(t *testing.T) {
	const first = "198.18.0.16 a.example.com\n"
	for _, row := range []struct{ name, text, want string }{
		{"control", first + "198.18.0.17 b.example.com\n", ""},
		{"a line is missing", first + "198.18.0.18 c.example.com\n", "line 2: "},
		{"the first is missing", "198.18.0.17 b.example.com\n", "line 1: "},
		{"an address twice", first + "198.18.0.16 b.example.com\n", "line 2: "},
		{"a name twice", first + "198.18.0.17 a.example.com\n", "line 2: a.example.com has two addresses"},
		{"another spelling", first + "198.18.0.17 B.example.com\n", `line 2: "B.example.com" is not a name in its only spelling`},
		{"a dot at the end", first + "198.18.0.17 b.example.com.\n", "in its only spelling"},
		{"no name", first + "198.18.0.17\n", "line 2: "},
		{"an empty name", first + "198.18.0.17 \n", "line 2: "},
		{"an empty line", first + "\n", "line 2: "},
		{"zeros", first + "\x00\x00\n", "line 2: "},
		{"a carriage return", "198.18.0.16 a.example.com\r\n", "line 1: "},
		{"two lines run together", "198.18.0.16 a.exam198.18.0.16 b.example.com\n", "line 1: "},
	} {
		_, path, err := open(t, row.text)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, want %q and the file's path", row.name, err, row.want)
		}
		if got := content(t, path); got != row.text {
			t.Errorf("%s: the file was changed to %q", row.name, got)
		}
	}
}

// B5: once each address of the pool is a name's, new names get none, and the old
// ones keep theirs.
func TestAnExhaustedPool(t *testing.T) {
	var text strings.Builder
	a := netip.MustParseAddr("198.18.0.16")
	for range MaxNames {
		text.WriteString(a.String() + " n" + strings.ReplaceAll(a.String(), ".", "-") + ".example.com\n")
		a = a.Next()
	}
	n, path, err := open(t, text.String())
	if err != nil {
		t.Fatal(err)
	}
	if a, err := n.Address(host(t, "new.example.com")); !errors.Is(err, ErrExhausted) || a.IsValid() {
		t.Errorf("a new name gets %v, %v; want %v", a, err, ErrExhausted)
	}
	if got := address(t, n, "n198-18-0-16.example.com"); got != "198.18.0.16" {
		t.Errorf("the first name has %s", got)
	}
	if got := address(t, n, "n198-19-255-254.example.com"); got != "198.19.255.254" {
		t.Errorf("the last name has %s", got)
	}
	if content(t, path) != text.String() {
		t.Error("the refusal changed the file")
	}
	n.Close()
	if _, err := OpenNames(path); err != nil {
		t.Errorf("a full table does not open again: %v", err)
	}
}

// FuzzNames: whatever a file holds, reading it does not panic; what is accepted is
// what would be written, but for a torn end, and each address stands for one name.
func FuzzNames(f *testing.F) {
	for _, text := range []string{"", "198.18.0.16 a.example.com\n", "198.18.0.16 a.example.com\n198.18.0.17 b.example.com\n198.18", "198.18.0.16 xn--bcher-kva.example\n", "198.18.0.16 10.0.0.1\n", "198.18.0.16 ::1\n", "\x00\n"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "names")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := OpenNames(path)
		if err != nil {
			return
		}
		defer n.Close()
		var written strings.Builder
		a := netip.MustParseAddr("198.18.0.16")
		for range n.byAddr {
			h := n.byAddr[a]
			if n.byName[h] != a {
				t.Fatalf("%s is of %s, which has %s", a, h, n.byName[h])
			}
			written.WriteString(a.String() + " " + h.String() + "\n")
			a = a.Next()
		}
		if got := content(t, path); got != written.String() || !strings.HasPrefix(string(text), got) || strings.Contains(string(text[len(got):]), "\n") {
			t.Fatalf("of %q the file keeps %q, the table %q", text, got, written.String())
		}
	})
}

// A table of one life is bounded, and leaves nothing behind.
func TestNewNamesIsBounded(t *testing.T) {
	n := NewNames(2)
	for i, name := range []string{"a.example.com", "b.example.com", "a.example.com", "c.example.com"} {
		h, err := netpolicy.ParseHost(name)
		if err != nil {
			t.Fatal(err)
		}
		a, err := n.Address(h)
		if got, ok := n.Host(a); (i < 3) != (err == nil && ok && got == h) {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
