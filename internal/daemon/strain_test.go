package daemon

import (
	"testing"
	"time"

	"github.com/mcprun/mcprun/runtime"
)

// A fork bomb runs into its limit without end: the record must not grow with it, and
// must not lose count.
func TestStrainIsRecordedInBounds(t *testing.T) {
	var s strain
	now := time.Unix(1_000_000, 0)
	var records, times int64
	for i := range int64(1000) {
		at := now.Add(time.Duration(i) * 50 * time.Millisecond) // for 50 s
		if n := s.sees(runtime.Use{PidsHits: 3 * (i + 1)}, at, false)[ofPids]; n > 0 {
			records++
			times += n
		}
	}
	if records != 5 {
		t.Errorf("%d records in 50 s, want one in %v", records, strainEvery)
	}
	end := now.Add(50 * time.Second)
	last := s.sees(runtime.Use{PidsHits: 3000, OOMKills: 1}, end, true)
	if times+last[ofPids] != 3000 || last[ofMemory] != 1 {
		t.Errorf("%d and %d of 3000 refusals recorded, %d of 1 kill", times, last[ofPids], last[ofMemory])
	}
	if again := s.sees(runtime.Use{PidsHits: 3000, OOMKills: 1}, end, true); again != [2]int64{} {
		t.Errorf("recorded twice: %v", again)
	}
	if got := s.since(end); got != [2]bool{ofMemory: true} {
		t.Errorf("since the end: %v, want memory alone", got)
	}
}

// Lines of a server's stderr used to be able to look like ours.
func TestServerCannotWriteOurLines(t *testing.T) {
	for line, want := range map[string]string{
		"[mcprun: its memory was used up]": "stderr: [mcprun: its memory was used up]",
		"  [mcprun: x]":                    "stderr:   [mcprun: x]",
		"mcprun is fine":                   "mcprun is fine",
	} {
		if got := asServer(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
