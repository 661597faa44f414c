package learned

import (
	"slices"
	"testing"

	"github.com/mcprun/mcprun/profiles"
)

// What was seen is held against a profile argument by argument: node has socket, and not
// for the family that was seen.
func TestRefusesJudgesArguments(t *testing.T) {
	s := Merge(Seen{}, run(t, watched(t)))
	node, err := profiles.Load("node")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range s.Refuses(node) {
		got = append(got, c.Call)
	}
	if want := []string{"socket", "sync"}; !slices.Equal(got, want) {
		t.Errorf("node refuses %v of what was seen, want %v", got, want)
	}
	if s.Times("mkdir") != 2 || s.Reason("mkdir") != "seen in calls of make, 2 times" || s.Reason("read") != reasonEvery {
		t.Errorf("mkdir: %d, %q; read: %q", s.Times("mkdir"), s.Reason("mkdir"), s.Reason("read"))
	}
	for _, c := range s.Compare(node, node) {
		t.Errorf("a profile differs from itself in %s", c.Call)
	}
	strict, err := profiles.Load(profiles.Strict)
	if err != nil {
		t.Fatal(err)
	}
	// node stands for what was made of s: of its calls that strict lacks, only those that
	// were seen are a difference.
	var lacks []string
	for _, c := range s.Compare(strict, node) {
		if len(c.Old) == 0 {
			lacks = append(lacks, c.Call)
		}
	}
	if slices.Contains(lacks, "inotify_init1") {
		t.Errorf("%v has what nobody saw", lacks)
	}
}
