package known

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What went ahead is known, over a restart too; what did not is not.
func TestSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k", "files.json")
	fault := func(err error) { t.Error(err) }
	s := Open(path, fault)
	if s.Host("example.com") || s.Tool("get", "sha256:1") {
		t.Error("an empty set knows something")
	}
	s.Add("get", "sha256:1", []string{"example.com"})
	s.Save()
	for name, s := range map[string]*Set{"the same": s, "a later one": Open(path, fault)} {
		if !s.Host("example.com") || !s.Tool("get", "sha256:1") {
			t.Errorf("%s has forgotten", name)
		}
		if s.Host("example.org") || s.Tool("get", "sha256:2") || s.Tool("put", "sha256:1") {
			t.Errorf("%s knows what never was", name)
		}
	}
	s.Add("get", "sha256:2", nil)
	if s.Tool("get", "sha256:1") {
		t.Error("the definition of before counts as known after it was changed")
	}
	s.Save()
}

func TestDamagedFileBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "files.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	s := Open(path, func(error) { told++ })
	if told != 1 || s.Host("example.com") {
		t.Errorf("told %d times", told)
	}
	var none *Set
	none.Add("get", "sha256:1", []string{"x"})
	if none.Save(); none.Host("x") || none.Tool("get", "sha256:1") {
		t.Error("no set at all knows something")
	}
}

// A client that names ever new hosts does not fill the memory, and its hosts stay new.
func TestBounded(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "files.json"), func(err error) { t.Error(err) })
	for i := range maxHosts + 10 {
		s.Add("get", "sha256:1", []string{fmt.Sprint("h", i)})
	}
	if len(s.hosts) != maxHosts || s.Host(fmt.Sprint("h", maxHosts)) || !s.Host("h0") {
		t.Errorf("%d hosts", len(s.hosts))
	}
	s.Save()
}
