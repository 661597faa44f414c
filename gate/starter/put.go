package starter

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/manifest"
)

// topKey begins a key of the file's outermost mapping.
var topKey = regexp.MustCompile(`^("[^"]*"|'[^']*'|[A-Za-z_][A-Za-z0-9_-]*)\s*:`)

// Put returns a server.yaml in which section stands in place of its tools, or at the
// end if it has none; everything else stays as it is, comments too. The result says
// the same as before but for its tools, or there is none: it is read back. profile is the
// text of the one in a file that it names.
func Put(file, profile []byte, section string) ([]byte, error) {
	before, _, err := manifest.ParseUnder("server.yaml", file, profile)
	if err != nil {
		return nil, fmt.Errorf("it has errors: %w", err)
	}
	lines := strings.SplitAfter(string(file), "\n")
	from, to := toolsIn(lines)
	head, tail := strings.Join(lines[:from], ""), strings.Join(lines[to:], "")
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += "\n"
	}
	out := []byte(head + section + tail)
	after, _, err := manifest.ParseUnder("server.yaml", out, profile)
	if err != nil || slices.ContainsFunc(manifest.Changed(before, after), func(key string) bool { return key != "tools" }) {
		return nil, errors.New("its form leaves no place for a section of tools; write the keys of the file one below the other, without braces around them")
	}
	return out, nil
}

// toolsIn finds the lines of the tools, or the end of the file. Comments and empty
// lines behind them belong to what follows.
func toolsIn(lines []string) (from, to int) {
	from = slices.IndexFunc(lines, func(l string) bool {
		m := topKey.FindStringSubmatch(l)
		return m != nil && strings.Trim(m[1], `"'`) == "tools"
	})
	if from < 0 {
		return len(lines), len(lines)
	}
	to = from + 1
	for i := from + 1; i < len(lines) && !topKey.MatchString(lines[i]); i++ {
		if l := strings.TrimSpace(lines[i]); l != "" && (lines[i][0] == ' ' || l[0] != '#') {
			to = i + 1
		}
	}
	return from, to
}
