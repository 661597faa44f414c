package front

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate/result"
)

// markBytes makes a mark that a server cannot guess: as long as result asks for.
const markBytes = result.MinMark / 2

// spec says how a tool's results are prepared.
func (l *Life) spec(tool mcprun.ToolName) (result.Spec, error) {
	secrets, err := l.Secrets()
	if err != nil {
		return result.Spec{}, err // what could not be searched for must not come through
	}
	s := result.Spec{Server: l.server.Name, Tool: tool, Untrusted: l.Untrusted[tool], Secrets: secrets}
	if s.Untrusted {
		var b [markBytes]byte
		rand.Read(b[:]) // never fails since Go 1.24
		s.Mark = hex.EncodeToString(b[:])
	}
	return s, nil
}

// reportDetail is what the record keeps of what was done to a result; nil if
// nothing was.
func reportDetail(r result.Report) map[string]string {
	if r.Clean() {
		return nil
	}
	d := map[string]string{}
	add := func(key, text string) {
		if text != "" {
			d[key] = strings.ToValidUTF8(text[:min(len(text), audit.MaxDetailValue)], "")
		}
	}
	number := func(key string, n int64) {
		if n > 0 {
			add(key, fmt.Sprint(n))
		}
	}
	var removed []string
	for _, kind := range slices.Sorted(maps.Keys(r.Removed)) {
		removed = append(removed, fmt.Sprintf("%s: %d", kind, r.Removed[kind]))
	}
	add("removed", strings.Join(removed, ", "))
	number("redacted", int64(r.Redacted))
	number("truncated", r.Truncated)
	add("withheld", r.Withheld)
	add("instructions", strings.Join(r.Instructions, "; "))
	add("pictures", strings.Join(r.Pictures, "; "))
	number("fake-delimiters", int64(r.FakeDelimiters))
	number("hidden-names", int64(r.HiddenNames))
	return d
}
