package manifest_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/manifest/manifesttest"
	"github.com/mcprun/mcprun/netpolicy"
)

// withoutNotes compares values by what is enforced; a path pattern is its text.
func withoutNotes() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreFields(manifest.Server{}, "Notes"),
		cmpopts.EquateComparable(netpolicy.Host{}, netpolicy.Pattern{}, netip.Prefix{}),
		cmp.Comparer(func(a, b words.Pattern) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b argument.Pointer) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b *when.Amount) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b *when.Condition) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b netpolicy.PathPattern) bool { return a.String() == b.String() }),
	}
}

// roundTrip renders s, reads it back and returns the difference.
func roundTrip(t *testing.T, s *manifest.Server) {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	data, err := manifest.Marshal(s)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	again, err := manifest.Parse("rendered", data)
	if err != nil {
		t.Fatalf("Parse of what Marshal wrote: %v\n%s", err, data)
	}
	if diff := cmp.Diff(s, again, withoutNotes()); diff != "" {
		t.Fatalf("value changed (-before +after):\n%s\n%s", diff, data)
	}
}

// FuzzParse: whatever the bytes, Parse returns a value or an *ErrorList and not
// both; a value passes Validate and survives being written and read again.
func FuzzParse(f *testing.F) {
	for _, file := range inputs(f, "*") {
		f.Add(read(f, file))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		data, err := manifest.Marshal(manifesttest.Random(r))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := manifest.Parse("fuzz", data)
		// Whatever the bytes, lines that are to be shown are lines of the file.
		for key, at := range manifest.ReadLines(data) {
			if at.First < 1 || at.Last < at.First || at.Last > bytes.Count(data, []byte("\n"))+1 {
				t.Fatalf("%s stands at %v", key, at)
			}
		}
		if err == nil {
			roundTrip(t, s)
			return
		}
		var list *manifest.ErrorList
		if s != nil || !errors.As(err, &list) || len(list.Errors) == 0 || list.Errors[0].Line < 1 {
			t.Fatalf("value %v with error %#v", s, err)
		}
	})
}

// TestRandomRoundTrip: extreme values are valid and survive as well.
func TestRandomRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		s := manifesttest.Random(rand.New(rand.NewPCG(seed, 0)))
		roundTrip(t, s)
	}
}

// TestRandomReachesTheEdges: a generator that never makes the largest value would
// make the tests that use it worthless.
func TestRandomReachesTheEdges(t *testing.T) {
	reached := map[string]bool{}
	for seed := range uint64(2000) {
		s := manifesttest.Random(rand.New(rand.NewPCG(seed, 1)))
		for what, is := range map[string]bool{
			"name":    len(s.Name) == 40,
			"memory":  s.Resources.Memory == manifest.MaxMemory,
			"floor":   s.Resources.Memory == manifest.MinMemory,
			"cpu":     s.Resources.MilliCPU == manifest.MinMilliCPU,
			"tmp":     s.Tmp == manifest.MaxTmpfs,
			"files":   len(s.Files) == manifest.MaxFiles,
			"command": len(s.Command) == manifest.MaxCommand,
			"call":    s.Timeouts.Call == manifest.MaxCall,
			"no tool": s.Tools == nil,
		} {
			reached[what] = reached[what] || is
		}
	}
	for what, was := range reached {
		if !was {
			t.Errorf("%s is never at its edge", what)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("testdata/ok-complete.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := manifest.Parse("server.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
