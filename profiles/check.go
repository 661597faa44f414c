package profiles

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun"
)

// MaxCalls bounds what a profile allows on one architecture: Docker's default
// allows 309 on x86-64, and a profile near that is no longer a restriction.
const MaxCalls = 250

// maxRules bounds the rules after every combination of values is written out.
// The kernel takes 4096 instructions; a rule costs up to eight.
const maxRules = 400

// checkRules judges a complete profile, bases included.
func checkRules(rules []Rule) error {
	never, err := Never()
	if err != nil {
		return err
	}
	var faults []error
	for _, r := range rules {
		if why, ok := never[r.Call]; ok {
			faults = append(faults, fmt.Errorf("%s can be in no profile: %s", r.Call, why))
		}
	}
	for _, goarch := range arches() {
		if err := checkArch(rules, goarch); err != nil {
			faults = append(faults, fmt.Errorf("on %s: %w", goarch, err))
		}
	}
	return errors.Join(faults...)
}

// checkArch finds rules that say the same thing twice or contradict each other:
// either means that somebody read the profile differently from what it does.
func checkArch(rules []Rule, goarch string) error {
	var faults []error
	byCall := map[string][]Rule{}
	calls, lines := 0, 0
	for _, r := range rules {
		if !r.on(goarch) {
			continue
		}
		byCall[r.Call] = append(byCall[r.Call], r)
		lines += combinations(r.Where)
	}
	if lines > maxRules {
		return fmt.Errorf("%d rules; at most %d", lines, maxRules)
	}
	for _, call := range slices.Sorted(maps.Keys(byCall)) {
		same := byCall[call]
		if same[0].Verdict == mcprun.Allow {
			calls++
		}
		if len(same) > 1 {
			faults = append(faults, checkSame(call, same))
		}
	}
	if calls > MaxCalls {
		faults = append(faults, fmt.Errorf("%d calls are allowed; at most %d", calls, MaxCalls))
	}
	return errors.Join(faults...)
}

// checkSame judges the rules about one call.
func checkSame(call string, rules []Rule) error {
	var seen [][]specs.LinuxSeccompArg
	for _, r := range rules {
		if len(r.Where) == 0 {
			return fmt.Errorf("%s is named twice (%s, %s) and once without a condition", call, rules[0].Profile, rules[len(rules)-1].Profile)
		}
		for _, args := range expand(r.Where) {
			if slices.ContainsFunc(seen, func(s []specs.LinuxSeccompArg) bool { return slices.Equal(s, args) }) {
				return fmt.Errorf("%s has the same conditions twice", call)
			}
			seen = append(seen, args)
		}
	}
	return nil
}

// Never returns the calls that can be in no profile, each with its reason.
func Never() (map[string]string, error) {
	never, err := neverTable()
	return maps.Clone(never), err
}

var neverTable = sync.OnceValues(readNever)

func readNever() (map[string]string, error) {
	raw, err := data.ReadFile("data/never.json")
	if err != nil {
		return nil, fmt.Errorf("reading the list of refused calls: %w", err)
	}
	f, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the list of refused calls: %w", err)
	}
	rules, err := f.rules()
	if err != nil {
		return nil, fmt.Errorf("reading the list of refused calls: %w", err)
	}
	never := make(map[string]string, len(rules))
	for _, r := range rules {
		if _, ok := never[r.Call]; ok {
			return nil, fmt.Errorf("reading the list of refused calls: %s is named twice", r.Call)
		}
		never[r.Call] = r.Reason
	}
	return never, nil
}
