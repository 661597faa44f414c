package limits

import (
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
)

// FuzzTargetName: what is read from the name of a file is written as that very name, is
// one path element, and names one thing.
func FuzzTargetName(f *testing.F) {
	for _, s := range []string{"all", "server@files", "tool@files@read", "label@team=x", "principal@uid:1000", "server@", "tool@a", "label@../x=y", "principal@uid:1/2", "all@", "server@a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		target, err := ParseTargetName(name)
		if err != nil {
			if target != (Target{}) {
				t.Errorf("%q: an error, and %v", name, target)
			}
			return
		}
		if target.Name() != name || strings.ContainsAny(name, "/\x00 ") || target.Valid() != nil {
			t.Errorf("%q is read as %+v, which is %q", name, target, target.Name())
		}
		named := 0
		for _, is := range []bool{target.Server != "", target.Label != "", target.Principal != ""} {
			if is {
				named++
			}
		}
		if named > 1 || named == 0 != (name == "all") {
			t.Errorf("%q names %+v", name, target)
		}
	})
}

// A target that names two things would stop one of them alone.
func TestTwoThingsAreNoTarget(t *testing.T) {
	for _, target := range []Target{
		{Server: "files", Label: "team=x"}, {Server: "files", Principal: "uid:1"}, {Label: "team=x", Principal: "uid:1"}, {Tool: "read"}, {Tool: "read", Label: "team=x"},
		{Server: "../x"}, {Label: "team"}, {Principal: mcprun.Principal(strings.Repeat("x", 200))},
	} {
		if target.Valid() == nil {
			t.Errorf("%+v is taken", target)
		}
	}
}
