package gate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// unfitCheck names a check that no call can ever meet, and the arguments that there are;
// "" if there is none. Its argument is not in the schema, so its name is a slip, and the
// argument that was meant would go unchecked.
func (t *Tool) unfitCheck(list []argument.Attached) (why, has string) {
	for _, a := range list {
		if at := t.input.names.misses(a.At.Steps()); at != nil {
			return fmt.Sprintf("server.yaml checks its argument %s, which its schema does not have", shown(a.At.String())),
				"it has " + shorten(strings.Join(slices.Sorted(maps.Keys(at.names)), ", "))
		}
	}
	return "", ""
}

// misses returns the place at which a way leads to a name that no value there can have;
// nil where it leads somewhere, or where nothing is known of what is there.
func (p *place) misses(steps []string) *place {
	for _, step := range steps {
		switch {
		case p == nil:
			return nil
		case step == "*" && len(p.names) == 0:
			p = p.items
		case step == "*", p.items != nil: // several kinds of values: one of them may have it
			return nil
		default:
			below, declared := p.names[step]
			if !declared && !p.open && !p.matches(step) {
				return p
			}
			if p = below; !declared {
				return nil
			}
		}
	}
	return nil
}
