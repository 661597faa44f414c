package manifesttest

import (
	"math/rand/v2"
	"slices"

	"github.com/mcprun/mcprun/limits/detect"
)

// kills are rules of a server.yaml.
func kills(r *rand.Rand) []detect.Rule {
	var out []detect.Rule
	for range count(r, detect.MaxRules) {
		d := pick(r, detect.Detections()...)
		levels := slices.DeleteFunc(slices.Clone(d.Levels), func(l detect.Level) bool { return l != detect.Tool && l != detect.Server })
		if len(levels) == 0 {
			continue
		}
		k := detect.Rule{After: d.Name, Times: int(between(r, 1, detect.MaxTimes)), Level: pick(r, levels...), CoolDown: duration(r, detect.MinCoolDown, detect.MaxCoolDown), Reason: pick(r, "", "no", letters(r, lower, detect.MaxReason))}
		if k.Times > 1 {
			k.Within = duration(r, detect.MinWithin, detect.MaxWithin)
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}
